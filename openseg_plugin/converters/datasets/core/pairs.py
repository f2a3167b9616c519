"""Pairing pictures with label files of the same name: what most data sets come down to."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from openseg_plugin.converters.datasets.core.edges import edge_draws
from openseg_plugin.converters.datasets.core.plan import Draw, Place, Sample, in_split
from openseg_plugin.errors import ConfigError

Maker = Callable[[Path], Callable[[], np.ndarray]]
Layout = Callable[[str, str], tuple[str, str]]
# Where an earlier run put the pictures; set around the planning of a run.
_KNOWN: ContextVar[Mapping[str, str]] = ContextVar('known')
# Endings that differ between cameras for the same kind of file.
_ENDINGS = {'.jpeg': '.jpg', '.tiff': '.tif'}


@dataclass
class Pairs:
    """Samples and notices of one or more splits.

    Attributes:
        samples: one per picture.
        notices: what was left out.
    """

    samples: list[Sample] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def add(
        self,
        split: str,
        pictures: Mapping[str, Path],
        labels: Mapping[str, Path] | None,
        make: Maker,
        *,
        names: Iterable[str] | None = None,
        edge_widths: tuple[int, ...] = (),
        skip_unlabelled: bool = False,
        to: Layout | None = None,
    ) -> None:
        """Adds a split.

        Args:
            split: its name.
            pictures: name without ending -> file.
            labels: name without ending -> label file; None: the split has no labels.
            make: label file -> function that gives its map.
            names: which samples, in this order; None: all pictures, sorted.
            edge_widths: edge maps to add.
            skip_unlabelled: leave out pictures without label and say so, instead of failing.
            to: (name, file name of the picture) -> paths of picture and label; None: the
                project's own layout.
        """
        place = partial(_own_layout, split) if to is None else to
        chosen = sorted(pictures) if names is None else list(names)
        left_out = []
        for name in chosen:
            if labels is not None and name not in labels and name in pictures and skip_unlabelled:
                left_out.append(pictures[name].name)
                continue
            self.samples.append(_sample(split, name, pictures, labels, make, edge_widths, place))
        self._note(left_out, f'{split} pictures have no label and were left out')
        if labels is not None:
            used = set(chosen)
            unused = [labels[name].name for name in labels if name not in used]
            self._note(unused, f'{split} labels belong to no picture of the split')

    def _note(self, names: list[str], text: str) -> None:
        if names:
            self.notices.append(f'{len(names)} {text}, the first is {names[0]}')


def _sample(
    split: str,
    name: str,
    pictures: Mapping[str, Path],
    labels: Mapping[str, Path] | None,
    make: Maker,
    edge_widths: tuple[int, ...],
    to: Layout,
) -> Sample:
    if name not in pictures:
        return Sample(split, name, problem=f'{split} picture {name} is missing')
    picture = pictures[name]
    to_picture, to_label = to(name, picture_name(picture, name))
    places = (Place(picture, to_picture),)
    if labels is None:
        return Sample(split, name, places=places)
    if name not in labels:
        return Sample(split, name, problem=f'{picture} has no label: put it there or remove both')
    draws = (Draw(to_label, make(labels[name])), *edge_draws(split, f'{name}.png', edge_widths))
    return Sample(split, name, (labels[name],), places, draws)


def _own_layout(split: str, name: str, picture: str) -> tuple[str, str]:
    return in_split(split, 'image', picture), in_split(split, 'label', f'{name}.png')


def picture_name(picture: Path, stem: str) -> str:
    """File name of a picture in the target; ``.JPG`` and ``.jpeg`` become ``.jpg``."""
    ending = picture.suffix.lower()
    return stem + _ENDINGS.get(ending, ending)


@contextlib.contextmanager
def keeping(known: Mapping[str, str]) -> Iterator[None]:
    """Within the block :func:`divide` leaves pictures where an earlier run put them.

    Args:
        known: name without ending -> ``'train'`` or ``'val'``.
    """
    token = _KNOWN.set(known)
    try:
        yield
    finally:
        _KNOWN.reset(token)


def divide(
    names: Sequence[str], val_every: int, *, stem: Callable[[str], str] = str
) -> dict[str, list[str]]:
    """Names of ``train`` and ``val``: every n-th name (the n-th, 2n-th, ...) goes to ``val``.

    A picture that an earlier run put somewhere stays there, whatever came or went before it.

    Args:
        names: in the order that is counted.
        val_every: n; 0: all to ``train``.
        stem: name -> what its files in the target are called, without ending.

    Raises:
        ConfigError: ``val_every`` is 1 or negative.
    """
    if val_every < 0 or val_every == 1:
        raise ConfigError(f'--val-every {val_every}: give 2 or more, or 0 for no val split')
    known = _KNOWN.get({}) if val_every else {}
    parts: dict[str, list[str]] = {'train': [], 'val': []}
    for number, name in enumerate(names, start=1):
        by_place = 'val' if val_every and number % val_every == 0 else 'train'
        parts[known.get(stem(name), by_place)].append(name)
    return parts
