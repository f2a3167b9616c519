"""Findings about labels whose numbers all moved by one.

Either the only forbidden value is the one after the last class, or all values look valid and
counting has to show it: where a dataset has a void id right after its classes (CamVid: 0..10 and 11
= void), labels that count from one hold no forbidden value: the last class is taken for void. So
evidence is weighed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import Group, Record, labels_of
from openseg_plugin.data_checks.finding import (
    Finding,
    list_value,
    remapping,
    several,
    split_settings,
    verb,
)
from openseg_plugin.data_checks.fixes import moved_down_fix, moved_up_fix
from openseg_plugin.data_checks.location_priors import lies_right
from openseg_plugin.datasets.label_table import ranges


def _first_beyond(rules: Rules) -> int:
    """The raw value after that of the last class."""
    return len(rules.classes) + int(rules.reduce_zero_label)


def is_one_too_high(group: Group) -> bool:
    """The only forbidden value is the first one; where 0 is ignored anyway, it never occurs."""
    rules = group.rules
    is_free = not (rules.reduce_zero_label and 0 in group.values)
    return set(group.outside) == {_first_beyond(rules)} and not rules.label_map and is_free


def one_too_high(source: Source, group: Group) -> Finding:
    """What the forbidden value says: the labels count from one, or it means "no class"."""
    if lies_right(group.rules, group.records):
        return _void_value(source, group)
    return _off_by_one(source, group)


def _off_by_one(source: Source, group: Group) -> Finding:
    rules, number = group.rules, len(group.rules.classes)
    records = group.records_of(group.outside)
    has = verb(len(records), 'has', 'have')
    title = (
        f'off by one: the labels hold {ranges(list(group.values))}, allowed are '
        f'{ranges([v for v in range(256) if rules.train_value(v) >= 0])}; '
        f'{several(len(records), "label")} {has} the value {_first_beyond(rules)}'
    )
    settings, commands, how = moved_up_fix(
        source, rules, group.values, [s for s in source.splits if s.rules == rules]
    )
    if 0 in group.values:  # it would be ignored, and may be a class
        settings, commands, how = [], [], ''
    advice = (
        f'The labels count from one: their first class has a number one too high. {how}'
        if 0 not in group.values
        else 'If 0 means "no class" in these labels, read them with reduce_zero_label=True. '
        f'If 0 is a class of its own (background), the dataset has {number + 1} classes: name '
        'that one in classes and '
        f'palette and set num_classes={number + 1} instead. If {number} means "no class" (void), '
        f'set metainfo.void_ids=[{number}] for our classes instead.'
    )
    return Finding(
        'off_by_one',
        True,
        title,
        'Every class would be trained under the name of its neighbor, and the last one is outside '
        'the network (a crash on the CPU, a "device-side assert" on a GPU).',
        labels_of(records),
        records,
        settings,
        commands,
        advice,
    )


def _void_value(source: Source, group: Group) -> Finding:
    rules, value = group.rules, _first_beyond(group.rules)
    records = group.records_of([value])
    if source.is_config and source.own_classes:
        void = list_value(sorted({*rules.void_ids, value}))
        settings = split_settings(source, 'metainfo.void_ids', void)
        commands: list[str] = []
    else:
        commands, settings = remapping(source, rules, rules.table.tolist())
    return Finding(
        'void_value',
        True,
        f'the value {value} is no class: {several(len(records), "label")} '
        f'{verb(len(records), "has", "have")} it beside the classes 0..{value - 1}; it seems to '
        'mean "no class" (void)',
        'Classes such as sky, road or background lie where they belong, so the labels do not count '
        'from one; but the value itself is outside the network: a crash on the CPU, a "device-side '
        'assert" on a GPU.',
        labels_of(records),
        records,
        settings,
        commands,
        'This makes those pixels ignored. If they are a class that you want, name it in classes '
        f'and palette and set num_classes={value + 1}.',
    )


_FEW = 3  # classes below which an absent class 0 says nothing
_FAR = 0.3  # fraction of pixels of another class between two splits that is no accident
_NEAR = 0.5  # of that fraction must vanish when the values are moved by one


def first_void(rules: Rules) -> int | None:
    """The void id right after the classes, if the dataset has one there."""
    number = len(rules.classes)
    plain = bool(number) and not (rules.label_map or rules.reduce_zero_label)
    return number if plain and number in rules.void_ids else None


def counts_from_one(group: Group) -> bool:
    """Class 0 never occurs, the void id does, and every value but one fits when moved down."""
    void = first_void(group.rules)
    values = {v for v in group.values if v != 255}
    if void is None or 0 in values or void not in values:
        return False
    after = max(group.rules.void_ids) + 1
    return set(group.outside) <= {after} and set(range(1, void)) <= values and void >= _FEW


def void_shift(source: Source, group: Group) -> Finding:
    """Labels 1..N of classes 0..N - 1 where N (and perhaps N + 1) was meant as void."""
    number = len(group.rules.classes)
    records = [r for r in group.records if r.label_facts['counts']]
    settings, commands, advice = moved_up_fix(
        source, group.rules, group.values, [s for s in source.splits if s.rules == group.rules]
    )
    return Finding(
        'off_by_one',
        bool(group.outside),
        f'off by one, most likely: the labels hold {ranges(list(group.values))} and never 0, the '
        f'{several(number, "class", "classes")} are 0..{number - 1} and {number} is void',
        'Every class would be trained under the name of its neighbor, and the last class would be '
        'ignored as void.',
        [r.pair.label_file for r in records],
        records,
        settings,
        commands,
        f'Class 1 of the labels seems to be class 0 of the config. {advice} If class 0 '
        f'({group.rules.classes[0]}) truly never occurs, nothing is wrong. Where the shift was '
        f'cut off at {number}, the last class and void cannot be told apart any more: make the '
        'labels anew.',
    )


@dataclass(frozen=True)
class _Likeness:
    """A split that looks like another one moved by ``shift``; fractions of differing pixels."""

    split: Split
    other: Split
    shift: int
    plain: float
    moved: float


def shifted_splits(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Splits whose histogram is that of another one, moved up or down by one."""
    histograms = {id(s): _histogram([r for r in records if r.split is s]) for s in source.splits}
    splits = [s for s in source.splits if s.rules.classes and not s.rules.label_map]
    splits = [s for s in splits if histograms[id(s)].any()]
    found = [
        likeness
        for split in splits
        for other in splits
        if split is not other and split.rules == other.rules
        for likeness in _likenesses(split, other, histograms)
        if likeness.plain > _FAR and likeness.moved < _NEAR * likeness.plain
    ]
    named: set[int] = set()
    for likeness in sorted(found, key=lambda likeness: likeness.moved):
        # of two splits that differ by one, one is the mistake; the better likeness says which
        if named.isdisjoint({id(likeness.split), id(likeness.other)}):
            named.add(id(likeness.split))
            yield _shifted(source, likeness, records)


