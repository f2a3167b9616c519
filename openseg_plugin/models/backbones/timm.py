"""Any backbone of timm that gives feature maps, as a backbone of mmseg.

timm: https://github.com/huggingface/pytorch-image-models, ``pip install "openseg_plugin[timm]"``.
mmseg has such a wrapper, too; what is different here:

- models that give (N, H, W, C), such as Swin's, are permuted; mmseg's heads take H for channels
  and train silently wrong where the sizes happen to agree;
- the backbone states the channels and strides of its maps, so heads can ask for ``in_strides``;
- weights come from ``init_cfg`` or from timm when a *training* starts, never when a model is built
  to load a trained checkpoint; a file is read without running code from it, and a file that does
  not fill the backbone is an error, where timm logs what is missing and goes on;
- the constants of timm's weights are held against the config's ``data_preprocessor``.

Legend: N batch, C channels, (H, W) size of the input image in pixels.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from openseg_plugin.config.queries import is_pretrained
from openseg_plugin.converters.checkpoints import efficientnet_lite
from openseg_plugin.converters.checkpoints.keys import size
from openseg_plugin.errors import CheckpointError, ConfigError
from openseg_plugin.layers.memory import frozen_bn_stats
from openseg_plugin.models.backbones.freezing import FreezingMixin, require_stage
from openseg_plugin.models.backbones.timm_models import (
    UnknownOptionError,
    create_model,
    default_cfg,
    load_weights,
    published,
    require_model_name,
    require_preprocessing,
)
from openseg_plugin.models.foreign_weights import ForeignBackboneMixin
from openseg_plugin.registry import MODELS

OUTPUT_STRIDES = (8, 16, 32)
# what makes models of one image size take others, most of them: transformers, Swin, and those that
# do without an option
_ANY_SIZE: tuple[dict[str, Any], ...] = (
    dict(dynamic_img_size=True, dynamic_img_pad=True),
    dict(strict_img_size=False),
    {},
)
_COARSEST = 32  # stride inside of nearly all models, whatever maps are asked for
_ODD_SIZE = (65, 99)  # of an image that no stride divides
_INNER = 'timm_model.'  # mmseg's TIMMBackbone calls it so, too
# arguments of timm's create_model that are no timm_args -> what says it instead
_OWN = {
    'model_name': 'model_name',
    'in_chans': 'in_channels',
    'out_indices': 'out_indices',
    'output_stride': 'output_stride',
    'img_size': 'img_size',
    'pretrained': 'pretrained',  # would download whenever the model is built
    'checkpoint_path': 'init_cfg',
    'pretrained_cfg_overlay': 'init_cfg',
    'features_only': '',
}


@MODELS.register_module()
class TimmBackbone(FreezingMixin, ForeignBackboneMixin, BaseModule):
    """The maps of timm's ``features_only`` model, finest first.

    Args:
        model_name: timm's name, such as 'convnext_tiny' or, with the name of its weights,
            'convnext_tiny.fb_in22k_ft_in1k'.
        pretrained: take timm's weights from the network when a training starts. For a file use
            ``init_cfg=dict(type='Pretrained', checkpoint=FILE)``.
        out_indices: which of timm's maps, by its numbers. None: those that timm gives of itself,
            for convolutional networks all, for plain transformers the last three. Leave out
            coarse maps that no head reads: timm skips the stages behind the last map, except in
            EfficientNets, which then need ``find_unused_parameters=True`` on several GPUs.
        output_stride: 8 or 16 dilates the last stages, where timm's model can; 32: as it is.
        in_channels: channels of the input image; timm adapts the first convolution of its weights.
        img_size: (H, W) of every input, for models that take one size alone.
        frozen_stages: n freezes all that makes the n finest maps; -1: nothing.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        with_cp: in training compute what is inside the stages a second time instead of keeping it.
        check_preprocessing: refuse a ``data_preprocessor`` with other constants than those that
            timm's weights were trained with. False: for weights of your own.
        timm_args: further arguments of ``timm.create_model``, such as
            ``dict(drop_path_rate=0.2)``.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with weights of timm, of this
            backbone, or that a converter knows. None: timm's own initialization.

    Attributes:
        out_channels: channels of each map.
        out_strides: stride of each map, as timm states it.

    Raises:
        ConfigError: timm has no such model, weights or maps, or it cannot do what is asked.
        DependencyError: timm is missing or does not import.
    """

    timm_model: Any

    def __init__(
        self,
        model_name: str,
        *,
        pretrained: bool = False,
        out_indices: Sequence[int] | None = None,
        output_stride: int = 32,
        in_channels: int = 3,
        img_size: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        check_preprocessing: bool = True,
        timm_args: Mapping[str, Any] | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        if pretrained and init_cfg is not None:
            raise ConfigError(
                'TimmBackbone got pretrained=True and an init_cfg: take the weights from timm, or '
                'from the file that init_cfg names.'
            )
        if output_stride not in OUTPUT_STRIDES:
            raise ConfigError(
                f'TimmBackbone got output_stride={output_stride}, but knows {OUTPUT_STRIDES}.'
            )
        timm_args = {} if timm_args is None else timm_args
        _require_arguments(out_indices, in_channels, img_size, timm_args)
        super().__init__(init_cfg)
        self.model_name = require_model_name(model_name)
        self.pretrained = pretrained
        self.in_channels = in_channels
        self.norm_eval = norm_eval
        self.img_size = None if img_size is None else tuple(img_size)
        self._is_checked = check_preprocessing
        self._options = dict(in_chans=in_channels, **timm_args)
        if out_indices is not None:
            self._options['out_indices'] = tuple(out_indices)
        if output_stride != 32:
            self._options['output_stride'] = output_stride
        self.timm_model = self._build()
        self.out_channels = tuple(self.timm_model.feature_info.channels())
        self.out_strides = tuple(self.timm_model.feature_info.reduction())
        if output_stride != 32 and max(self.out_strides) > output_stride:  # it was swallowed
            raise UnknownOptionError(model_name, 'output_stride')
        self.with_cp = with_cp
        if with_cp:
            self._keep_less()
        self._held: AbstractContextManager | None = None
        self._freeze_stages(frozen_stages)

    def _build(self) -> Any:
        """timm's model with its own initialization, and how it is to be fed."""
        name = self.model_name
        is_fixed = default_cfg(name)['fixed_input_size']
        if self.img_size is not None:
            if not is_fixed:
                raise ConfigError(
                    f'TimmBackbone got img_size={self.img_size}, but {name} takes images of every '
                    'size: leave img_size out.'
                )
            self._options['img_size'] = self.img_size
        for options in _ANY_SIZE if is_fixed and self.img_size is None else ({},):
            try:
                model = create_model(name, {**self._options, **options})
            except UnknownOptionError as error:
                if error.option in options:
                    continue
                raise
            if self._try(model):
                self._options |= options
                return model
        if self.img_size is not None:
            raise ConfigError(f"timm's {name} cannot take images of {size(self.img_size)} pixels.")
        if not is_fixed:
            raise ConfigError(
                f"timm's {name} gives no maps that TimmBackbone can use with {self._options}: "
                'leave these arguments out, or use another backbone.'
            )
        raise ConfigError(
            f"timm's {name} takes images of one size only: set img_size=(height, width) to the "
            "crop size and test with mode='slide' and this crop_size, or use another backbone."
        )

    def _try(self, model: Any) -> bool:
        """Find out how a model takes images: as they are, or padded to its coarsest stride.

        A model may also give maps of other widths than it states: cells in the wrong order.
        """
        self._is_channels_last = 'NHWC' in str(getattr(model, 'output_fmt', ''))
        for divisor in (1, max(_COARSEST, *model.feature_info.reduction())):
            self._divisor = divisor
            sides = self.img_size or [-(-side // divisor) * divisor for side in _ODD_SIZE]
            image = torch.zeros(1, self.in_channels, *sides, device=_device(model))
            try:
                with torch.no_grad():
                    maps = self._channels_first(model.eval()(image))
            except (AssertionError, RuntimeError, ValueError):
                continue  # each model words in its own way what it does not like
            finally:
                model.train()
            if [x.shape[1] for x in maps] == list(model.feature_info.channels()):
                return True
        return False

    def _channels_first(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [x.permute(0, 3, 1, 2) if self._is_channels_last else x for x in maps]

    def _keep_less(self) -> None:
        model = self.timm_model
        if not hasattr(model, 'set_grad_checkpointing'):
            model = getattr(model, 'model', model)  # timm's wrapper of transformers has it inside
        try:
            model.set_grad_checkpointing(True)
        except (AttributeError, AssertionError) as error:
            raise ConfigError(
                f"timm's {self.model_name} cannot compute its stages again: leave with_cp out."
            ) from error

    def _freeze_stages(self, number: int) -> None:
        name = f'TimmBackbone {self.model_name}'
        require_stage(number, len(self.out_channels), name, first=1)
        if number == -1:
            return
        used = self._parameters_of(number - 1)
        self.freeze(_covering(self.timm_model, used))
        for parameter in used:  # those beside the covered modules, such as position embeddings
            parameter.requires_grad_(False)

    def _parameters_of(self, index: int) -> list[nn.Parameter]:
        """The parameters that one of the maps depends on."""
        side = self.img_size or (64, 64)
        parameters = list(self.timm_model.parameters())
        self.eval()
        image = torch.zeros(1, self.in_channels, *side, device=_device(self))
        with torch.enable_grad():
            total = self(image)[index].sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        self.train()
        return [p for p, gradient in zip(parameters, gradients) if gradient is not None]

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Feature maps of a batch of images.

        Args:
            inputs: (N, in_channels, H, W) normalized images.

        Returns:
            One map (N, C, h, w) for each of ``out_channels``; h is H / stride, rounded up or
            down as the model does.

        Raises:
            ConfigError: images of another size than ``img_size``.
        """
        if self.img_size is not None and tuple(inputs.shape[2:]) != self.img_size:
            raise ConfigError(
                f"timm's {self.model_name} was built for images of {size(self.img_size)} pixels, "
                f"but got {size(inputs.shape[2:])}: crop to that size, and test with mode='slide' "
                'and this crop_size.'
            )
        if self._divisor == 1:
            maps = self._channels_first(self.timm_model(inputs))
        else:
            maps = self._channels_first(self.timm_model(self._padded(inputs)))
            maps = [self._cropped(x, s, inputs) for x, s in zip(maps, self.out_strides)]
        if self.with_cp and torch.is_grad_enabled():
            for x in maps:
                if x.requires_grad:
                    x.register_hook(self._hold_statistics)
        return maps

    def _padded(self, inputs: Tensor) -> Tensor:
        cells = self._divisor  # as whole cells, which a recorded graph can reason about
        down, right = (((side - 1) // cells + 1) * cells - side for side in inputs.shape[2:])
        return F.pad(inputs, (0, right, 0, down))

    @staticmethod
    def _cropped(x: Tensor, stride: int, inputs: Tensor) -> Tensor:
        """The cells of a map that lie on the image, at least in part."""
        # rounded up without a sign, which ONNX would cut off
        height, width = ((side - 1) // stride + 1 for side in inputs.shape[2:])
        return x[:, :, :height, :width]

    def _hold_statistics(self, gradient: Tensor) -> None:
        """From the first gradient that arrives at a map until the backward pass ends.

        What is computed again in between would move the running statistics a second time.
        """
        if self._held is None:
            self._held = frozen_bn_stats(self.timm_model)
            self._held.__enter__()
            torch.autograd.Variable._execution_engine.queue_callback(self._release_statistics)

    def _release_statistics(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.__exit__(None, None, None)

    def init_weights(self) -> None:
        """mmengine's; with ``pretrained`` timm's weights.

        Raises:
            CheckpointError: they cannot be had, or a file does not fit.
        """
        if self.pretrained and not self.is_init:
            self.timm_model.load_state_dict(self._published().state_dict())
        super().init_weights()

    def _published(self) -> nn.Module:
        try:
            return published(self.model_name, self._options)
        except (OSError, RuntimeError) as error:  # of urllib, requests and huggingface_hub
            reason = ' '.join(str(error).split())[:200]
            raise CheckpointError(
                f"timm's weights of {self.model_name} cannot be had ({reason}): download them on "
                'a machine with a network, and set pretrained=False and '
                "init_cfg=dict(type='Pretrained', checkpoint=FILE) of the backbone"
            ) from error

    def check_preprocessing(self, preprocessor: nn.Module) -> None:
        """Hold the constants of the weights to start from against those of the config.

        Raises:
            ConfigError: names the key that is different.
        """
        cfgs = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg or {}]
        starts_from_weights = self.pretrained or any(is_pretrained(cfg) for cfg in cfgs)
        if starts_from_weights and self._is_checked and self.in_channels == 3:
            require_preprocessing(self.model_name, preprocessor)

    def _fit(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Entries under our names of a file of ours, of timm's or of EfficientNet-Lite's."""
        names = self.state_dict().keys()
        if given.keys() <= names or any(name.startswith('backbone.') for name in given):
            return super()._fit(given)
        weights = given
        network = efficientnet_lite.identify(given)
        if network is not None:
            conversion = efficientnet_lite.convert(given, network)
            if conversion.backbone != self.model_name.partition('.')[0]:
                # efficientnet_lite0 has entries of the same names and shapes
                raise CheckpointError(
                    f'these are weights of {conversion.backbone} (SAME padding, mean = std = '
                    f'127.5), not of {self.model_name}: set backbone.model_name to the '
                    'former, and mean and std of the data_preprocessor'
                )
            print_log(f'weights of {conversion.source} converted on loading', logger='current')
            weights = {
                name.removeprefix(_INNER): value for name, value in conversion.state_dict.items()
            }
        try:
            state = load_weights(self.model_name, self._options, weights)
        except CheckpointError:
            inner = {f'{_INNER}{name}': value for name, value in given.items()}
            if inner and inner.keys() <= names:  # of timm's model of maps, which renames parts
                return super()._fit(inner)
            raise
        return {f'{_INNER}{name}': value for name, value in state.items()}


def _require_arguments(
    out_indices: Any, in_channels: Any, img_size: Any, timm_args: Mapping[str, Any]
) -> None:
    """What timm would not refuse, or in other words than those of the config."""

    def need(is_right: bool, name: str, value: Any, needed: str) -> None:
        if not is_right:
            raise ConfigError(f'TimmBackbone got {name}={value!r}: give {needed}.')

    is_width = _are_whole([in_channels]) and in_channels > 0
    need(is_width, 'in_channels', in_channels, 'a whole number of 1 or more')
    is_size = img_size is None or (
        _are_whole(img_size) and len(img_size) == 2 and min(img_size) > 0
    )
    need(is_size, 'img_size', img_size, 'two whole numbers above 0, (height, width)')
    need(isinstance(timm_args, Mapping), 'timm_args', timm_args, 'a dict')
    if out_indices is not None:
        is_right = _are_whole(out_indices)
        if is_right:  # those from the end count after the others
            order = [(index < 0, index) for index in out_indices]
            is_right = bool(order) and all(a < b for a, b in pairwise(order))
        need(is_right, 'out_indices', out_indices, 'whole numbers in rising order, as (1, 2, 3)')
    for name in sorted(_OWN.keys() & timm_args.keys()):
        instead = f'say it by {_OWN[name]}' if _OWN[name] else 'it is always so'
        raise ConfigError(f'TimmBackbone got {name} in timm_args: leave it out there, {instead}.')


def _are_whole(values: Any) -> bool:
    is_list = isinstance(values, (list, tuple))
    return is_list and all(isinstance(v, Integral) and not isinstance(v, bool) for v in values)


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _covering(module: nn.Module, parameters: Sequence[nn.Parameter]) -> list[nn.Module]:
    """The outermost modules below ``module`` whose parameters are all among these."""
    wanted = {id(parameter) for parameter in parameters}

    def found(one: nn.Module) -> list[nn.Module]:
        own = list(one.parameters())
        if own and all(id(parameter) in wanted for parameter in own):
            return [one]
        return [cover for child in one.children() for cover in found(child)]

    return found(module)
