"""Images larger than memory: overlapping tiles, blended with smooth weights, one at a time.

Weights are zero where a tile cannot see its surroundings, rise as a squared sine over the rest of
the overlap, and are one inside; at the border of the image they stay one. Tiles begin at multiples
of 32 pixels, so that a network samples a tile as it samples the whole image.

K classes, H, W size of the image in pixels.
"""

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.sources import ALWAYS_WHOLE
from openseg_plugin.utils.live_tensors import live_peak

GRID = 32  # pixels: the coarsest stride of a backbone
UNTRUSTED = 0.25  # fraction of the overlap, at the outside of a tile, that does not count
TOGETHER = 4  # images that a GPU predicts at a time; a CPU gains less than a tenth by it
LARGEST_WHOLE = 32 * 2**20  # pixels of an image beyond which even much memory is left to others
_PROBE = 256  # pixels: side of the image that memory is measured with
_WORKSPACE = 1.5  # memory with what libraries take inside an operation, per memory of tensors
_TILE_BYTES = 2**30  # memory of a tile where there is enough of it


@dataclass(frozen=True)
class Tiling:
    """How images are cut.

    Attributes:
        size: (rows, columns) of a tile in pixels.
        overlap: pixels that neighbors share.
    """

    size: tuple[int, int]
    overlap: int

    def halved(self) -> 'Tiling':
        """Tiles of half the sides; the overlap becomes no larger than half of them."""
        sides = (max(GRID * 2, _floor(side // 2)) for side in self.size)
        size = (next(sides), next(sides))
        return Tiling(size, min(self.overlap, _floor(min(size) // 2)))


def parse_tile(text: str) -> str | tuple[int, int]:
    """'auto', 'off' or (rows, columns) of HxW, rounded up to the grid.

    Raises:
        ConfigError: it is none of them.
    """
    if text in ('auto', 'off'):
        return text
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if match is None or min(map(int, match.groups())) < 2 * GRID:
        raise ConfigError(
            f'--tile {text}: give auto, off, or HxW such as 1024x1024, at least 64x64'
        )
    return _ceil(int(match[1])), _ceil(int(match[2]))


def tiling_of(size: Sequence[int], overlap: int | None) -> Tiling:
    """Tiles of this size; without an overlap an eighth of the shorter side.

    Raises:
        ConfigError: the overlap is no less than half of a tile.
    """
    rows, columns = size
    if overlap is None:
        return Tiling((rows, columns), max(GRID, _floor(min(rows, columns) // 8)))
    if not 0 <= overlap <= min(size) // 2:
        raise ConfigError(
            f'--overlap {overlap} does not fit tiles of {rows}x{columns} pixels: give 0 to '
            f'{min(size) // 2}'
        )
    return Tiling((rows, columns), _ceil(overlap))


def starts(side: int, tile: int, overlap: int) -> list[int]:
    """First rows (or columns) of the tiles along a side; the last one may be a little shorter.

    They are spread evenly, as what tiles share beyond the overlap costs memory and time.
    """
    if side <= tile:
        return [0]
    last = _ceil(side - tile)
    steps = -(-last // max(GRID, tile - overlap))
    return [last * number // steps // GRID * GRID for number in range(steps + 1)]


def ramp(length: int, overlap: int, *, at_start: bool, at_end: bool) -> Tensor:
    """Weights (length,) float32 of the rows of a tile.

    Args:
        length: rows.
        overlap: rows shared with a neighbor.
        at_start: there is a neighbor before it.
        at_end: there is one behind it.
    """
    weights = torch.ones(length)
    if overlap and (at_start or at_end):
        place = (torch.arange(overlap) + 0.5) / overlap
        inside = ((place - UNTRUSTED) / (1 - 2 * UNTRUSTED)).clamp(0, 1)
        rise = torch.sin(inside * math.pi / 2) ** 2
        rise = rise.clamp(min=1e-6)  # where only one tile is, it counts alone
        overlap = min(overlap, length)
        if at_start:
            weights[:overlap] *= rise[:overlap]
        if at_end:
            weights[-overlap:] *= rise[:overlap].flip(0)
    return weights


def blend(
    predict: Callable[[int, int, int, int], Tensor],
    size: tuple[int, int],
    tiling: Tiling,
    finish: Callable[[slice, slice, Tensor], None],
) -> None:
    """Predicts all tiles; pixels are handed on, blended, as soon as no further tile touches them.

    So memory holds one tile and what it shares with tiles to come, never the scores of the image
    or of a whole row of tiles.

    Args:
        predict: probabilities (K, h, w) of rows top..bottom, columns left..right.
        size: (H, W).
        tiling: of the image.
        finish: gets rows, columns and their probabilities (K, h, w); every pixel comes once.
    """
    height, width = size
    rows = starts(height, tiling.size[0], tiling.overlap)
    columns = starts(width, tiling.size[1], tiling.overlap)
    above: Tensor | None = None  # sums of the rows that the tiles above share with this row
    for top, next_top in zip(rows, [*rows[1:], height]):
        bottom = min(height, top + tiling.size[0])
        below: Tensor | None = None
        beside: Tensor | None = None  # sums of the columns that the tile before shares with this
        known = 0  # columns whose sums from above are in ``beside``
        for left, next_left in zip(columns, [*columns[1:], width]):
            right = min(width, left + tiling.size[1])
            scores = predict(top, bottom, left, right).float()
            down = ramp(bottom - top, tiling.overlap, at_start=top > 0, at_end=bottom < height)
            along = ramp(right - left, tiling.overlap, at_start=left > 0, at_end=right < width)
            sums = _weighted(scores, (down[:, None] * along).to(scores.device))
            del scores
            if beside is not None:
                sums[:, :, : beside.shape[2]] += beside
            if above is not None:
                new = max(left, known)
                sums[:, : above.shape[1], new - left :] += above[:, :, new:right]
            if next_top < bottom:
                if below is None:
                    below = sums.new_empty((len(sums), bottom - next_top, width))
                below[:, :, left:next_left] = sums[:, next_top - top :, : next_left - left]
            beside = sums[:, :, next_left - left :].clone() if next_left < right else None
            known = right
            sums = sums[:, : next_top - top, : next_left - left]
            finish(slice(top, next_top), slice(left, next_left), sums[:-1].div_(sums[-1]))
            del sums  # or it would be there while the next tile is predicted
        above = below


def _weighted(scores: Tensor, weights: Tensor) -> Tensor:
    """Scores (K, h, w) times weights (h, w), and the weights as one more channel."""
    sums = scores.new_empty((len(scores) + 1, *weights.shape))
    torch.mul(scores, weights, out=sums[:-1])
    sums[-1] = weights
    return sums


def automatic(model: nn.Module, size: tuple[int, int], *, channels: int) -> tuple[int, int] | None:
    """Tile for an image of this size from the memory that is free; None: it goes as a whole.

    Args:
        model: predicts by ``test_step``; its device's memory counts.
        size: (H, W).
        channels: of the image.
    """
    own: Any = getattr(model, 'automatic_tile', None)
    if own is not None:  # it knows itself
        return own(size)
    pixels = size[0] * size[1]
    if pixels <= ALWAYS_WHOLE:
        return None
    device = next(model.parameters()).device
    needed = bytes_per_pixel(model, channels=channels)
    free = free_memory(device) / 2
    if pixels <= LARGEST_WHOLE and pixels * needed <= free:
        return None
    side = _floor(int(math.sqrt(min(free, _TILE_BYTES) / needed)))
    side = min(max(side, 256), 2048)
    return side, side


def bytes_per_pixel(model: nn.Module, *, channels: int) -> float:
    """Most memory that a prediction takes at a time, per pixel of the image, as measured once."""
    known = model.__dict__.get('_openseg_bytes_per_pixel')
    if known is None:
        module: Any = getattr(model, 'module', model)
        device = next(module.parameters()).device
        image = torch.zeros(1, channels, _PROBE, _PROBE, device=device)
        peak = live_peak(lambda: module.inference(image, [_probe_meta()]))
        known = peak * _WORKSPACE / _PROBE**2
        model.__dict__['_openseg_bytes_per_pixel'] = known
    return known


def _probe_meta() -> dict:
    size = (_PROBE, _PROBE)
    return dict(ori_shape=size, img_shape=size, pad_shape=size, padding_size=(0, 0, 0, 0))


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device, or on this machine within its limits."""
    if device.type == 'cuda':
        return torch.cuda.mem_get_info(device)[0]
    found = []
    try:
        lines = Path('/proc/meminfo').read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith('MemAvailable')]
        group = Path('/sys/fs/cgroup')
        limit = (group / 'memory.max').read_text().strip()
        if limit != 'max':
            found.append(int(limit) - int((group / 'memory.current').read_text()))
    except (OSError, ValueError, IndexError):
        pass
    if not found:
        try:
            found.append(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 2)
        except (AttributeError, ValueError, OSError):
            found.append(4 * 2**30)
    return max(min(found), 2**28)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the device or on the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or 'not enough memory' in text
    )


def as_small_integers(labels: np.ndarray | Tensor, num_classes: int) -> np.ndarray:
    """Class ids as uint8, or uint16 where a byte is not enough."""
    array = labels.cpu().numpy() if isinstance(labels, Tensor) else labels
    return array.astype(np.uint8 if num_classes <= 256 else np.uint16, copy=False)


def _ceil(value: int) -> int:
    return -(-value // GRID) * GRID


def _floor(value: int) -> int:
    return max(GRID, value // GRID * GRID)
