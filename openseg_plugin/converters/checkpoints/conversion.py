"""What a conversion gives, and the config that fits the converted weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from openseg_plugin.converters.checkpoints.keys import Array

CITYSCAPES_CLASSES = 19  # what the configs named here are written for


@dataclass(frozen=True)
class Preprocessing:
    """What the network was fed with.

    Attributes:
        channel_order: 'RGB' or 'BGR'.
        mean: per channel in that order, of 0..255.
        std: per channel in that order, of 0..255.
    """

    channel_order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __str__(self) -> str:
        mean, std = (', '.join(f'{x:g}' for x in numbers) for numbers in (self.mean, self.std))
        return f'{self.channel_order}, minus ({mean}), divided by ({std})'


IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
RGB = Preprocessing('RGB', IMAGENET_MEAN, IMAGENET_STD)
RGB_HALF = Preprocessing('RGB', (127.5,) * 3, (127.5,) * 3)  # PaddleSeg's default: -1 to 1
# openseg's HRNets: no channel swap, the numbers of R, G, B applied to B, G, R
BGR_HRNET = Preprocessing('BGR', IMAGENET_MEAN, IMAGENET_STD)
BGR_RESNET = Preprocessing('BGR', (102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0))
BGR_RESNET_LIP = Preprocessing('BGR', (104.00698793, 116.66876762, 122.67891434), (1.0, 1.0, 1.0))


_RESEARCH = {20: 'lip', 59: 'pascal_context', 60: 'pascal_context60', 65: 'mapillary'}
_RESEARCH |= {150: 'ade20k', 171: 'coco_stuff10k'}
# source -> number of classes -> dataset that its published files of so many classes belong to
_DATA = {
    'openseg': _RESEARCH,
    'hrnet_ocr': _RESEARCH,
    'nvidia': {65: 'mapillary_nvidia'},
    'paddleseg': {21: 'voc_paddleseg'},
    'pytorchcv': {19: 'cityscapes_pytorchcv', 21: 'voc_pytorchcv'},
    'mmseg': {21: 'voc_512', 150: 'ade20k_512', 171: 'coco_stuff164k_512'},
}


@dataclass(frozen=True)
class Source:
    """Whose file it is.

    Attributes:
        name: 'openseg', 'hrnet_ocr', 'mmseg', 'paddleseg', ..., 'imagenet' or 'openseg_plugin'.
        network: the name that the source gives this network.
    """

    name: str
    network: str

    def __str__(self) -> str:
        return f'{self.network} of {self.name}'


@dataclass(frozen=True)
class Conversion:
    """Weights under our names, and what one needs to know to use them.

    Attributes:
        state_dict: loads strictly into the model of ``config`` with ``cfg_options``; for
            ImageNet weights into its backbone alone. Arrays have the type that was put in.
        source: whose network it was.
        method: folder of the method's configs, such as 'ocr'; empty for a backbone alone.
        backbone: such as 'hrnet48', 'hrnet18s', 'resnet101'.
        num_classes: rows of the classifier; None for a backbone alone.
        norm_layout: 'batchnorm', or 'inplace_abn' whose scales were converted.
        config: path below configs/; empty: the one it was trained with.
        cfg_options: what to change in it, as ``--cfg-options`` takes it.
        preprocessing: what the network was fed with; None: the file's origin does not tell.
        align_corners: convention of its bilinear resizes (True, False or 'top_left', see
            :func:`openseg_plugin.layers.resize.resize_bilinear`); None: has none.
        has_leaky_head: whether leaky ReLU (0.01) follows the norms of its heads.
        dropped: entries that were left out on purpose, with the reason.
        assumed: what the weights do not tell, and where the config says otherwise if need be.
    """

    state_dict: dict[str, Array]
    source: Source
    method: str
    backbone: str
    num_classes: int | None
    norm_layout: str
    config: str
    cfg_options: dict[str, Any]
    preprocessing: Preprocessing | None
    align_corners: bool | str | None = None
    has_leaky_head: bool = False
    dropped: dict[str, str] = field(default_factory=dict)
    assumed: str = ''

    @property
    def is_backbone(self) -> bool:
        """Whether these are the weights of a backbone alone."""
        return self.num_classes is None

    @property
    def command(self) -> str:
        """Config and options as one writes them on a command line."""
        return self.command_with()

    def command_with(self, *arguments: str) -> str:
        """The same with further arguments behind the config."""
        words = [f'configs/{self.config}', *arguments]
        told: tuple[str, ...] = ()
        if self.data is not None:
            words += ['--data', self.data]
            told = ('num_classes', 'class_weight')
        options = [
            f'{key}={_typed(value)}'
            for key, value in self.cfg_options.items()
            if key.rpartition('.')[2] not in told
        ]
        return ' '.join(words + ['--cfg-options', *options] * bool(options))

    @property
    def data(self) -> str | None:
        """Dataset of ``configs/_base_/datasets`` of these classes; None: the config's own."""
        return other_data(self.source.name, self.num_classes, self.config)


