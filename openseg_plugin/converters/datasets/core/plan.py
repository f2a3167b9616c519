"""What a converter hands over: a list of samples, each with the files it becomes.

A converter never writes. It reads a source folder and says, per image, which files are put
into the target unchanged (:class:`CopyTask`) and which are drawn (:class:`RenderTask`). Running,
resuming, dry runs and checks are the same for every dataset and live beside this module.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# Split of samples that the run divides into train and val.
UNDIVIDED = ''

Palette = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class CopyTask:
    """A file that is linked or copied as it is.

    Attributes:
        src: the file.
        to: where it goes, relative to the target, with forward slashes.
        extract: gives the content where the file lies inside ``src``, such as an image inside an
            annotation file; must pickle.
    """

    src: Path
    to: str
    extract: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class RenderTask:
    """A map that is computed: labels, edges or instances.

    Attributes:
        to: where it goes, relative to the target, with forward slashes; a PNG.
        make: gives the map, (H, W) uint8 or uint16. It must pickle: a module's function or a
            ``functools.partial`` of one. It gets the label map of the sample as its only argument
            where ``of_label`` is set, else nothing.
        kind: ``'label'`` is counted in the histogram and written with the palette.
        of_label: the map follows from the first ``'label'`` map of the sample.
    """

    to: str
    make: Callable[..., np.ndarray]
    kind: str = 'label'
    of_label: bool = False


@dataclass(frozen=True)
class Sample:
    """One image and what belongs to it.

    Attributes:
        split: name of the split in the target; :data:`UNDIVIDED` until the run divides.
        name: what messages call the sample.
        sources: files that the drawn maps are made from; a newer source is drawn again.
        places: files put into the target; the first one is the image.
        draws: maps to draw; a map that follows from the label comes after it.
        same_size: whether image and label must have the same size.
        problem: why the sample cannot be converted, for example because a file is missing.
    """

    split: str
    name: str
    sources: tuple[Path, ...] = ()
    places: tuple[CopyTask, ...] = ()
    draws: tuple[RenderTask, ...] = ()
    same_size: bool = True
    problem: str | None = None

    def targets(self) -> list[str]:
        """Relative paths of all files of the sample."""
        return [place.to for place in self.places] + [draw.to for draw in self.draws]


@dataclass(frozen=True)
class Plan:
    """All samples of a conversion and what is known about their labels.

    Attributes:
        samples: in the order in which they are converted.
        classes: names, index = label value (after the reduction where ``reduce_zero_label``).
        palette: one colour (R, G, B) per label value as written to the files.
        ignore_index: value that is no class, or None where every value is a class.
        reduce_zero_label: label 0 is ignored and label k is class k - 1.
        flip_pairs: label values that change places when the image is flipped.
        texts: small text files to write, relative path -> content.
        notices: what the user should know, for example images that were left out.
        facts: further entries for ``dataset.json``.
        read: further files that were read, or of which a notice says that they are not used.
    """

    samples: list[Sample]
    classes: tuple[str, ...]
    palette: Palette = ()
    ignore_index: int | None = 255
    reduce_zero_label: bool = False
    flip_pairs: tuple[tuple[int, int], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    read: Collection[Path] = ()


def in_split(split: str, kind: str, name: str) -> str:
    """Path of a file in the project's own layout: ``<split>/<kind>/<name>``."""
    return f'{split}/{kind}/{name}'
