"""Findings about classes that lie where their names do not belong, whatever explains it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.finding import Finding, remapping, several
from openseg_plugin.data_checks.location_priors import (
    BORDER,
    ENDS,
    Order,
    far_from_home,
    order_of,
    tiers,
)

_SOME = 6  # labels below which an order proves nothing
_MANY = 12  # labels from which it stops a training
_STRICT = 0.65  # strictness of a scene with an order: streets have 0.8, chance gives about 0.2
_RIGHT, _GAIN = 0.93, 0.05  # agreement after a swap, and what makes it certain
_WRONG, _REVERSED = 0.75, 0.25  # agreement below which the names are wrong, or the scene stands
_PAIR_WRONG = 0.15  # agreement of two classes that are each other's opposite
_UNIQUE = 0.01  # what the second best swap must be worse by
_FAR_LABELS, _FEW = 0.1, 5  # fraction and number of the labels that show class 0 where it is not


def order_findings(source: Source, records: Sequence[Record]) -> Iterator[Finding]:
    """Splits whose classes lie in the wrong order, a void that became class 0, inverted masks."""
    misplaced: dict[tuple[Rules, _Swap | None], list[Part]] = defaultdict(list)
    inverted: dict[Rules, list[Part]] = defaultdict(list)
    for split in source.splits:
        own = [r for r in records if r.split is split and r.label and r.label.get('places')]
        part = Part(split, own)
        wrong = _misplaced(split, own)
        if wrong is not None:
            misplaced[split.rules, wrong[1]].append(replace(part, agreement=wrong[0]))
        void = _void_in_class(split, own)
        if void is not None:
            yield void
        around = _inverted(split.rules, own)
        if around:
            inverted[split.rules].append(Part(split, around))
    for (rules, swap), parts in misplaced.items():
        yield _in_wrong_order(source, rules, parts, swap)
    for rules, parts in inverted.items():
        yield _inverted_masks(source, rules, parts)


@dataclass(frozen=True)
class Part:
    """A split with the pairs that a finding is about."""

    split: Split
    records: list[Record]
    agreement: float = 0.0


@dataclass(frozen=True)
class _Swap:
    one: int
    other: int
    agreement: float = field(compare=False)
    is_certain: bool = field(default=True, compare=False)


def _misplaced(split: Split, records: list[Record]) -> tuple[float, _Swap | None] | None:
    """How many pairs are in order, and the swap that puts them so; None where all is well."""
    rules = split.rules
    order = order_of(records)
    as_is = order.agreement(rules.table, rules.classes)
    if as_is is None or order.labels < _SOME or order.strictness < _STRICT:
        return None
    if as_is <= _REVERSED:
        return None  # a camera that hangs upside down, or turned labels: their edges tell
    swap = _best_swap(order, rules, as_is)
    if swap is None and as_is >= _WRONG:
        return None
    return as_is, swap


def _best_swap(order: Order, rules: Rules, as_is: float) -> _Swap | None:
    """The two classes whose exchange puts everything in order; None where there is no such pair."""
    known = [v for v in range(256) if order.both[v].any() and 0 <= rules.table[v] != 255]
    place, found = tiers(rules.classes), []
    for one, other in combinations(known, 2):
        if place[rules.table[one]] == place[rules.table[other]]:
            continue
        agreement = order.agreement(_swapped(rules.table, one, other), rules.classes) or 0.0
        found.append(_Swap(one, other, agreement))
    found.sort(key=lambda swap: -swap.agreement)
    if not found or found[0].agreement < max(_RIGHT, as_is + _UNIQUE):
        return None
    best = found[0]
    if len(found) > 1 and best.agreement - found[1].agreement < _UNIQUE:
        return None
    upper, lower = best.one, best.other
    if place[rules.table[upper]] > place[rules.table[lower]]:
        upper, lower = lower, upper
    pair = order.above[upper, lower] / max(order.both[upper, lower], 1)
    is_opposite = order.both[upper, lower] >= _SOME and pair <= _PAIR_WRONG
    is_certain = best.agreement >= as_is + _GAIN
    return replace(best, is_certain=is_certain) if is_certain or is_opposite else None


def _swapped(table: np.ndarray, one: int, other: int) -> np.ndarray:
    changed = table.copy()
    changed[[one, other]] = table[[other, one]]
    return changed


def _in_wrong_order(
    source: Source, rules: Rules, parts: Sequence[Part], swap: _Swap | None
) -> Finding:
    records = [record for part in parts for record in part.records]
    as_is = max(part.agreement for part in parts)
    settings: list[str] = []
    commands: list[str] = []
    if swap is None:
        what = 'the classes lie where their names do not belong'
        advice = (
            'The numbers of the labels belong to another list of classes, or to this one in '
            'another order. Look at the overlays in the report (--report DIR) and name the '
            'classes in the order of the values, or convert the labels again.'
        )
    else:
        names = [rules.classes[int(rules.table[v])] for v in (swap.one, swap.other)]
        what = f'{names[0]} and {names[1]} seem to be swapped'
        commands, settings = remapping(
            source,
            rules,
            _swapped(rules.table, swap.one, swap.other).tolist(),
            [part.split for part in parts],
        )
        advice = (
            f'With the two exchanged {100 * swap.agreement:.0f} % are in order. Look at the '
            'overlays in the report (--report DIR) first; no pixel is lost by the exchange.'
        )
        if not any(_has_ignored(rules, record) for record in records):
            # then pixels of no class may be in class 0, and move the means of this or others
            commands, settings = [], []
            advice = (
                'Look at the overlays in the report (--report DIR): the two are swapped, or '
                f'pixels of no class became {rules.classes[0]}, as nothing is ignored. Make the '
                'labels anew.'
            )
    return Finding(
        'classes_misplaced',
        len(records) >= _MANY and (swap is None or swap.is_certain),
        f'{what} in {_names(parts)}: of the pairs of classes that have an order in a scene (sky '
        f'above buildings above cars above the road) {100 * as_is:.0f} % are in order, over '
        f'{several(len(records), "label")}',
        'The network would learn one class under the name of another; no value is forbidden, so '
        'the run would go on and the scores per class would mean nothing.',
        [r.pair.label_file for r in records],
        records,
        settings,
        commands,
        advice,
    )


def _names(parts: Sequence[Part]) -> str:
    return ' and '.join(part.split.name for part in parts)


def _void_in_class(split: Split, records: list[Record]) -> Finding | None:
    rules = split.rules
    raw = int(rules.reduce_zero_label)
    place = int(tiers(rules.classes)[0]) if rules.classes else -1
    if place not in ENDS or any(_has_ignored(rules, record) for record in records):
        return None
    seen = [r for r in records if str(raw) in r.label_facts['places']]
    end = ENDS[place][1]
    far = far_from_home(rules, seen, raw)
    heights = [r.label_facts['places'][str(raw)][0] for r in seen]
    is_right = seen and (np.median(heights) < 0.5) == (place == 0)
    if not is_right or len(far) < max(_FEW, _FAR_LABELS * len(seen)):
        return None
    return Finding(
        'void_in_class',
        False,
        f'pixels of no class seem to have become class 0: {rules.classes[0]} is at the {end} of '
        f'the image in {len(far)} of {several(len(seen), "label")} of {split.name}, and nothing is '
        'ignored',
        f'The network would learn borders, objects without a class and the like as '
        f'{rules.classes[0]}.',
        [r.pair.label_file for r in far],
        far,
        advice='Look at the overlays in the report (--report DIR). If so, make the labels anew '
        'with 255 for pixels of no class: in these ones the two cannot be told apart any more.',
    )


def _has_ignored(rules: Rules, record: Record) -> bool:
    """Whether a label has pixels that training ignores."""
    ignored = {str(v) for v in np.flatnonzero(rules.table == rules.ignore_index)}
    return bool(ignored & record.label_facts['places'].keys())


def _inverted(rules: Rules, records: list[Record]) -> list[Record]:
    """Labels of two classes whose object takes the border, where nearly all of them do."""
    if len(rules.classes) != 2 or rules.classes[0].lower() not in BORDER:
        return []
    background, objects = (_raw(rules, k) for k in (0, 1))
    if background is None or objects is None:
        return []
    seen = [r for r in records if {background, objects} <= r.label_facts['places'].keys()]
    around = [
        r for r in seen if r.label_facts['places'][objects][1] > 0.8 and _fraction(r, objects) > 0.5
    ]
    return around if len(seen) >= _FEW + 1 and len(around) >= 0.9 * len(seen) else []


def _raw(rules: Rules, k: int) -> str | None:
    """The one raw value of a class; None where it has several or none."""
    found = np.flatnonzero(rules.table == k).tolist()
    return str(found[0]) if len(found) == 1 else None


def _inverted_masks(source: Source, rules: Rules, parts: Sequence[Part]) -> Finding:
    records = [record for part in parts for record in part.records]
    one, other = (int(_raw(rules, k) or 0) for k in (0, 1))
    commands, settings = remapping(
        source,
        rules,
        _swapped(rules.table, one, other).tolist(),
        [part.split for part in parts],
    )
    return Finding(
        'inverted_binary',
        False,
        f'inverted masks, most likely: {rules.classes[1]} takes the border and most of the image '
        f'in {several(len(records), "label")} of {_names(parts)}, {rules.classes[0]} lies inside',
        f'The network would learn the {rules.classes[0]} as {rules.classes[1]}, with scores that '
        'look good.',
        [r.pair.label_file for r in records],
        records,
        settings,
        commands,
        'Look at the overlays in the report (--report DIR). Right where the object fills nearly '
        'every image; if not, this exchanges 0 and 1.',
    )


def _fraction(record: Record, value: str) -> float:
    counts = record.label_facts['counts']
    return counts.get(value, 0) / max(sum(counts.values()), 1)
