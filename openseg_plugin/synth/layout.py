"""Plan of a street: what runs along it, how wide, and what stands where. Meters; no pixels."""

from dataclasses import dataclass

import numpy as np

FAR = 160.0  # meters; the street ends in the haze
THEMES = ('city', 'suburb', 'boulevard')


@dataclass(frozen=True)
class Side:
    """One side of the street, from the road outwards; numbers are meters from its middle (X = 0).

    Attributes:
        sign: -1 left, 1 right.
        curb: where the road ends.
        verge: where the strip of grass ends (equal to curb: none).
        walk: where the sidewalk ends.
        front: where houses begin; between walk and front lies a garden or more sidewalk.
        houses: False: trees and open ground instead of houses.
        garden: the ground between walk and front is terrain.
    """

    sign: int
    curb: float
    verge: float
    walk: float
    front: float
    houses: bool
    garden: bool


@dataclass(frozen=True)
class Layout:
    """A street seen along Z; the camera drives at X = 0.

    Attributes:
        theme: one of THEMES.
        sides: left and right.
        crossing: (near, far) Z of a crossing street, or None.
        zebra: (near, far) Z of a pedestrian crossing, or None.
        center: X of the line between both directions.
    """

    theme: str
    sides: tuple[Side, Side]
    crossing: tuple[float, float] | None
    zebra: tuple[float, float] | None
    center: float

    def in_crossing(self, z: float, *, margin: float = 0.0) -> bool:
        """Whether Z lies on the crossing street."""
        return self.crossing is not None and (
            self.crossing[0] - margin <= z <= self.crossing[1] + margin
        )


def draw_layout(rng: np.random.Generator) -> Layout:
    """A random street."""
    theme = str(rng.choice(THEMES, p=[0.5, 0.3, 0.2]))
    lane = rng.uniform(2.9, 3.7)
    right = lane / 2 + (rng.uniform(1.9, 2.4) if rng.random() < 0.55 else rng.uniform(0.1, 0.6))
    lanes_left = 1 if rng.random() < 0.75 else 2
    left = lane / 2 + lanes_left * lane + (rng.uniform(1.9, 2.4) if rng.random() < 0.5 else 0.2)
    crossing = zebra = None
    if rng.random() < 0.45:
        near = rng.uniform(16, 42)
        crossing = (near, near + rng.uniform(6, 10))
        if rng.random() < 0.7:
            zebra = (near - rng.uniform(4.5, 5.5), near - 1.5)
    elif rng.random() < 0.25:
        near = rng.uniform(9, 28)
        zebra = (near, near + rng.uniform(2.8, 3.8))
    sides = (_side(rng, -1, left, theme), _side(rng, 1, right, theme))
    return Layout(theme, sides, crossing, zebra, center=-lane / 2)


def _side(rng: np.random.Generator, sign: int, curb: float, theme: str) -> Side:
    verge_chance, garden_chance, house_chance = {
        'city': (0.15, 0.15, 0.95),
        'suburb': (0.45, 0.85, 0.85),
        'boulevard': (0.7, 0.6, 0.5),
    }[theme]
    verge = curb + (rng.uniform(0.9, 2.5) if rng.random() < verge_chance else 0.0)
    walk = verge + rng.uniform(1.6, 4.2)
    garden = rng.random() < garden_chance
    yard = rng.uniform(2.0, 7.0) if garden else rng.choice([0.0, rng.uniform(0.5, 3.0)])
    houses = rng.random() < house_chance
    return Side(sign, curb, verge, walk, walk + yard, houses, garden)
