"""What the data check looks at: splits of images with labels, and what label values mean."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from openseg_plugin.datasets.label_table import label_table


@dataclass(frozen=True)
class Rules:
    """Meaning of the label values of a split.

    Attributes:
        classes: names, index = train value; empty where nobody says.
        palette: one RGB color per class, or empty.
        ignore_index: train value that neither loss nor metric counts.
        reduce_zero_label: raw 0 is ignored, raw k is class k - 1.
        label_map: (from, to) pairs, applied after ``reduce_zero_label``.
        void_ids: raw values that are ignored.
        label_ids: what the owner of the data calls the classes, where that differs.
    """

    classes: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_index: int = 255
    reduce_zero_label: bool = False
    label_map: tuple[tuple[int, int], ...] = ()
    void_ids: tuple[int, ...] = ()
    label_ids: tuple[int, ...] = ()

    @cached_property
    def table(self) -> np.ndarray:
        """(256,) train value of raw values, -1 where the value must not occur."""
        return label_table(
            len(self.classes) or 255,
            ignore_index=self.ignore_index,
            reduce_zero_label=self.reduce_zero_label,
            label_map=dict(self.label_map),
            void_ids=self.void_ids,
        )

    def train_value(self, raw: int) -> int:
        """Train value of a raw value; -1 where it must not occur."""
        return int(self.table[raw]) if 0 <= raw < 256 else -1


@dataclass(frozen=True)
class Pair:
    """An image and its label; ``label`` is None in splits without labels."""

    image: Path | None
    label: Path | None

    @property
    def image_file(self) -> Path:
        """The image of a pair that has one."""
        assert self.image is not None, 'a pair with an image'
        return self.image

    @property
    def label_file(self) -> Path:
        """The label of a pair that has one."""
        assert self.label is not None, 'a pair with a label'
        return self.label


@dataclass
class Split:
    """One split.

    Attributes:
        name: train, val, test, or a path in the config such as train[1].
        pairs: sorted by image; the files need not exist.
        rules: what its label values mean.
        extra_labels: label files that no image asks for.
        turns_images: the loader turns images as their EXIF data say (OpenCV's default).
        size: (width, height) that every image is given before its label is read; None: its own.
        part: name of the split's folder where it is train, val or test.
        key: dotted place of the dataset in the config, '' for folders.
        pipeline_key: dotted place of the transform that loads images, '' if there is none.
        lines: where a list file names the images, its lines in the order of ``pairs``.
        load_image: the loading transform of the config, path -> (H, W) or (H, W, C) array; None for
            folders.
        renumbers: other names in ``metainfo.classes`` choose among the classes that the labels
            hold; where not, they only rename them.
    """

    name: str
    pairs: list[Pair]
    rules: Rules
    extra_labels: list[Path] = field(default_factory=list)
    turns_images: bool = True
    size: tuple[int, int] | None = None
    part: str = ''
    key: str = ''
    pipeline_key: str = ''
    lines: list[str] = field(default_factory=list)
    renumbers: bool = False
    load_image: Callable[[Path], np.ndarray] | None = None


@dataclass(frozen=True)
class Head:
    """Class count of one head of the model: its dotted place in the config and its numbers."""

    key: str
    num_classes: int
    class_weights: tuple[tuple[str, int], ...] = ()  # (dotted key, length)


@dataclass
class Source:
    """Everything that is looked at.

    Attributes:
        name: what the user gave: a config or a folder.
        splits: at least one.
        is_config: fixes are config settings rather than commands on folders.
        own_classes: the dataset class is ours and knows ``void_ids``.
        heads: heads of the model with their class counts.
        root: folder that holds all files, None where there is no such folder.
        image_folder, label_folder: names of the folders below ``root`` as the converter of masks
            takes them; '' where the layout is none that it reads.
        release: converter for the downloaded layout that ``root`` has, '' if it has none.
        arguments: options of check_dataset.py that the user gave and that change what is found.
    """

    name: str
    splits: list[Split]
    is_config: bool = False
    own_classes: bool = True
    heads: tuple[Head, ...] = ()
    root: Path | None = None
    image_folder: str = ''
    label_folder: str = ''
    release: str = ''
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that checks this source again."""
        words = ['openseg', 'check-dataset', self.name, *self.arguments]
        return shlex.join(words)
