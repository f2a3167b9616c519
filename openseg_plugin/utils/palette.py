"""Class colors and names that people can tell apart, the former also with color blindness.

Distances are CIEDE2000 (Luo, Cui, Rigg, 2001; formulas as in Sharma, Wu, Dalal, 2005) between
sRGB colors under D65. Deuteranopia is simulated with the matrix of Machado, Oliveira, Fernandes
(2009) for severity 1 in linear RGB. Colors are (..., 3) arrays, RGB 0..255.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

MIN_DISTANCE = 20.0
"""CIEDE2000 between any two of the first ``GUARANTEED`` generated colors."""
MIN_DEUTERANOPIA_DISTANCE = 10.0
"""The same as a person without green cones sees them."""
GUARANTEED = 20

_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.072175],
        [0.0193339, 0.119192, 0.9503041],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
# The first colors: an exchange search over 1,588 candidates for the largest least distance in units
# of the two above, then ordered so that each is as far as possible from those before it. A greedy
# choice alone reaches 17.7 and 9.0.
_FIRST = (
    (0, 93, 162), (185, 255, 93), (70, 70, 0), (255, 209, 255), (255, 0, 46),
    (0, 162, 162), (139, 185, 255), (139, 116, 116), (185, 0, 139), (255, 185, 162),
    (232, 162, 0), (23, 255, 209), (162, 116, 232), (46, 70, 70), (70, 46, 93),
    (70, 0, 255), (255, 93, 162), (139, 162, 116), (23, 116, 70), (162, 70, 0),
)  # fmt: skip
_LEVELS = np.linspace(0, 255, 12).round().astype(int)  # per channel, of the candidates
# L* of candidates: darker ones pass for black (no class), lighter ones for paper.
_LIGHTNESS = (22, 93)


@cache
def distinct_colors(number: int) -> tuple[tuple[int, ...], ...]:
    """``number`` colors that are far from each other, none black or white; always the same ones.

    Any two of the first 20 are at least 20 apart, and at least 10 under deuteranopia. Further
    colors are each as far as possible from those before.
    """
    chosen: list[tuple[int, ...]] = list(_FIRST[:number])
    if number > len(_FIRST):
        grid = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing='ij'), -1).reshape(-1, 3)
        lab = to_lab(grid)
        usable = (lab[:, 0] >= _LIGHTNESS[0]) & (lab[:, 0] <= _LIGHTNESS[1])
        grid, lab = grid[usable], lab[usable]
        seen = to_lab(simulate_deuteranopia(grid))
        nearest = np.full(len(grid), np.inf)
        for color in chosen:
            nearest = np.minimum(nearest, _distance(lab, seen, np.array(color)))
        while len(chosen) < number:
            best = grid[int(nearest.argmax())]
            chosen.append(tuple(int(value) for value in best))
            nearest = np.minimum(nearest, _distance(lab, seen, best))
    return tuple(chosen)


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with the class id after those that several classes have: 'car (3)'."""
    count = Counter(names)
    found = tuple(
        f'{name} ({index})' if count[name] > 1 else name for index, name in enumerate(names)
    )
    return found if len(set(found)) == len(found) else distinct_names(found)


def _distance(lab: np.ndarray, seen: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Distance of candidates (N, 3) from one color in units of what is wanted, (N,)."""
    as_seen = ciede2000(seen, to_lab(simulate_deuteranopia(color))) / MIN_DEUTERANOPIA_DISTANCE
    return np.minimum(ciede2000(lab, to_lab(color)) / MIN_DISTANCE, as_seen)


def to_lab(colors: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (..., 3) float64 of sRGB colors 0..255."""
    xyz = _linear(np.asarray(colors, np.float64) / 255) @ _TO_XYZ.T / _WHITE
    curved = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(curved, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def simulate_deuteranopia(colors: np.ndarray) -> np.ndarray:
    """Colors as seen without green cones, (..., 3) float64 0..255."""
    linear = _linear(np.asarray(colors, np.float64) / 255) @ _DEUTERANOPIA.T
    linear = linear.clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * curved


def ciede2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Color difference (...) of L*a*b* colors (..., 3), broadcast; about 2 is just visible."""
    l1, a1, b1 = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    gray = c1 * c2 == 0
    turn = h2 - h1
    turn = np.where(gray, 0, np.where(np.abs(turn) > 180, turn - 360 * np.sign(turn), turn))
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    # the mean hue lies on the shorter arc between both
    mean_h = np.where(gray, h1 + h2, (h1 + turn / 2) % 360)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    rotation = -np.sin(np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2)))) * (
        2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
    )
    terms = (l2 - l1) / s_l, (c2 - c1) / s_c, delta_h / s_h
    return np.sqrt(sum(term**2 for term in terms) + rotation * terms[1] * terms[2])


def _linear(curved: np.ndarray) -> np.ndarray:
    """sRGB 0..1 without its transfer curve."""
    return np.where(curved <= 0.04045, curved / 12.92, ((curved + 0.055) / 1.055) ** 2.4)
