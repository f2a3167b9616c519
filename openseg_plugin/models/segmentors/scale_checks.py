"""What cannot work with several scales, said when the model is built.

(H, W): sides in pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.scale_fusion import scaled_size

STRIDE = 32  # pixels that one pixel of the backbone's coarsest map stands for


def ordered_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Scales from the finest to the coarsest.

    Raises:
        ConfigError: 1.0 is not among them, one occurs twice or is not positive.
    """
    ordered = tuple(sorted((float(scale) for scale in scales), reverse=True))
    fault = None
    if 1.0 not in ordered:
        fault = '1.0 must be among them, as the result has the size of that pass'
    elif len(set(ordered)) != len(ordered):
        fault = 'each may occur once'
    elif ordered[-1] <= 0:
        fault = 'they must be positive'
    if fault:
        raise ConfigError(f'scales are {tuple(scales)}: {fault}, as in (0.5, 1.0, 2.0).')
    return ordered


def require_pixel_features(head: nn.Module) -> None:
    """Raises ConfigError for a head that shows no features to make scale attention of."""
    if not (hasattr(head, 'object_contextual_features') or hasattr(head, 'pixel_features')):
        raise ConfigError(
            f'decode_head {type(head).__name__} has no pixel features to make scale attention of: '
            'use openseg_plugin.OCRHead, or a head with a method pixel_features.'
        )


def require_sizes(
    crop: Sequence[int] | None, train_scale: float, test_cfg: Mapping[str, Any], coarsest: float
) -> None:
    """Check all sizes that are known when the model is built.

    Args:
        crop: (H, W) of the training crops; None: not known. Tested pictures are taken to be at
            least as large.
        train_scale: of the reduced copy in training.
        test_cfg: of the model.
        coarsest: smallest scale in prediction.

    Raises:
        ConfigError: ``train_scale`` cannot be, or a crop or window is too small for a scale.
    """
    require_halves(crop, train_scale)
    name = 'data_preprocessor.size'
    if test_cfg.get('mode', 'whole') == 'slide':
        crop, name = test_cfg['crop_size'], 'test_cfg.crop_size'
    if crop is not None:
        require_stride(name, crop, coarsest)


def require_halves(crop: Sequence[int] | None, scale: float) -> None:
    """Check the scale of the reduced copy in training, and the crops that it is made of.

    Args:
        crop: (H, W) of the training crops; None: not known.
        scale: of the reduced copy.

    Raises:
        ConfigError: the scale is not between 0 and 1, or gives parts of a pixel.
    """
    if not 0 < scale < 1:
        raise ConfigError(
            f'train_scale is {scale:g}: the reduced copy needs a scale between 0 and 1, such as '
            '0.5.'
        )
    if crop is None:
        return
    if any(side * scale % 1 for side in crop):
        raise ConfigError(
            f'data_preprocessor.size is {tuple(crop)}, and train_scale={scale:g} of that is no '
            'whole number of pixels: choose a crop size that it divides.'
        )
    require_stride('data_preprocessor.size', crop, scale)


def require_stride(name: str, crop: Sequence[int], scale: float) -> None:
    """Raises ConfigError where ``crop`` (H, W) at ``scale`` is smaller than the stride."""
    small = scaled_size(crop, scale)
    if min(small) < STRIDE:
        raise ConfigError(
            f'{name} is {tuple(crop)}, which is {small} at scale {scale:g}, less than the stride '
            f'of {STRIDE} pixels: use larger crops or leave out that scale.'
        )
