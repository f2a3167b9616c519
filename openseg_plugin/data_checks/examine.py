"""Reads all files of a source, on all cores, and keeps what they hold.

Then sums it: per raw value, per class, per split.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Pair, Rules, Source, Split
from openseg_plugin.data_checks.file_facts import (
    Cache,
    Facts,
    StderrCapture,
    has_own_marks,
    read_damaged_image,
    read_image_facts,
    read_label_facts,
    read_loaded_image,
)
from openseg_plugin.utils.pool import in_threads
from openseg_plugin.utils.progress import Progress

_READ = {'label': read_label_facts, 'image': read_image_facts}


@dataclass(frozen=True)
class Record:
    """What the two files of a pair hold; None for a file that the split does not have."""

    split: Split
    pair: Pair
    image: Facts | None
    label: Facts | None

    @property
    def image_facts(self) -> Facts:
        """What the image of a record that has one holds."""
        assert self.image is not None, 'a record with an image'
        return self.image

    @property
    def label_facts(self) -> Facts:
        """What the label of a record that has one holds."""
        assert self.label is not None, 'a record with a label'
        return self.label


FileFacts = dict[tuple[str, Path | None], Facts]  # by ('image' or 'label', file)


def examine(
    source: Source,
    *,
    cache: Cache | None = None,
    workers: int | None = None,
    show_progress: bool = False,
) -> list[Record]:
    """Facts of every pair of every split, in order.

    Args:
        source: what to look at.
        cache: what earlier runs found; it is saved, also when the run is interrupted.
        workers: number of threads (decoding and hashing do not hold Python's lock); None: one
            per core.
        show_progress: print a bar to stderr.
    """
    cache = cache or Cache(None, source.name)
    # The same file may be in two splits: it is read once. Names of one file are not resolved.
    wanted = dict.fromkeys(
        (kind, path)
        for split in source.splits
        for pair in split.pairs
        for kind, path in (('image', pair.image), ('label', pair.label))
        if path is not None
    )
    known: FileFacts = {}
    for kind, path in wanted:
        facts = cache.get(kind, path)
        if facts is not None:
            known[kind, path] = facts
    missing = [item for item in wanted if item not in known]
    try:
        with (
            StderrCapture() as words,
            Progress('reading files', total=len(missing), show=show_progress) as progress,
        ):
            doubtful = []
            read = partial(_read, words)
            for kind, path, facts, said in in_threads(read, missing, workers=workers):
                progress.step()
                if said and kind == 'image':  # this file, or one that was decoded meanwhile
                    doubtful.append(path)
                    continue
                cache.put(kind, path, facts)
                known[kind, path] = facts
            for path in doubtful:
                known['image', path] = read_damaged_image(path, words)
                cache.put('image', path, known['image', path])
            _read_by_loaders(source, known)
    finally:
        cache.save()
    return [
        Record(split, pair, known.get(('image', pair.image)), known.get(('label', pair.label)))
        for split in source.splits
        for pair in split.pairs
    ]


def _read_by_loaders(source: Source, known: FileFacts) -> None:
    """Reads what Pillow and OpenCV do not take (many bands, floats) as the config does.

    So too what they take for an image of another size than its label: rows written as pages.
    """
    for split in source.splits:
        if split.load_image is None:
            continue
        for pair in split.pairs:
            facts = known.get(('image', pair.image)) or {}
            size = (known.get(('label', pair.label)) or {}).get('size')
            is_odd = facts.get('error', 'missing') != 'missing' or facts.get('damage')
            is_odd = is_odd or (size is not None and facts.get('size', size) != size)
            if pair.image is None or not is_odd or has_own_marks(pair.image):
                continue
            loaded = read_loaded_image(pair.image, split.load_image)
            if 'error' not in loaded:
                known['image', pair.image] = loaded


def _read(words: StderrCapture, item: tuple[str, Path]) -> tuple[str, Path, Facts, str]:
    kind, path = item
    before = words.size()
    facts = _READ[kind](Path(os.fspath(path)))
    return kind, path, facts, words.since(before)


@dataclass
class Value:
    """One raw value: on how many pixels, and in which labels."""

    pixels: int = 0
    records: list[Record] = field(default_factory=list)


@dataclass
class Group:
    """All one-channel labels that are read by the same rules.

    Attributes:
        rules: the rules.
        records: pairs whose labels could be read as numbers.
        values: raw value -> where it is, sorted by value.
    """

    rules: Rules
    records: list[Record]
    values: dict[int, Value]

    @property
    def outside(self) -> dict[int, Value]:
        """The values that are neither a class nor ignored."""
        return {v: found for v, found in self.values.items() if self.rules.train_value(v) < 0}

    def records_of(self, values: Iterable[int]) -> list[Record]:
        """Pairs whose label has one of the values, in order, each once."""
        found = {id(r): r for v in values for r in self.values[v].records}
        return [record for record in self.records if id(record) in found]


def labels_of(records: Sequence[Record]) -> list[Path]:
    """Label files of some pairs."""
    return [record.pair.label_file for record in records]


def groups(records: Sequence[Record]) -> list[Group]:
    """Labels by the rules they are read with; a file in two splits counts once."""
    by_rules: dict[Rules, list[Record]] = defaultdict(list)
    seen = set()
    for record in records:
        place = (record.split.rules, record.pair.label)
        if record.label is not None and 'counts' in record.label and place not in seen:
            seen.add(place)
            by_rules[record.split.rules].append(record)
    return [Group(rules, members, _values(members)) for rules, members in by_rules.items()]


def _values(records: list[Record]) -> dict[int, Value]:
    found: dict[int, Value] = defaultdict(Value)
    for record in records:
        for raw, pixels in record.label_facts['counts'].items():
            found[int(raw)].pixels += pixels
            found[int(raw)].records.append(record)
    return dict(sorted(found.items()))


@dataclass
class ClassCount:
    """Pixels of a class and the labels that show it, in one split."""

    pixels: int = 0
    records: list[Record] = field(default_factory=list)


def count_classes(records: Sequence[Record]) -> dict[int, ClassCount]:
    """Train value -> where it is; the ignored value and -1 (no class) are among them."""
    found: dict[int, ClassCount] = defaultdict(ClassCount)
    for record in records:
        if record.label is None or 'counts' not in record.label:
            continue
        per_class: dict[int, int] = defaultdict(int)
        for raw, pixels in record.label['counts'].items():
            per_class[record.split.rules.train_value(int(raw))] += pixels
        for value, pixels in per_class.items():
            found[value].pixels += pixels
            found[value].records.append(record)
    return dict(found)
