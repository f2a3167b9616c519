"""Sums of what the labels hold: per raw value, per class, per split."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from openseg_plugin.data_checks.dataset_spec import Rules
from openseg_plugin.data_checks.examine import Record


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
        for raw, pixels in record.label['counts'].items():
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