class CheckpointSource(Protocol):
    """A project whose published weights are read: a module with these three.

    A new one is a module of this package and a place in :data:`.sources.SOURCES`.
    """

    NAME: str

    def identify(self, weights: Mapping[str, Array], /) -> str | None:
        """The name of the network that has these entries; None: none of this project."""

    def convert(self, weights: Mapping[str, Array], network: str, /) -> Conversion:
        """Weights of the network that :meth:`identify` named, under our names.

        Raises:
            CheckpointError: lists the entries that have no place and those that are missing.
        """


def other_data(source: str, num_classes: int | None, config: str) -> str | None:
    """Dataset that files of ``source`` with so many classes belong to; None: the config's own."""
    name = None if num_classes is None else _DATA.get(source, {}).get(num_classes)
    if name is None or f'_{name.removesuffix("_pytorchcv").removesuffix("_nvidia")}_' in config:
        return None
    return name


def _typed(value: Any) -> str:
    """As mmengine's ``--cfg-options`` reads it back."""
    if isinstance(value, list | tuple):
        opening, closing = ('[', ']') if isinstance(value, list) else ('"(', ')"')
        return opening + ','.join(_typed(part) for part in value) + closing
    return str(value)


def backbone_options(*, width: int | None = None, small: bool = False) -> dict[str, Any]:
    """Options that make an HRNet-W48 config one of another width or the small kind."""
    options: dict[str, Any] = {}
    if width not in (None, 48):
        options['model.backbone.width'] = width
        options['model.decode_head.in_channels'] = [width * 2**branch for branch in range(4)]
    if small:
        options['model.backbone.num_modules'] = (1, 3, 2)
        options['model.backbone.num_blocks'] = 2
    return options


def head_options(state: Mapping[str, Array], usual: Mapping[str, int]) -> dict[str, Any]:
    """Options for the sizes of a decode head that are not those of the config.

    Args:
        state: converted weights.
        usual: the config's numbers, by option below ``model.decode_head``, such as
            ``{'channels': 512, 'region.kernel_size': 3}``.
    """
    head = 'decode_head'
    entries = {
        'num_classes': (f'{head}.conv_seg.weight', 0),
        'channels': (f'{head}.conv_seg.weight', 1),
        'key_channels': (f'{head}.object_context_block.value_project.conv.weight', 0),
        'region.channels': (f'{head}.region_conv.conv.weight', 0),
        'region.kernel_size': (f'{head}.region_conv.conv.weight', 2),
        'kernel_size': (f'{head}.convs.0.conv.weight', 2),
    }
    usual = {'num_classes': CITYSCAPES_CLASSES, **usual}
    options: dict[str, Any] = {}
    for option, number in usual.items():
        name, axis = entries[option]
        found = int(state[name].shape[axis])
        if found != number:
            options[f'model.{head}.{option}'] = found
    if f'model.{head}.num_classes' in options:  # the config's class weights are Cityscapes'
        losses = ['loss_decode'] + ['loss_region'] * ('region.channels' in usual)
        options |= {f'model.{head}.{loss}.class_weight': None for loss in losses}
    return options
