"""What a request to the server holds, and the bytes of its answer.

The image in the body is read by the model's own pipeline; its header is looked at before anything
is decoded.
"""

import io
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from openseg_plugin.errors import UserError
from openseg_plugin.inference.polygons import FORMATS, as_text, coco_file, labelme
from openseg_plugin.inference.segmentation import Segmentation
from openseg_plugin.inference.segmenter import Segmenter
from openseg_plugin.inference.sources import TIFF_STARTS, as_bytes, tiff_shape

OUTPUTS = ('labels', 'overlay', 'polygons', 'raw')
_ENDINGS = {'PNG': '.png', 'JPEG': '.jpg', 'BMP': '.bmp', 'WEBP': '.webp', 'TIFF': '.tif'}
_USUAL_BANDS = 4  # with more than these, and than the model takes, fewer pixels are allowed


class Refused(Exception):
    """A request that is answered by a sentence.

    Args:
        status: of HTTP.
        sentence: what is wrong and what to do.
        headers: of the answer.
    """

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class RequestOptions:
    """What a request asks for."""

    output: str = 'labels'
    alpha: float = 0.5
    format: str = 'labelme'
    tolerance: float = 1.0

    def drawn(self, found: Segmentation) -> tuple[bytes, str]:
        """Body and media type of the answer."""
        if self.output == 'overlay':
            return as_bytes(found.overlay(self.alpha), '.jpg'), 'image/jpeg'
        if self.output == 'labels':
            return label_png(found), 'image/png'
        if self.output == 'raw':
            numbers = np.ascontiguousarray(found.labels, found.labels.dtype.newbyteorder('<'))
            return numbers.tobytes(), 'application/octet-stream'
        is_coco, size = self.format == 'coco', found.labels.shape
        shapes = found.polygons(self.tolerance, around_pixels=is_coco)
        if is_coco:
            content = coco_file([('image', size, shapes)], found.classes)
        else:
            content = labelme(shapes, found.classes, image_name='image', size=size)
        return as_text(content).encode(), 'application/json'


def request_options(query: Mapping[str, str]) -> RequestOptions:
    """What the address asks for.

    Raises:
        Refused: it asks for what there is not.
    """
    known = {'output': OUTPUTS, 'format': FORMATS, 'alpha': (0.0, 1.0), 'tolerance': (0.0, 100.0)}
    chosen: dict[str, Any] = {}
    for name, text in query.items():
        if name not in known:
            raise Refused(400, f'there is no option {name!r:.40}: there are {", ".join(known)}')
        values: tuple[Any, ...] = known[name]
        if isinstance(values[0], str):
            if text not in values:
                raise Refused(400, f'{name} is {text!r:.40}: give one of {", ".join(values)}')
            chosen[name] = text
            continue
        try:
            chosen[name] = float(text)
        except ValueError:
            chosen[name] = float('nan')
        if not values[0] <= chosen[name] <= values[1]:
            raise Refused(
                400, f'{name} is {text!r:.40}: give a number from {values[0]:g} to {values[1]:g}'
            )
    return RequestOptions(**chosen)


def label_png(found: Segmentation) -> bytes:
    """The class numbers as a PNG with the palette; beyond 256 classes with 16 bits and none."""
    image = Image.fromarray(found.labels)
    if found.labels.dtype == np.uint8:
        colors = np.zeros((256, 3), np.uint8)
        colors[: len(found.palette)] = found.palette[:256]
        image.putpalette(colors.tobytes())
    content = io.BytesIO()
    image.save(content, format='PNG', compress_level=1)
    return content.getvalue()


def decode(segmenter: Segmenter, content: bytes, max_pixels: int) -> np.ndarray:
    """The image in a body, (H, W) or (H, W, C), as the model's own pipeline reads a file.

    Args:
        segmenter: whose pipeline it is.
        content: of the file.
        max_pixels: that it may have; its header says how many, before anything is decoded.

    Raises:
        Refused: it is no image, is broken or too large.
    """
    is_tiff = content.startswith(TIFF_STARTS)
    ending = None if is_tiff and not segmenter.is_bgr else _ending(content, max_pixels)
    if ending is None and not is_tiff:
        names = ', '.join(_ENDINGS)
        raise Refused(400, f'the body is no image that is known here: send {names}')
    with tempfile.TemporaryDirectory(prefix='openseg') as folder:
        path = os.path.join(folder, f'image{ending or ".tif"}')
        with open(path, 'wb') as file:
            file.write(content)
        try:
            if ending is None:
                height, width, bands = tiff_shape(path, channels=segmenter.channels)
                usual = max(_USUAL_BANDS, segmenter.channels or 0)
                if height * width * max(bands, usual) > max_pixels * usual:
                    raise _too_many_pixels(f'{width}x{height}', max_pixels, bands=bands)
            return np.array(segmenter.read(path))  # nothing of it stays on the disk
        except UserError as error:
            text = str(error).replace(path, 'in the body')
            raise Refused(400, text) from error


def _ending(content: bytes, max_pixels: int) -> str | None:
    """Of a file with such a content; None: it is nothing that Pillow knows.

    Raises:
        Refused: it has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=tuple(_ENDINGS)) as opened:
                (width, height), kind = opened.size, opened.format
    except Image.DecompressionBombError as error:
        raise _too_many_pixels('too many', max_pixels) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None
    if width * height > max_pixels:
        raise _too_many_pixels(f'{width}x{height}', max_pixels)
    return _ENDINGS[str(kind)]


def _too_many_pixels(size: str, limit: int, *, bands: int | None = None) -> Refused:
    of_bands = '' if bands is None else f' of {bands} bands'
    text = f'the image has {size} pixels{of_bands}, more than {limit}: send a smaller one'
    return Refused(413, text)
