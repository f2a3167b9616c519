"""What a set of label images holds: every file is examined before one way to read all is chosen.

Decided per set, because a file alone misleads: an empty mask fits every kind, and one blurred mask
does not make numbers of twenty-nine black and white ones.
"""

import os
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from openseg_plugin.converters.datasets.core.images import count_values, read_image
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils.pool import FEW, in_processes, usable_cores

Kind = Literal['numbers', 'colors', 'binary']
_BINARY = '--kind binary --threshold 128'
_BLACK_WHITE = {(0, 0, 0), (255, 255, 255)}
# A soft mask has both ends and values all over the middle; where no other file of the set is plain
# black and white, most pixels must lie near the ends too, and no value between them have many.
_LOW, _HIGH = 16, 240
_MOST_BETWEEN, _MOST_OF_ONE = 0.3, 0.05
# Colors that a message names, and files in which it looks for them.
_SHOWN, _SAMPLE = 12, 50
# Channels of gray in a lossy file differ by no more.
_TINT = 24
# TIFF's tag for the kind of a page, and its bits for smaller copies and masks.
_SUBFILE, _SMALLER, _MASK = 254, 1, 4


@dataclass(frozen=True)
class LabelFile:
    """A decoded label image.

    Attributes:
        pixels: (H, W) or (H, W, channels); positions of the palette where there is one.
        palette: (256, 3) uint8 of a palette image, or None.
        has_alpha: the last channel is the opacity.
        format: as Pillow names it.
        is_lossy: it was compressed with loss.
    """

    pixels: np.ndarray
    palette: np.ndarray | None
    has_alpha: bool
    format: str
    is_lossy: bool = False

    @property
    def channels(self) -> np.ndarray:
        """Color channels without the opacity: (H, W, 1 or 3)."""
        pixels = self.pixels[..., None] if self.pixels.ndim == 2 else self.pixels
        return pixels[..., :-1] if self.has_alpha else pixels

    def rgb(self) -> np.ndarray:
        """Colors: (H, W, 3) uint8."""
        if self.palette is not None:
            return self.palette[self.pixels]
        channels = self.channels
        if channels.dtype == bool:
            channels = channels.astype(np.uint8) * 255
        return channels[..., :3] if channels.shape[2] >= 3 else channels[..., [0, 0, 0]]

    def numbers(self, *, by_color: bool = False) -> np.ndarray | None:
        """One number per pixel, (H, W); None where there are colors.

        Args:
            by_color: of a palette image its gray levels, not the positions of the palette.
        """
        # a GIF's palette is arranged by whatever wrote the file
        by_color = by_color or self.format == 'GIF'
        if self.palette is not None and not by_color:
            return self.pixels
        channels = self.rgb() if self.palette is not None else self.channels
        if (channels != channels[..., :1]).any():
            # gray comes back from a lossy file with a tint
            if not self.is_lossy or np.ptp(channels.astype(np.int16), axis=2).max() > _TINT:
                return None
            channels = channels[..., 1:]
        gray = channels[..., 0]
        return gray.astype(np.uint8) * 255 if gray.dtype == bool else gray

    def alpha(self) -> np.ndarray | None:
        """Opacity where the image is one color throughout, so that it alone says something."""
        if not self.has_alpha:
            return None
        channels = self.channels
        is_one_color = (channels == channels[:1, :1]).all()
        return self.pixels[..., -1] if is_one_color else None