def _likenesses(
    split: Split, other: Split, histograms: dict[int, np.ndarray]
) -> Iterator[_Likeness]:
    own, theirs = histograms[id(split)], histograms[id(other)]
    plain = _distance(own, theirs)
    if first_void(split.rules) is not None:
        yield _Likeness(split, other, 1, plain, _moved_up(own, theirs, split.rules))
    last = len(split.rules.classes) - 1 + int(split.rules.reduce_zero_label)
    is_free = not own[last] or last + 1 in split.rules.void_ids
    if is_free and np.count_nonzero(theirs[: last + 1]) > _FEW:
        yield _Likeness(split, other, -1, plain, _distance(own, _down(theirs)))


def _histogram(records: Sequence[Record]) -> np.ndarray:
    """Fraction of the pixels per raw value: (256,), all 0 without labels."""
    counts = np.zeros(256)
    for record in records:
        for raw, pixels in ((record.label or {}).get('counts') or {}).items():
            if 0 <= int(raw) < 256:
                counts[int(raw)] += pixels
    return counts / max(counts.sum(), 1)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Fraction of the pixels that would have to change their value."""
    return float(np.abs(one - other).sum() / 2)


def _moved_up(own: np.ndarray, other: np.ndarray, rules: Rules) -> float:
    """Distance to the other split moved up, where void stays, goes on, or becomes 0."""
    last = max(rules.void_ids)
    on = np.concatenate([[0.0], other[:-1]])
    around = on.copy()
    around[0], around[last + 1] = on[last + 1], 0.0
    cut_off = on.copy()
    cut_off[last] += cut_off[last + 1]
    cut_off[last + 1] = 0.0
    return min(_distance(own, other) for other in (on, around, cut_off))


def _down(other: np.ndarray) -> np.ndarray:
    """The histogram after reduce_zero_label: 0 becomes 255, 255 stays."""
    moved = np.concatenate([other[1:], [0.0]])
    moved[254], moved[255] = 0.0, other[0] + other[255]
    return moved


def _shifted(source: Source, likeness: _Likeness, records: Sequence[Record]) -> Finding:
    split, other = likeness.split, likeness.other
    own = [r for r in records if r.split is split and r.label and r.label.get('counts')]
    values = {int(v) for r in own for v in r.label_facts['counts']}
    is_up = likeness.shift > 0
    if is_up:
        settings, commands, advice = moved_up_fix(source, split.rules, values, [split])
    else:
        settings, commands, advice = moved_down_fix(source, split.rules, [split], own)
    return Finding(
        'splits_off_by_one',
        any(split.rules.train_value(v) < 0 for v in values),
        f'off by one: the values of {split.name} look like those of {other.name} '
        f'{"plus" if is_up else "minus"} 1 ({100 * likeness.plain:.0f} % of the pixels differ as '
        f'they are, {100 * likeness.moved:.0f} % when moved)',
        'What is learned as class k in one split would be another class in the other; no value is '
        'forbidden, so the run would go on with wrong scores.',
        [r.pair.label_file for r in own],
        own,
        settings,
        commands,
        f'This is for the case that {split.name} '
        f'{"counts from one" if is_up else "was reduced (k became k - 1, 0 became 255)"}. {advice} '
        f'If it is {other.name} that is wrong, make its labels anew.',
    )
