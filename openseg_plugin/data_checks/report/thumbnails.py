"""Small pictures for the report: picture, label and overlay. (H, W, 3) uint8 RGB throughout."""

import base64
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from openseg_plugin.converters.datasets.core.pairs import distinct_colours
from openseg_plugin.data_checks.dataset_spec import Rules
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.report.overlay import blend, colour

_SIDE = 260  # pixels of the longer side
# Patterns, not colours: any colour may be that of a class.
_CHECK = 4  # pixels
IGNORED_COLOURS = ((105, 105, 105), (150, 150, 150))
WRONG_COLOURS = ((255, 255, 255), (230, 0, 0))  # values that are no class
_PLAIN, _IGNORED, _WRONG = 0, 1, 2
_OTHERS = (60, 60, 60)  # other classes, where one is shown alone
_BLANK = (200, 200, 200)


def thumbnails(record: Record, *, only: int | None = None) -> list[tuple[str, np.ndarray]]:
    """What is shown of a pair, each with its caption; files that cannot be read are left grey.

    Args:
        record: the pair.
        only: show this class in colour and the others grey.
    """
    picture = _picture(record.pair.picture, turned=record.split.turns_pictures)
    shown = [('picture', _small(picture))] if picture is not None else []
    if record.pair.label is None:
        return shown
    label = _label(record, only=only)
    if label is None:
        return [*shown, ('label: cannot be read', np.full((60, 80, 3), _BLANK, np.uint8))]
    caption = 'label (grey checks: ignored, red and white checks: no class)'
    shown.append((caption, _drawn(*label, _fitting(label[0]))))
    if picture is not None:
        small = shown[0][1]
        drawn = _drawn(*label, (small.shape[1], small.shape[0]))
        shown.append(('overlay', blend(small, drawn, share=0.5)))
    return shown


def class_colours(rules: Rules, number: int = 0) -> list[tuple[int, int, int]]:
    """The colours that thumbnails give the classes, at least ``number`` where none are named."""
    if rules.palette:
        return [tuple(map(int, colour)) for colour in rules.palette]
    return list(distinct_colours(min(max(len(rules.classes), number), 255)))


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


def _label(record: Record, *, only: int | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Colours (H, W, 3) uint8, and which pixels get a pattern, (H, W) uint8."""
    raw = _open(record.pair.label, turned=False, mode=None)
    if raw is None or raw.size == 0:
        return None
    if raw.ndim == 3:
        colours = raw[..., :3] if raw.shape[2] >= 3 else raw[..., [0, 0, 0]]
        return colours.astype(np.uint8), np.zeros(raw.shape[:2], np.uint8)
    rules = record.split.rules
    inside = (raw >= 0) & (raw < 256) if raw.dtype != bool else np.ones(raw.shape, bool)
    values = np.where(inside, rules.table[np.where(inside, raw, 0).astype(np.uint8)], -1)
    if only is not None:
        palette = class_colours(rules, only + 1)
        own = palette[only] if only < len(palette) else (255, 255, 255)
        shown = np.full((*values.shape, 3), _OTHERS, np.uint8)
        shown[values == only] = own if max(own) > 40 else (255, 255, 255)
    else:
        shown = colour(values, class_colours(rules, 1 + int(values.max(initial=0))))
    marks = np.full(values.shape, _PLAIN, np.uint8)
    marks[values == rules.ignore_index] = _IGNORED
    marks[values < 0] = _WRONG
    return shown, marks


def _drawn(colours: np.ndarray, marks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A label at ``size`` (width, height), with its patterns."""
    shown = cv2.resize(np.ascontiguousarray(colours), size, interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(marks, size, interpolation=cv2.INTER_NEAREST)
    rows, columns = np.indices(small.shape) // _CHECK
    odd = (rows + columns) % 2
    for mark, pair in ((_IGNORED, IGNORED_COLOURS), (_WRONG, WRONG_COLOURS)):
        shown[small == mark] = np.array(pair, np.uint8)[odd[small == mark]]
    return shown


def _fitting(picture: np.ndarray) -> tuple[int, int]:
    """(width, height) of a thumbnail."""
    height, width = picture.shape[:2]
    factor = _SIDE / max(height, width)
    return max(round(width * factor), 1), max(round(height * factor), 1)


def _small(picture: np.ndarray) -> np.ndarray:
    size = _fitting(picture)
    how = cv2.INTER_AREA if max(size) < max(picture.shape[:2]) else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=how)
