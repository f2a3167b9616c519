"""What a model says about one image, and what can be made of it.

K classes, H, W size of the image in pixels. Images are (H, W, 3) uint8 RGB.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.polygons import Shape, shapes_of
from openseg_plugin.inference.sources import TiffWindows
from openseg_plugin.utils.images import for_display, value_table, write_label_map


class Segmentation:
    """Labels of an image; everything else is computed when it is asked for.

    Attributes:
        labels: (H, W) class ids, uint8, or uint16 where there are more than 256 classes.
        classes: names of the K classes.
        palette: (K, 3) uint8, red, green, blue.
        path: of the image; None: it was in memory.
        frame: number of the frame in a video, from 0; None: it is an image.

    Args:
        labels: see above.
        classes: see above.
        palette: see above.
        image: (H', W') or (H', W', C) as it was read, or what gives it; of another size than the
            labels only where a protocol predicts at another size.
        is_bgr: the first three channels of ``image`` are blue, green, red.
        logits: gives (K, H, W), or (1, H, W) of class 1 of a binary model; None: they were not
            kept.
        path: see above.
        frame: see above.
    """

    def __init__(
        self,
        labels: np.ndarray,
        *,
        classes: Sequence[str],
        palette: np.ndarray,
        image: 'np.ndarray | TiffWindows',
        is_bgr: bool = False,
        logits: Callable[[], Tensor] | None = None,
        path: str | None = None,
        frame: int | None = None,
    ) -> None:
        self.labels = labels
        self.classes = list(classes)
        self.palette = palette
        self.path = path
        self.frame = frame
        self._image = image
        self._is_bgr = is_bgr
        self._logits = logits

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB, at the size of the labels."""
        image = for_display(np.asarray(self._image))
        if self._is_bgr:
            image = np.ascontiguousarray(image[..., ::-1])
        height, width = self.labels.shape
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return image

    def probabilities(self) -> np.ndarray:
        """Probability of every class, (K, H, W) float32.

        Raises:
            ConfigError: they were not kept, as the image was too large.
        """
        if self._logits is None:
            raise ConfigError(
                f'the probabilities of {self.path or "this image"} were not kept, as it is '
                'predicted in tiles: give a smaller image, or --tile off'
            )
        logits = self._logits().float()
        if len(logits) == 1:
            positive = logits.sigmoid()
            return torch.cat([1 - positive, positive]).cpu().numpy()
        return logits.softmax(0).cpu().numpy()

    def confidence(self) -> np.ndarray:
        """Probability of the most probable class, (H, W) float32."""
        return self.probabilities().max(0)

    def colored(self) -> np.ndarray:
        """Labels in the colors of the palette, (H, W, 3) uint8 RGB."""
        return self.palette[self.labels]

    def overlay(self, alpha: float = 0.5) -> np.ndarray:
        """The palette's colors over the image, (H, W, 3) uint8 RGB.

        Args:
            alpha: how much of the colors is seen, 0 to 1.

        Raises:
            ConfigError: ``alpha`` is not between 0 and 1.
        """
        if not 0 <= alpha <= 1:
            raise ConfigError(f'alpha is {alpha}: give a number from 0 to 1')
        return cv2.addWeighted(self.colored(), alpha, self.image, 1 - alpha, 0)

    def polygons(self, tolerance: float = 1.0, *, around_pixels: bool = False) -> list[Shape]:
        """Outlines of the regions of all classes, holes included; see :mod:`.polygons`.

        Args:
            tolerance: largest distance in pixels between outline and polygon.
            around_pixels: outlines as COCO has them; see :func:`.polygons.shapes_of`.
        """
        return shapes_of(self.labels, tolerance=tolerance, around_pixels=around_pixels)

    def area(self, name: str, *, fraction: bool = False) -> float:
        """Pixels of a class, or their fraction of the image, 0 to 1.

        Raises:
            ConfigError: there is no such class.
        """
        if name not in self.classes:
            raise ConfigError(f'there is no class {name}: there are {", ".join(self.classes)}')
        pixels = int((self.labels == self.classes.index(name)).sum())
        return pixels / self.labels.size if fraction else pixels

    def on(self, image: np.ndarray, *, frame: int | None = None) -> 'Segmentation':
        """The same labels on another image (H, W, 3) RGB, such as the next frame of a video."""
        return Segmentation(
            self.labels,
            classes=self.classes,
            palette=self.palette,
            image=image,
            path=self.path,
            frame=frame,
        )

    def save(self, path: str | Path) -> None:
        """Writes the labels as a PNG with the palette; the file appears when it is whole.

        Raises:
            ConfigError: the name ends with something else than ``.png``.
        """
        if Path(path).suffix.lower() != '.png':
            raise ConfigError(
                f'{path}: labels are written as PNG, so give a name that ends in .png'
            )
        table = value_table(len(self.classes))
        write_label_map(str(path), self.labels, table=table, palette=self.palette.tolist())

    def __repr__(self) -> str:
        height, width = self.labels.shape
        place = f'{self.path or "image"}{"" if self.frame is None else f" frame {self.frame}"}'
        return f'Segmentation({place}, {height}x{width}, {len(self.classes)} classes)'


def as_bgr(
    image: Any, *, bgr: bool, color_type: str | None = 'color', ignore_exif: bool = False
) -> np.ndarray:
    """An image in memory as OpenCV would have read it: (H, W) or (H, W, C), blue first.

    Args:
        image: PIL image, numpy array (H, W) or (H, W, C), or torch tensor (C, H, W) or (H, W);
            values 0 to 255, or 0 to 65535 of uint16.
        bgr: its channels are in this order already.
        color_type: 'color' and 'grayscale': 8 bit, three channels or one, without alpha; None:
            as it is.
        ignore_exif: do not turn a PIL image as its EXIF data say.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(image, Image.Image):
        image = image if ignore_exif else ImageOps.exif_transpose(image)
        plain = image.mode in ('L', 'RGB') or image.mode.startswith('I;16')
        image, bgr = np.asarray(image if plain else image.convert('RGB')), False
    elif isinstance(image, Tensor):
        array = image.detach().cpu().numpy()
        image = array.transpose(1, 2, 0) if array.ndim == 3 else array
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or not image.size:
        shape = f' of shape {tuple(image.shape)}' if isinstance(image, np.ndarray) else ''
        raise ConfigError(
            f'a {type(image).__name__}{shape} is no image: give a path, a PIL image, an array '
            '(H, W) or (H, W, C), or a tensor (C, H, W)'
        )
    if color_type is not None:
        image = _as_decoded(image)
    if image.ndim == 3 and image.shape[2] == 3 and not bgr:
        image = image[..., ::-1]
    if color_type == 'grayscale' and image.ndim == 3:
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    elif color_type == 'color' and image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image)


def _as_decoded(image: np.ndarray) -> np.ndarray:
    """What a decoder makes of a stored image: 8 bit, gray (H, W) or (H, W, 3), without alpha."""
    if image.ndim == 3 and image.shape[2] in (1, 4):
        image = image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3]
    if image.ndim == 3 and image.shape[2] != 3:
        raise ConfigError(
            f'an image of shape {image.shape} has {image.shape[2]} channels, and the model takes '
            'gray and color images: give (H, W), (H, W, 3) or (H, W, 4), tensors as (C, H, W)'
        )
    if image.dtype == bool:
        return image.astype(np.uint8) * 255
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    if image.dtype.kind == 'f' and 0 < image.max() <= 1:
        raise ConfigError(
            'the image has values from 0 to 1, and the model was trained with 0 to 255: give 255 '
            'times the image'
        )
    return image
