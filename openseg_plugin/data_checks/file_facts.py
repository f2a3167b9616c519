"""Looks at one file: what a label or an image holds, as plain JSON types for the cache.

A file that cannot be read gives ``{'error': why}``; nothing is raised.

What files held is remembered, by path, time and size, in the user's cache folder, never in the
dataset. A cache that cannot be read or written costs time only.

What image decoders written in C print to the process's standard error is kept apart: libjpeg goes
on after damaged data and prints a line without the file's name; nothing else tells.
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TextIO

import numpy as np
from PIL import Image

from openseg_plugin.data_checks.perceptual_hash import image_hash, shrunk, to_gray
from openseg_plugin.utils.files import TargetError, parse_json, write_text
from openseg_plugin.utils.images import BROKEN_IMAGE, ORIENTATION

# libpng has an opinion on color profiles; the pixels are right.
_HARMLESS = ('libpng warning',)


class StderrCapture:
    """While it is entered, file descriptor 2 goes to a temporary file; Python's stderr does not.

    Where there is no standard error to redirect nothing is caught.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._before = -1
        self._python: TextIO | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> 'StderrCapture':
        try:
            self._before = os.dup(2)
        except OSError:
            return self
        self._file = tempfile.TemporaryFile('a+b')  # appending: reading moves no writer
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
            if sys.stderr.fileno() == 2:  # bars and messages of ours are still to be seen
                self._python = sys.stderr
                sys.stderr = os.fdopen(
                    os.dup(self._before), 'w', 1, encoding=sys.stderr.encoding, errors='replace'
                )
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        os.dup2(self._before, 2)
        os.close(self._before)
        if self._python is not None:
            sys.stderr.close()
            sys.stderr = self._python
        self._file.close()
        self._file = None

    def size(self) -> int:
        """Bytes that were printed so far."""
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_size

    def since(self, size: int) -> str:
        """The first line after ``size`` bytes that is about damage, or ''."""
        if self._file is None or self.size() <= size:
            return ''
        with self._lock:
            os.lseek(self._file.fileno(), size, os.SEEK_SET)
            text = os.read(self._file.fileno(), 1 << 16).decode(errors='replace')
        lines = (line.strip() for line in text.splitlines())
        return next((line for line in lines if line and not line.startswith(_HARMLESS)), '')


Facts = dict[str, Any]

# A color label has as many colors as classes; an image saved as label has thousands.
MANY_COLORS = 300
ROWS = 48  # rows of a label that are looked at to see where and how its values lie
_STARTS = (b'\xff\xd8', b'\x89PNG')  # of JPEG and PNG files
_TIFF = (b'II*\x00', b'MM\x00*', b'II+\x00', b'MM\x00+')
_BROKEN: tuple[type[Exception], ...] = (*BROKEN_IMAGE, MemoryError)


def read_label_facts(path: Path) -> Facts:
    """What a label file holds.

    Returns:
        ``size`` [width, height]; ``mode`` of Pillow; ``counts`` {raw value: pixels} for one
        channel, or ``colors`` {'r,g,b': pixels} (``many`` if more than MANY_COLORS, then the
        most frequent); ``palette`` {value: [r, g, b]} of the values that occur in palette files;
        for one byte per pixel ``places`` {value: [mean height, 0 at the top .. 1; fraction of the
        border's pixels; fractions of its own pixels in the top and in the bottom fifth]} and
        ``steps`` [changes between neighbors in a row that go on the same way at the next pixel,
        that turn back there, all changes]; ``format`` of the file.
    """
    return _guarded(_label_facts, path)


def read_image_facts(path: Path) -> Facts:
    """What an image file holds.

    Returns:
        ``size`` [width, height] as stored; EXIF ``turn`` (1 = upright); ``digest`` of the content
        and ``pixels``, that of the gray image; ``image_hash`` to find copies in another
        format or size;
        ``damage`` where OpenCV cannot decode it.
    """
    return _guarded(_image_facts, path)


def read_damaged_image(path: Path, words: StderrCapture) -> Facts:
    """:func:`read_image_facts` of a file whose decoder may have complained, read alone.

    ``damage`` is what the decoder printed; a file that Pillow refuses is an error.
    """
    before = words.size()
    facts = read_image_facts(path)
    said = _damage(words.since(before), path)
    if 'error' in facts or not said:
        return facts
    return _guarded(lambda path: _loaded(path, facts | {'damage': said}), path)


