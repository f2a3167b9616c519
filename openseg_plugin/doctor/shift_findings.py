"""Findings about labels whose numbers all moved by one and yet look valid.

Where a data set has a void id right after its classes (CamVid: 0..10 and 11 = void), labels that
count from one hold no forbidden value: the last class is taken for void. So evidence is weighed.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from openseg_plugin.doctor.examine import Record
from openseg_plugin.doctor.finding import Finding, class_arguments, conversion, list_value
from openseg_plugin.doctor.source import Rules, Source, Split
from openseg_plugin.doctor.survey import Group
from openseg_plugin.doctor.values import ranges

_FEW = 3  # classes below which an absent class 0 says nothing
_FAR = 0.3  # share of pixels of another class between two splits that is no accident
_NEAR = 0.5  # of that share must vanish when the values are moved by one


def first_void(rules: Rules) -> int | None:
    """The void id right after the classes, if the data set has one there."""
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
    records = [r for r in group.records if r.label['counts']]
    return Finding(
        'off_by_one',
        bool(group.outside),
        f'off by one, most likely: the labels hold {ranges(list(group.values))} and never 0, the '
        f'{number} classes are 0..{number - 1} and {number} is void',
        'Every class would be trained under the name of its neighbour, and the last class would be '
        'ignored as void.',
        [r.pair.label for r in records],
        records,
        *_mend(source, group.rules, set(group.values), source.splits),
        'Class 1 of the labels seems to be class 0 of the config. If class 0 '
        f'({group.rules.classes[0]}) truly never occurs, nothing is wrong. Where the shift was '
        f'cut off at {number}, the last class and void cannot be told apart any more: make the '
        'labels anew.',
    )


def _mend(
    source: Source, rules: Rules, values: set[int], splits: Sequence[Split]
) -> tuple[list[str], list[str]]:
    """Settings and commands that move the values down by one."""
    if source.is_config and source.own_classes:
        void = list_value([v + 1 for v in rules.void_ids if v + 1 in values])
        keys = dict.fromkeys(split.key for split in splits if split.key)
        settings = [
            f'{key}.{text}'
            for key in keys
            for text in ('reduce_zero_label=True', f'metainfo.void_ids={void}')
        ]
        return settings, []
    pairs = [f'{k + 1}:{k}' for k in range(len(rules.classes))]
    commands, settings = conversion(source, '--remap', *pairs, *class_arguments(rules.classes))
    return settings, commands


def shifted_splits(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """A split whose histogram is that of another one, moved up by one."""
    splits = [s for s in source.splits if first_void(s.rules) is not None]
    found = {id(s): _histogram([r for r in records if r.split is s]) for s in splits}
    for split in splits:
        own = found[id(split)]
        others = [s for s in splits if s is not split and s.rules == split.rules]
        for other in others:
            plain, moved = _distance(own, found[id(other)]), _moved(own, found[id(other)], split)
            if plain > _FAR and moved < _NEAR * plain:
                yield _shifted(source, split, other, records, plain=plain, moved=moved)
                break


def _histogram(records: Sequence[Record]) -> np.ndarray:
    """Share of the pixels per raw value: (256,), all 0 without labels."""
    counts = np.zeros(256)
    for record in records:
        for raw, pixels in ((record.label or {}).get('counts') or {}).items():
            if 0 <= int(raw) < 256:
                counts[int(raw)] += pixels
    return counts / max(counts.sum(), 1)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the pixels that would have to change their value."""
    return float(np.abs(one - other).sum() / 2)


def _moved(own: np.ndarray, other: np.ndarray, split: Split) -> float:
    """Distance to the other split moved up, where void stays, goes on, or becomes 0."""
    last = max(split.rules.void_ids)
    on = np.concatenate([[0.0], other[:-1]])
    around = on.copy()
    around[0], around[last + 1] = on[last + 1], 0.0
    cut_off = on.copy()
    cut_off[last] += cut_off[last + 1]
    cut_off[last + 1] = 0.0
    return min(_distance(own, other) for other in (on, around, cut_off))


def _shifted(
    source: Source, split: Split, other: Split, records: Sequence[Record], *, plain, moved
) -> Finding:
    own = [r for r in records if r.split is split and r.label and r.label.get('counts')]
    values = {int(v) for r in own for v in r.label['counts']}
    settings, commands = _mend(source, split.rules, values, [split])
    outside = any(split.rules.train_value(v) < 0 for v in values)
    return Finding(
        'splits_off_by_one',
        outside,
        f'off by one: the values of {split.name} look like those of {other.name} plus 1 '
        f'({100 * plain:.0f} % of the pixels differ as they are, {100 * moved:.0f} % when moved)',
        'What is learned as class k in one split would be class k + 1 in the other; no value is '
        'forbidden, so the run would go on with wrong scores.',
        [r.pair.label for r in own],
        own,
        settings if source.is_config else [],
        [] if source.is_config else commands,
        f'This is for the case that {split.name} counts from one. If it is {other.name} that was '
        'moved down, make its labels anew.'
        + ('' if source.is_config else f' Convert {split.name} alone: add --split {split.part}.'),
    )
