"""Normalizes a batch and pads it with the value 0 *after* normalization, where the crop says.

mmseg's preprocessor pads at the right and bottom only; openseg's recipes split the padding at
random. (N, C, H, W); H, W: size of the training crop.
"""

from collections.abc import Sequence

import torch
from mmengine.structures import PixelData
from mmseg.models.data_preprocessor import SegDataPreProcessor as MMSegDataPreProcessor
from mmseg.structures import SegDataSample
from torch.nn import functional

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class SegDataPreProcessor(MMSegDataPreProcessor):
    """mmseg's preprocessor that honors ``pad_offset`` when it trains.

    ``pad_offset`` (top, left) in a sample's metainfo comes from ``openseg_plugin.RandomCrop``;
    samples without it are padded at the right and bottom. Testing is mmseg's.

    Args:
        mean: of each channel, in gray values 0..255, in the order the model sees. None: neither
            mean nor std is applied.
        std: of each channel, likewise.
        size: (H, W) of every training batch in pixels; None: the largest image's.
        size_divisor: without ``size``, sides are rounded up to a multiple of it.
        pad_val: value of padded pixels, after normalization.
        seg_pad_val: label of padded pixels.
        bgr_to_rgb: swap the first and third channel.
        rgb_to_bgr: the same swap; not both.
        test_cfg: padding in testing, a dict with ``size`` or ``size_divisor``.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        *,
        size: tuple[int, int] | None = None,
        size_divisor: int | None = None,
        pad_val: float = 0,
        seg_pad_val: int = 255,
        bgr_to_rgb: bool = False,
        rgb_to_bgr: bool = False,
        test_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            mean=mean,
            std=std,
            size=size,
            size_divisor=size_divisor,
            pad_val=pad_val,
            seg_pad_val=seg_pad_val,
            bgr_to_rgb=bgr_to_rgb,
            rgb_to_bgr=rgb_to_bgr,
            test_cfg=test_cfg,
        )
        # the official class and the fork's keep this under different names
        self.swap_channels = bgr_to_rgb or rgb_to_bgr

    def forward(self, data: dict, training: bool = False) -> dict:
        """Batch for the model: inputs (N, C, H, W) float32, labels padded with ``seg_pad_val``.

        Args:
            data: ``inputs``: N images (C, h, w); ``data_samples``: their N samples.
            training: pads to ``size``, or to the largest image rounded up to ``size_divisor``.

        Raises:
            ConfigError: an image is larger than ``size``, or has another number of channels than
                ``mean``.
        """
        self._check_channels(data['inputs'][0])
        if not training:
            return super().forward(data, training)
        data = self.cast_data(data)
        images, samples = data['inputs'], data['data_samples']
        height, width = self._padded_size(images)
        batch = torch.full(
            (len(images), images[0].shape[0], height, width),
            float(self.pad_val),
            device=images[0].device,
        )
        for place, image, sample in zip(batch, images, samples):
            h, w = image.shape[-2:]
            if h > height or w > width:
                raise ConfigError(
                    f'a training image of {h}x{w} pixels does not fit data_preprocessor.size '
                    f'{height}x{width}: give both the same crop_size'
                )
            top, left = sample.metainfo.get('pad_offset', (0, 0))
            place[:, top : top + h, left : left + w] = self._normalize(image)
            padding = (left, width - w - left, top, height - h - top)
            _pad_labels(sample, padding, value=self.seg_pad_val)
            sample.set_metainfo(
                {'img_shape': (h, w), 'pad_shape': (height, width), 'padding_size': padding}
            )
        return {'inputs': batch, 'data_samples': samples}

    def _check_channels(self, image: torch.Tensor) -> None:
        channels = image.shape[0]
        if self._enable_normalize and len(self.mean) not in (1, channels):
            raise ConfigError(
                f'images have {channels} channels, but data_preprocessor.mean has '
                f'{len(self.mean)} numbers: give mean and std one number per channel, or let the '
                'pipeline load as many channels as the model has'
            )

    def _padded_size(self, images: list[torch.Tensor]) -> tuple[int, int]:
        if self.size is not None:
            return tuple(self.size)
        divisor = self.size_divisor or 1
        sides = (max(image.shape[axis] for image in images) for axis in (-2, -1))
        height, width = (-(-side // divisor) * divisor for side in sides)
        return height, width

    def _normalize(self, image: torch.Tensor) -> torch.Tensor:
        """(C, h, w) of any type -> float32, channels swapped if asked, normalized if asked."""
        if self.swap_channels and image.shape[0] == 3:
            image = image[[2, 1, 0]]
        image = image.float()
        return (image - self.mean) / self.std if self._enable_normalize else image


def _pad_labels(sample: SegDataSample, padding: tuple[int, int, int, int], *, value: int) -> None:
    """Pads every pixel map of a sample; padding is (left, right, top, bottom)."""
    for name, maps in sample.items():
        if isinstance(maps, PixelData) and 'data' in maps:
            padded = functional.pad(maps.data, padding, value=value)
            # PixelData refuses data of another size, so it is made anew.
            sample.set_data({name: PixelData(data=padded)})
