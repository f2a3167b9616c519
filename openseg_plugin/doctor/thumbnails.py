"""Small pictures for the report: picture, label and overlay. (H, W, 3) uint8 RGB throughout."""

import base64
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from openseg_plugin.converters.datasets.core.own_data import distinct_colours
from openseg_plugin.doctor.examine import Record
from openseg_plugin.report.overlay import blend, colour

_SIDE = 260  # pixels of the longer side
_WRONG = (255, 0, 255)  # values that are no class
_IGNORED = (0, 0, 0)
_OTHERS = (60, 60, 60)  # other classes, where one is shown alone
_BLANK = (200, 200, 200)


def thumbnails(record: Record, *, only: int | None = None) -> list[tuple[str, np.ndarray]]:
    """What is shown of a pair, each with its caption; files that cannot be read are left grey.

    Args:
        record: the pair.
        only: show this class in colour and the others grey.
    """
    picture = _picture(record.pair.picture, turned=record.split.turns_pictures)
    shown = [('picture', _small(picture, smooth=True))] if picture is not None else []
    if record.pair.label is None:
        return shown
    label = _label(record, only=only)
    if label is None:
        return [*shown, ('label: cannot be read', np.full((60, 80, 3), _BLANK, np.uint8))]
    shown.append(('label (magenta: no class, black: ignored)', _small(label, smooth=False)))
    if picture is not None:
        size = (picture.shape[1], picture.shape[0])
        fitted = label
        if label.shape != picture.shape:
            fitted = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
        both = blend(np.ascontiguousarray(picture), np.ascontiguousarray(fitted), share=0.5)
        shown.append(('overlay', _small(both, smooth=True)))
    return shown


def data_url(picture: np.ndarray, *, lossless: bool) -> str:
    """An RGB picture as the address of an ``<img>``: PNG, or a JPEG a tenth as large."""
    kind = 'png' if lossless else 'jpeg'
    content = cv2.imencode(f'.{kind}', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'


def _open(path: Path | None, *, turned: bool, mode: str | None) -> np.ndarray | None:
    """Pixels of a file, as far as it can be read; None if it cannot be opened at all."""
    if path is None:
        return None
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(path) as picture:
                upright = ImageOps.exif_transpose(picture) if turned else picture
                return np.asarray(upright.convert(mode) if mode else upright)
    except Exception:  # whatever a decoder does with a broken file: there is no thumbnail then
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _picture(path: Path | None, *, turned: bool) -> np.ndarray | None:
    return _open(path, turned=turned, mode='RGB')


def _label(record: Record, *, only: int | None) -> np.ndarray | None:
    raw = _open(record.pair.label, turned=False, mode=None)
    if raw is None or raw.size == 0:
        return None
    if raw.ndim == 3:
        return raw[..., :3].astype(np.uint8) if raw.shape[2] >= 3 else raw[..., [0, 0, 0]]
    rules = record.split.rules
    inside = (raw >= 0) & (raw < 256) if raw.dtype != bool else np.ones(raw.shape, bool)
    values = np.where(inside, rules.table[np.where(inside, raw, 0).astype(np.uint8)], -1)
    if only is not None:
        palette = list(rules.palette) or list(distinct_colours(only + 2))
        own = palette[only] if only < len(palette) else (255, 255, 255)
        shown = np.full((*values.shape, 3), _OTHERS, np.uint8)
        shown[values == only] = own if max(own) > 40 else (255, 255, 255)
    else:
        number = max(len(rules.classes), 1 + int(values.max(initial=0)))
        shown = colour(values, rules.palette or distinct_colours(min(number, 255)))
    shown[values == rules.ignore_index] = _IGNORED
    shown[values < 0] = _WRONG
    return shown


def _small(picture: np.ndarray, *, smooth: bool) -> np.ndarray:
    height, width = picture.shape[:2]
    factor = _SIDE / max(height, width)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    how = cv2.INTER_AREA if smooth and factor < 1 else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=how)