def open_label(path: Path) -> LabelFile:
    """A label image of any mode.

    Raises:
        DataError: it cannot be decoded, or holds several images.
    """
    pixels = read_image(path)
    with Image.open(path) as image:
        palette = None
        if image.mode == 'P':
            colors = np.frombuffer(bytes(image.getpalette('RGB') or []), np.uint8)
            palette = np.zeros((256, 3), np.uint8)
            palette[: len(colors) // 3] = colors.reshape(-1, 3)
        has_alpha = image.mode in ('RGBA', 'LA') and pixels.ndim == 3
        try:
            number = 1 + _other_pages(image)
        except (OSError, SyntaxError, ValueError, LookupError, struct.error) as error:
            raise DataError(f'{path} cannot be decoded ({error}): get an intact copy') from error
        if number > 1:
            raise DataError(
                f'{path} holds {number} pages or frames where one label is needed: save the right '
                'one, or make one label of them'
            )
        is_lossy = image.format in ('JPEG', 'MPO')
        is_lossy = is_lossy or (image.format == 'WEBP' and _is_lossy_webp(path))
        return LabelFile(pixels, palette, has_alpha, image.format or '', is_lossy)


def _other_pages(image: Image.Image) -> int:
    """Number of further images in a file, without smaller copies and masks, as TIFFs have them."""
    number = 0 if image.format == 'MPO' else getattr(image, 'n_frames', 1) - 1
    if not isinstance(image, TiffImageFile):
        return number
    size, found = image.size, 0
    for page in range(1, number + 1):
        image.seek(page)
        is_helper = image.tag_v2.get(_SUBFILE, 0) & (_SMALLER | _MASK)
        found += image.size == size and not is_helper
    return found


def _is_lossy_webp(path: Path) -> bool:
    """Whether a WebP was compressed with loss, by the first of its chunks that holds pixels."""
    with path.open('rb') as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            kind, length = struct.unpack('<4sI', head)
            if kind in (b'VP8 ', b'VP8L'):
                return kind == b'VP8 '
            file.seek(length + length % 2, os.SEEK_CUR)
    return False


def describe_colors(paths: Sequence[Path]) -> str:
    """Which colors label images hold, for a message; of a large set the first files tell."""
    counts: Counter[tuple[int, ...]] = Counter()
    for path in paths[:_SAMPLE]:
        try:
            rgb = open_label(path).rgb().reshape(-1, 3)
        except DataError:
            continue
        colors, numbers = np.unique(rgb, axis=0, return_counts=True)
        counts.update(dict(zip(map(tuple, colors.tolist()), numbers.tolist())))
    shown = ', '.join(' '.join(map(str, color)) for color, _ in counts.most_common(_SHOWN))
    more = f' and {len(counts) - _SHOWN} more' if len(counts) > _SHOWN else ''
    files = 'the labels hold' if len(paths) <= _SAMPLE else f'the first {_SAMPLE} labels hold'
    return f'{files} {shown}{more}'


def may_be_alpha(path: Path) -> bool:
    """Whether an image has an opacity, by its header; one that cannot be opened has none."""
    try:
        with Image.open(path) as image:
            return image.mode in ('RGBA', 'LA')
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


@dataclass(frozen=True)
class Facts:
    """What one label image holds.

    Attributes:
        path: the file.
        has_colors: its channels differ.
        values: the numbers in it.
        colors: position -> color of a palette image, of those that occur.
        high: the highest number that its format can hold.
        fractions: lowest and highest value where there are numbers with fractions.
        is_soft: it may be black and white with levels in between.
        is_surely_soft: it is, whatever the other files hold.
        lossy: what it is, if it was compressed with loss.
        opacity: the values of the opacity where that alone may be the mask.
    """

    path: Path
    has_colors: bool = False
    values: frozenset[int] = frozenset()
    colors: tuple[tuple[int, tuple[int, int, int]], ...] = ()
    high: int = 255
    fractions: tuple[float, float] | None = None
    is_soft: bool = False
    is_surely_soft: bool = False
    lossy: str = ''
    opacity: frozenset[int] = frozenset()

    @property
    def is_two_valued(self) -> bool:
        """Only black and white occur."""
        if self.colors:
            return {color for _, color in self.colors} <= _BLACK_WHITE
        return not self.has_colors and self.values <= {0, self.high}


def examine(paths: Sequence[Path]) -> list[Facts]:
    """Facts of the label images that can be decoded; the others' samples say what is wrong."""
    workers = usable_cores() if len(paths) > FEW else 1
    found = [facts for facts in in_processes(_facts, paths, workers=workers) if facts is not None]
    return sorted(found, key=lambda facts: facts.path)


def _facts(path: Path) -> Facts | None:
    try:
        file = open_label(path)
    except DataError:
        return None
    lossy = {'WEBP': 'lossy WebP'}.get(file.format, 'JPEG') if file.is_lossy else ''
    opacity = file.alpha()
    seen = frozenset() if opacity is None else frozenset(np.unique(opacity).tolist())
    numbers = file.numbers()
    if numbers is None:
        return Facts(path, True, lossy=lossy, opacity=seen)
    if np.issubdtype(numbers.dtype, np.floating):
        if not np.isfinite(numbers).all() or (numbers != np.round(numbers)).any():
            return Facts(path, fractions=(float(numbers.min()), float(numbers.max())))
        numbers = numbers.astype(np.int64)
    values, soft = _seen(numbers)
    colors: tuple = ()
    if file.palette is not None and file.format != 'GIF':
        colors = tuple((v, tuple(file.palette[v].tolist())) for v in sorted(values))
    high = 255 if numbers.dtype == np.uint8 or max(values, default=0) < 256 else 65535
    return Facts(
        path,
        values=values,
        colors=colors,
        high=high,
        is_soft=soft[0] and not colors,
        is_surely_soft=soft[1] and not colors,
        lossy=lossy,
        opacity=seen,
    )


def _seen(numbers: np.ndarray) -> tuple[frozenset[int], tuple[bool, bool]]:
    """The values that occur, and whether they may be, and surely are, those of a soft mask."""
    if numbers.dtype == np.uint8:
        counts = count_values(np.ascontiguousarray(numbers))
        return frozenset(np.flatnonzero(counts).tolist()), _is_soft(counts)
    values = frozenset(np.unique(numbers).tolist())
    if max(values, default=0) < 256 or min(values, default=0) < 0:
        return values, (False, False)
    high_byte = (numbers.astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
    return values, _is_soft(count_values(high_byte))


def _is_soft(counts: np.ndarray) -> tuple[bool, bool]:
    total, between = counts.sum(), counts[_LOW:_HIGH]
    if not counts[:_LOW].any() or not counts[_HIGH:].any():
        return False, False
    # noise of JPEG lies beside the ends, blurred borders all over the middle
    is_soft = np.count_nonzero(counts[64:192]) >= 3 or counts[_HIGH:255].any()
    is_sure = between.sum() <= _MOST_BETWEEN * total and between.max() <= _MOST_OF_ONE * total
    return bool(is_soft), bool(is_soft and is_sure)


@dataclass(frozen=True)
class Reading:
    """How all label images of a set are read.

    Attributes:
        kind: what they hold.
        from_alpha: the opacity is the mask.
        why: what the user should know about the choice; empty where it is what was asked for.
    """

    kind: Kind
    from_alpha: bool = False
    why: str = ''


def choose_reading(found: Iterable[Facts], *, num_classes: int, kind: Kind | None) -> Reading:
    """How to read a set of label images, from what each of them holds.

    Args:
        found: facts of all files.
        num_classes: number of classes that the user names, or 0.
        kind: what the user says they hold, or None.

    Raises:
        DataError: the files can be read in no way that is sure to be right; names one of them and
            the option that decides.
        ConfigError: they hold colors, and the user says numbers.
    """
    files = list(found)
    for facts in files:
        if facts.fractions is not None:
            low, high = facts.fractions
            raise DataError(
                f'{facts.path} holds numbers with fractions ({low:g}..{high:g}), such as '
                'probabilities: give --kind binary and --threshold, such as --threshold 0.5'
            )
    if is_alpha_set(files):
        return _read_alpha(files)
    _refuse_mixed_alpha(files)
    colored = next((facts for facts in files if facts.has_colors), None)
    clash = _palette_clash(files)
    if clash and kind == 'numbers':
        raise ConfigError(f'{clash}: their positions are no class numbers; give --colors FILE')
    if kind == 'numbers':
        return Reading('numbers')
    if num_classes <= 2 and _is_two_valued_set(files):
        why = 'labels hold only 0 and 255: taken as 0/255 masks (--kind binary)'
        return Reading('binary', why=why)
    if colored or clash:
        return Reading('colors', why=clash)
    _refuse_jpeg(files)
    return Reading('numbers', why=_odd_white(files))


def _odd_white(files: Sequence[Facts]) -> str:
    """Which file may be black and white among class numbers 0 and 1; empty where none is."""
    white = [f for f in files if not f.colors and 255 in f.values and f.values <= {0, 255}]
    ones = [f for f in files if not f.colors and 1 in f.values]
    if not white or not ones or not all(f.values <= {0, 1} for f in ones):
        return ''
    return (
        f'{white[0].path} holds 0 and 255 while {ones[0].path} holds 0 and 1: 255 is ignored in '
        'training; if it is the object, write it as 1'
    )


def is_alpha_set(files: Sequence[Facts]) -> bool:
    """Whether the opacity of the files is the mask: all have one color, and some are not full."""
    return any(len(facts.opacity) > 1 or facts.opacity == {0} for facts in files) and all(
        facts.opacity for facts in files
    )


def _refuse_mixed_alpha(files: Sequence[Facts]) -> None:
    """Makes sure that not some files alone have their mask in the opacity.

    Raises:
        DataError: they have: read as the others are, they are one class throughout.
    """
    masks = [f for f in files if len(f.opacity) > 1]
    others = [f for f in files if not f.opacity]
    if masks and others:
        raise DataError(
            f'{masks[0].path} has its mask in the opacity ({len(masks)} of {len(files)} files '
            f'have) and {others[0].path} has not: save all in one form, or convert them apart'
        )


def _read_alpha(files: Sequence[Facts]) -> Reading:
    soft = next((f for f in files if not f.opacity <= {0, 255}), None)
    if soft is not None:
        raise DataError(
            f'{soft.path} has a mask in its opacity with levels between 0 and 255: give {_BINARY}'
        )
    return Reading('binary', from_alpha=True, why='the opacity of the labels is taken as the mask')


def _is_two_valued_set(files: Sequence[Facts]) -> bool:
    """Whether all files are black and white masks.

    Raises:
        DataError: all are, but some are soft; names one.
    """
    soft = [facts for facts in files if facts.is_soft and not facts.is_two_valued]
    others = [facts for facts in files if not facts.is_soft]
    if not all(facts.is_two_valued for facts in others):
        return False
    has_white = any(
        facts.high in facts.values or (255, 255, 255) in dict(facts.colors).values()
        for facts in others
    )
    if soft and (has_white or all(facts.is_surely_soft for facts in soft)):
        raise DataError(
            f'{soft[0].path} is a black and white mask with levels in between ({len(soft)} of '
            f'{len(files)} files are, from JPEG or resizing): give {_BINARY}'
        )
    return has_white and not soft


def _refuse_jpeg(files: Sequence[Facts]) -> None:
    damaged = next((f for f in files if f.lossy and len(f.values) > 1), None)
    if damaged is not None:
        raise DataError(
            f'{damaged.path} is a {damaged.lossy}, which changes class numbers: save labels as '
            f'PNG, or for black and white masks give {_BINARY}'
        )


def _palette_clash(files: Sequence[Facts]) -> str:
    """Which palettes give one position two colors; empty where all agree."""
    known: dict[int, tuple[tuple[int, int, int], Path]] = {}
    for facts in files:
        for value, color in facts.colors:
            first, path = known.setdefault(value, (color, facts.path))
            if first != color:
                return (
                    f'the palettes of {path} and {facts.path} differ ({value} is {first} in one '
                    f'and {color} in the other)'
                )
    return ''
