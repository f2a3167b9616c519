"""Brightness, contrast, saturation and hue by random amounts, one after the other in random order.

=====================================  =======================================================
source                                 what it says
=====================================  =======================================================
NVIDIA/semantic-segmentation           each by up to a quarter, random order
PaddleSeg's CityscapesSOTA             factors 0.75 to 1.25; hue by up to 63 of 256 in PIL's
                                       8-bit HSV; each always, random order
PaddleSeg's OCRNet                     0.4; nothing about hue or about how often
=====================================  =======================================================

Where they are silent the rules are those of ``PIL.ImageEnhance``: a factor f blends the image
with what it would be without the quality, f * image + (1 - f) * that, clipped to 0..255 and cut
to whole numbers. "That" is black for brightness, the mean of the gray image for contrast, and the
gray image for saturation. mmseg's ``PhotoMetricDistortion`` differs: it adds brightness, its
contrast has black for a center, and every change happens half of the time.

The only photometric change of openseg's recipes.
"""

from collections.abc import Callable

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from PIL import Image, ImageEnhance

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomBrightness(BaseTransform):
    """Adds one random integer to all channels of the image, clipped to the range of its type.

    Args:
        shift: largest shift either way, in gray levels of 8 bits; uniform over -shift .. shift.
            Images of 16 bits are shifted by as many 255ths of their range, float ones by the
            number itself.
    """

    def __init__(self, *, shift: int = 10) -> None:
        self.shift = shift

    @cache_randomness
    def _draw(self) -> int:
        return int(np.random.randint(-self.shift, self.shift + 1))

    def transform(self, results: dict) -> dict:
        """Changes img (H, W) or (H, W, C) of any type and number of channels."""
        shift, image = self._draw(), results['img']
        if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
            # OpenCV's sum of uint8 saturates: exact, without a copy in a wider type
            # (its stubs know arrays alone)
            results['img'] = cv2.add(image, (shift, shift, shift, 0))  # type: ignore[call-overload]
        elif np.issubdtype(image.dtype, np.integer):
            limits = np.iinfo(image.dtype)
            wide = image.astype(np.int64) + shift * limits.max // 255
            results['img'] = np.clip(wide, limits.min, limits.max).astype(image.dtype)
        else:
            results['img'] = image + np.asarray(shift, image.dtype)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shift={self.shift})'


_HUES = 255  # a fraction of the color circle in steps of PIL's hue: 0.25 is 63, as in PaddleSeg


def shift_hue(image: Image.Image, fraction: float) -> Image.Image:
    """Turns all colors of an RGB image by ``fraction`` of the color circle, -0.5 to 0.5.

    The hue has 8 bits: fractions below 1 / 255 change nothing, not even by rounding.
    """
    steps = int(fraction * _HUES)
    if steps == 0:
        return image
    hue, *others = image.convert('HSV').split()
    turned = hue.point([(value + steps) % 256 for value in range(256)])
    return Image.merge('HSV', (turned, *others)).convert('RGB')


def _enhancer(kind: type) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, factor: kind(image).enhance(factor)


# RGB image and factor -> image; hue takes a fraction instead of a factor
CHANGES: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    'brightness': _enhancer(ImageEnhance.Brightness),
    'contrast': _enhancer(ImageEnhance.Contrast),
    'saturation': _enhancer(ImageEnhance.Color),
    'hue': shift_hue,
}


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Changes the colors of the image at random; see the head of this module.

    Args:
        brightness: largest change b: the factor is uniform over 1 - b .. 1 + b. 0: none.
        contrast: likewise.
        saturation: likewise.
        hue: largest fraction of the color circle, either way, 0 to 0.5; uniform.

    Raises:
        ConfigError: an amount out of its range.
    """

    def __init__(
        self,
        *,
        brightness: float = 0.25,
        contrast: float = 0.25,
        saturation: float = 0.25,
        hue: float = 0.25,
    ) -> None:
        self.amounts = dict(
            brightness=brightness, contrast=contrast, saturation=saturation, hue=hue
        )
        for name, amount in self.amounts.items():
            most = 0.5 if name == 'hue' else 1
            if not 0 <= amount <= most:
                raise ConfigError(f'ColorJitter has {name}={amount}: it must be 0 to {most}')

    @cache_randomness
    def _draw(self) -> list[tuple[str, float]]:
        """Names of :data:`CHANGES` in the order of this image, each with its factor or fraction."""
        steps = []
        for name, amount in self.amounts.items():
            center = 0.0 if name == 'hue' else 1.0
            steps.append((name, np.random.uniform(center - amount, center + amount)))
        steps = [steps[index] for index in np.random.permutation(len(steps))]
        return [step for step in steps if self.amounts[step[0]]]

    def transform(self, results: dict) -> dict:
        """Changes img (H, W, 3) uint8, BGR.

        Raises:
            ConfigError: the image is another one.
        """
        image = results['img']
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ConfigError(
                f'ColorJitter is for 8-bit images of 3 channels, {results.get("img_path")} is '
                f'{image.dtype} of shape {image.shape}: leave it out of the pipeline'
            )
        image = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
        for name, amount in self._draw():
            image = CHANGES[name](image, amount)
        results['img'] = np.ascontiguousarray(np.asarray(image)[..., ::-1])
        return results

    def __repr__(self) -> str:
        options = ', '.join(f'{name}={amount}' for name, amount in self.amounts.items())
        return f'{type(self).__name__}({options})'