def _damage(said: str, path: Path) -> str:
    """What a decoder printed, without what it says of whole TIFF files of many bands."""
    try:
        with path.open('rb') as file:
            is_tiff = file.read(4) in _TIFF
    except OSError:
        return said
    lines = [line for line in said.splitlines() if not (is_tiff and 'Warning' in line)]
    return ' '.join(lines)


def read_loaded_image(path: Path, load: Callable[[Path], np.ndarray]) -> Facts:
    """:func:`read_image_facts` of a file that only the loader of a config reads.

    Args:
        path: the file.
        load: gives its pixels, (H, W) or (H, W, C).
    """

    def read(path: Path) -> Facts:
        try:
            image = load(path)
        except Exception as error:  # whatever a loader raises for a broken file
            raise ValueError(str(error) or type(error).__name__) from error
        gray = to_gray(image)
        return {
            'size': [image.shape[1], image.shape[0]],
            'turn': 1,
            'digest': hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest(),
            'pixels': hashlib.blake2b(gray.tobytes(), digest_size=12).hexdigest(),
            'image_hash': image_hash(gray),
        }

    return _guarded(read, path)


def has_own_marks(path: Path) -> bool:
    """Whether a file is a JPEG or PNG, which Pillow judges better than a loader does."""
    try:
        with path.open('rb') as file:
            return file.read(4).startswith(_STARTS)
    except OSError:
        return True


def _loaded(path: Path, facts: Facts) -> Facts:
    """``facts`` of an image that Pillow can read as a whole."""
    with Image.open(path) as image:
        image.load()
    return facts


def _guarded(read: Callable[[Path], Facts], path: Path) -> Facts:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Pillow's opinion on odd EXIF data
            if os.path.getsize(path) == 0:
                return {'error': 'the file is empty'}
            return read(path)
    except FileNotFoundError:
        return {'error': 'missing'}
    except _BROKEN as error:
        return {'error': _short(error, path)}


def _short(error: Exception, path: Path) -> str:
    text = ' '.join(str(error).replace(f' {str(path)!r}', '').split())
    if 'cannot identify' in text:
        with path.open('rb') as file:
            known = file.read(4).startswith(_STARTS)
        return 'cut short or broken (its header is damaged)' if known else 'not an image'
    if any(word in text.lower() for word in ('truncated', 'broken', 'end of file', 'stream')):
        return f'cut short or broken ({text})'
    return text or type(error).__name__


def _label_facts(path: Path) -> Facts:
    with Image.open(path) as image:
        values = np.asarray(image)
        facts: Facts = {'mode': image.mode, 'size': list(image.size), 'format': image.format}
        palette = image.getpalette('RGB') if image.mode == 'P' else None
    if values.ndim == 3:
        return facts | _color_facts(values)
    numbers, pixels = _count(values)
    facts['counts'] = {str(v): n for v, n in zip(numbers, pixels)}
    if values.dtype in (np.uint8, bool) and values.size:
        narrow = values.astype(np.uint8, copy=False)
        facts |= {'places': _places(narrow), 'steps': _steps(narrow)}
    if palette:
        facts['palette'] = {
            str(v): palette[3 * v : 3 * v + 3] for v in numbers if 3 * v + 2 < len(palette)
        }
    return facts


def _count(values: np.ndarray) -> tuple[list[int], list[int]]:
    if values.dtype in (np.uint8, bool):
        counts = np.bincount(values.astype(np.uint8, copy=False).ravel(), minlength=256)
        numbers = np.flatnonzero(counts)
        return numbers.tolist(), counts[numbers].tolist()
    numbers, pixels = np.unique(values, return_counts=True)
    return [int(v) for v in numbers], [int(n) for n in pixels]


def _looked_at(height: int) -> np.ndarray:
    return np.unique(np.linspace(0, height - 1, min(height, ROWS)).round().astype(int))


