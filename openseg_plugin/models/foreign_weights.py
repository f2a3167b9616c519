"""Models that take the published weights of other projects as they are.

mmengine's ``load_checkpoint`` (behind ``load_from=``, ``test.py``, ``init_model`` and ``init_cfg``)
and ``nn.Module.load_state_dict`` both hand every module the whole mapping through
``_load_from_state_dict`` before they descend to its children, so translating it there serves all.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from openseg_plugin.converters.checkpoints import Conversion, Fitted, Preprocessing, adapt
from openseg_plugin.errors import CheckpointError

if TYPE_CHECKING:  # the mixins are put before a module
    from mmengine.model import BaseModule as _Module
else:
    _Module = object


class ForeignWeightsMixin(_Module):
    """Put before the segmentor or backbone in the list of bases.

    Weights under the model's own names are only looked at. Others are recognized by their names
    and translated; the log says what they were. What does not fit is an error, also where mmengine
    would only warn; a plain ``load_state_dict(..., strict=False)`` still loads what fits.

    Attributes:
        foreign_part: 'model' or 'backbone'.
        drop_classifier: whether to keep the classifier as it is.
    """

    foreign_part = 'model'
    drop_classifier = False
    _is_partial_load = False

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As torch's."""
        self._is_partial_load = not strict
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        finally:
            self._is_partial_load = False

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Replaces the entries below ``prefix`` by fitting ones, then loads as torch does.

        Raises:
            CheckpointError: they do not fit this model.
        """
        # within a whole model it is the model's task, and done by now
        if self.foreign_part == 'model' or not prefix:
            names = [name for name in state_dict if name.startswith(prefix)]
            given = {name[len(prefix) :]: state_dict[name] for name in names}
            fitted = self._fit(given)
            for name in names:
                del state_dict[name]
            state_dict.update({prefix + name: value for name, value in fitted.items()})
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _fit(self, given: Mapping[str, Any]) -> dict[str, Any]:
        own = self.state_dict()
        fitted = adapt(
            given,
            {name: value.shape for name, value in own.items()},
            part=self.foreign_part,
            drop_classifier=self.drop_classifier,
            is_partial=self._is_partial_load,
        )
        self._report(fitted)
        weights = {name: torch.as_tensor(value) for name, value in fitted.state_dict.items()}
        _require_numbers_to_copy(weights, own)
        # what was left out loads itself, so that nobody reports it as missing
        return weights | {name: own[name] for name in fitted.dropped_classifier}

    def _report(self, fitted: Fitted) -> None:
        if fitted.dropped_classifier:
            names = ', '.join(fitted.dropped_classifier)
            print_log(f'drop_classifier: kept as initialized: {names}', logger='current')
        conversion = fitted.conversion
        if conversion is None:
            return
        print_log(f'weights of {conversion.source} converted on loading', logger='current')
        differences = _differences(self, conversion) if self.foreign_part == 'model' else []
        if differences:
            print_log(
                f'these weights were trained with {", ".join(differences)}; for the published '
                f'results use {conversion.command}',
                logger='current',
                level=logging.WARNING,
            )


class ForeignBackboneMixin(ForeignWeightsMixin):
    """For backbones: ``init_cfg`` may name ImageNet weights or the file of a whole network."""

    foreign_part = 'backbone'


def _require_numbers_to_copy(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Makes sure that torch copies every weight whole: it leaves some out with a warning at most.

    Raises:
        CheckpointError: names the first that it would not copy.
    """
    for name, value in weights.items():
        kinds = {
            'has no data (it is on the meta device)': value.is_meta and not own[name].is_meta,
            'is quantized': value.is_quantized,
            'is complex': value.is_complex() and not own[name].is_complex(),
            'is sparse': value.layout is not torch.strided,
        }
        for kind, is_so in kinds.items():
            if is_so:
                raise CheckpointError(
                    f'{name} of the file {kind}, which weights of this model cannot be: save it '
                    'again as ordinary floating-point tensors'
                )


def _differences(model: Any, conversion: Conversion) -> list[str]:
    """What the weights need and the model does otherwise although its entries fit."""
    found = []
    head = model.decode_head
    if conversion.align_corners not in (None, head.align_corners):
        found.append(f'align_corners={conversion.align_corners}')
    is_leaky = any(isinstance(module, nn.LeakyReLU) for module in head.modules())
    if conversion.has_leaky_head != is_leaky:
        found.append(f'{"leaky " if conversion.has_leaky_head else ""}ReLU in the head')
    wanted = conversion.preprocessing
    if wanted is not None and not _is_fed_as(model.data_preprocessor, wanted):
        found.append(f'images as {wanted}')
    return found


def _is_fed_as(preprocessor: Any, wanted: Preprocessing) -> bool:
    if not (hasattr(preprocessor, 'swap_channels') and hasattr(preprocessor, 'mean')):
        return True  # not ours, or images arrive normalized: nothing is known
    is_rgb = preprocessor.swap_channels  # images are read in BGR order
    pairs = ((preprocessor.mean, wanted.mean), (preprocessor.std, wanted.std))
    return is_rgb == (wanted.channel_order == 'RGB') and all(
        torch.allclose(ours.flatten().cpu(), torch.tensor(theirs)) for ours, theirs in pairs
    )
