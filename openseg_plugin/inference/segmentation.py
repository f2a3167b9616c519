"""What a model says about one image, and what can be made of it.

K classes, H, W size of the image in pixels. Images are (H, W, 3) uint8 RGB.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.polygons import Shape, shapes_of
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
        image: (H', W') or (H', W', C) as it was read; of another size than the labels only where
            a protocol predicts at another size.
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
        image: np.ndarray,
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
        image = for_display(self._image)
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

    def polygons(self, tolerance: float = 1.0) -> list[Shape]:
        """Outlines of the regions of all classes, holes included; see :mod:`.polygons`.

        Args:
            tolerance: largest distance in pixels between outline and polygon.
        """
        return shapes_of(self.labels, tolerance=tolerance)

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


def as_bgr(image: Any, *, bgr: bool) -> np.ndarray:
    """An image in memory as OpenCV would have read it: (H, W) or (H, W, C), blue first.

    Args:
        image: PIL image, numpy array (H, W) or (H, W, C), or torch tensor (C, H, W) or (H, W).
        bgr: its channels are in this order already.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(image, Image.Image):
        image = np.asarray(image if image.mode in ('L', 'RGB') else image.convert('RGB'))
    elif isinstance(image, Tensor):
        array = image.detach().cpu().numpy()
        image = array.transpose(1, 2, 0) if array.ndim == 3 else array
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or not image.size:
        raise ConfigError(
            f'a {type(image).__name__} is no image: give a path, a PIL image, an array (H, W) or '
            '(H, W, C), or a tensor (C, H, W)'
        )
    if image.ndim == 3 and image.shape[2] == 3 and not bgr:
        image = image[..., ::-1]
    return np.ascontiguousarray(image)