def _places(values: np.ndarray) -> dict[str, list[float]]:
    """Where the values of an (H, W) uint8 label lie, from some of its rows."""
    height = len(values)
    rows = _looked_at(height)
    packed = values[rows].astype(np.int32) + 256 * np.arange(len(rows), dtype=np.int32)[:, None]
    counts = np.bincount(packed.ravel(), minlength=256 * len(rows)).reshape(len(rows), 256)
    pixels = np.maximum(counts.sum(0), 1)
    heights = rows / max(height - 1, 1) @ counts / pixels
    ends = max(len(rows) // 5, 1)
    top, bottom = counts[:ends].sum(0) / pixels, counts[-ends:].sum(0) / pixels
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    border = np.bincount(edge, minlength=256) / len(edge)
    return {
        str(v): [round(float(part[v]), 4) for part in (heights, border, top, bottom)]
        for v in np.flatnonzero(counts.sum(0))
    }


def _steps(values: np.ndarray) -> list[int]:
    """How often a value lies between those of its neighbors, as smoothing makes it."""
    change = np.sign(np.diff(values[_looked_at(len(values))].astype(np.int16), axis=1))
    next_to = change[:, 1:] * change[:, :-1]
    return [int(n.sum()) for n in (next_to > 0, next_to < 0, change[:, :-1] != 0)]


def _color_facts(values: np.ndarray) -> Facts:
    wide = values.astype(np.int64)
    if values.shape[2] == 2:  # gray with alpha
        wide = wide[..., [0, 0, 0]]
    packed = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    colors, pixels = np.unique(packed, return_counts=True)
    order = np.argsort(-pixels, kind='stable')[:MANY_COLORS]
    named = {
        f'{c >> 16},{c >> 8 & 255},{c & 255}': int(n)
        for c, n in zip(colors[order].tolist(), pixels[order])
    }
    return {'colors': named, 'many': len(colors) > MANY_COLORS}


def _image_facts(path: Path) -> Facts:
    content = path.read_bytes()
    facts: Facts = {'turn': 1, 'digest': hashlib.blake2b(content, digest_size=12).hexdigest()}
    if content[:4] in _TIFF:
        gray = shrunk(content, (0, 0))  # Pillow does not know many kinds that OpenCV reads
    else:
        with Image.open(path) as image:
            facts['size'] = list(image.size)
            facts['turn'] = int(image.getexif().get(ORIENTATION, 1) or 1)
            if not _ends_well(content):
                image.load()  # raises where data are missing; cameras append bytes to whole files
        gray = shrunk(content, facts['size'])
    if gray is not None:
        facts.setdefault('size', list(gray.shape[::-1]))
    else:
        with Image.open(path) as image:
            facts.setdefault('size', list(image.size))
        return _loaded(path, facts | {'damage': 'OpenCV cannot decode it'})
    pixels = hashlib.blake2b(gray.tobytes(), digest_size=12).hexdigest()
    return facts | {'image_hash': image_hash(gray), 'pixels': pixels}


def _ends_well(content: bytes) -> bool:
    if content.startswith(_STARTS[0]):
        return content.endswith(b'\xff\xd9')
    return content.startswith(_STARTS[1]) and content.endswith(b'IEND\xaeB`\x82')


_FORMAT = 6  # raise it when the facts change


def default_folder() -> Path:
    """Where the user's system keeps caches."""
    if os.environ.get('XDG_CACHE_HOME'):
        return Path(os.environ['XDG_CACHE_HOME'], 'openseg_plugin')
    if sys.platform == 'darwin':
        return Path.home() / 'Library' / 'Caches' / 'openseg_plugin'
    if os.environ.get('LOCALAPPDATA'):
        return Path(os.environ['LOCALAPPDATA'], 'openseg_plugin', 'Cache')
    return Path.home() / '.cache' / 'openseg_plugin'


class Cache:
    """Facts of files, kept between runs.

    Args:
        folder: where the cache is; None keeps nothing.
        name: what is looked at; every name has its own cache file.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        key = hashlib.sha256(name.encode()).hexdigest()[:16]
        self.path = None if folder is None else folder / f'labels-{key}.json'
        self._entries: dict[str, list] = {}
        self._is_changed = False
        if self.path is not None:
            try:
                stored = parse_json(self.path.read_text(encoding='utf-8'))
                if stored.get('format') == _FORMAT:
                    self._entries = dict(stored['files'])
            except (OSError, ValueError, AttributeError, KeyError, TypeError):
                pass  # no cache yet, or none that can be used

    def get(self, kind: str, path: Path) -> Facts | None:
        """What the file held, if it has not changed since."""
        entry = self._entries.get(f'{kind} {path}')
        stamp = _stamp(path)
        if stamp is None or not isinstance(entry, list) or len(entry) != 3 or entry[:2] != stamp:
            return None
        return entry[2]

    def put(self, kind: str, path: Path, facts: Facts) -> None:
        """Remembers what a file holds; files that are missing are looked for every time."""
        stamp = _stamp(path)
        if stamp is not None:
            self._entries[f'{kind} {path}'] = [*stamp, facts]
            self._is_changed = True

    def save(self) -> None:
        """Writes the cache in one step."""
        if self.path is None or not self._is_changed:
            return
        try:
            write_text(self.path, json.dumps({'format': _FORMAT, 'files': self._entries}))
        except (OSError, TargetError):
            return
        self._is_changed = False


def _stamp(path: Path) -> list[int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return [state.st_mtime_ns, state.st_size]
