"""Where classes lie in an image, as evidence for or against a shift of the label values.

Sky is above, road is below, background touches the border: where such classes lie elsewhere, and
would lie right if all values were moved by one, the labels are off by one, though every value may
be allowed. Classes whose names say nothing about a place give no evidence.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from openseg_plugin.data_checks.dataset_spec import Rules
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.vertical_order import order_of, reads

_ABOVE = frozenset({'sky', 'sky-other', 'clouds', 'ceiling', 'ceiling-other', 'hat', 'hair'})
_BELOW = frozenset(
    {
        *('road', 'sidewalk', 'pavement', 'terrain', 'floor', 'grass', 'earth', 'rug', 'carpet'),
        *('field', 'sand', 'dirt track', 'dirt', 'gravel', 'runway', 'playingfield', 'railroad'),
        *('floor-wood', 'floor-tile', 'floor-stone', 'floor-marble', 'floor-other', 'ground-other'),
        *('curb', 'bike lane', 'service lane', 'lane marking - general', 'ego vehicle'),
        *('left-shoe', 'right-shoe', 'left-leg', 'right-leg', 'socks', 'neck', 'cloth'),
    }
)
BORDER = frozenset({'background', '_background_', 'bg'})
# Height of the mean of a class's pixels in a label, 0 at the top. In CamVid the mean of sky is
# above 0.4 in all labels, that of road below 0.6 in all, that of pavement in 88 %.
_UPPER, _LOWER = 0.45, 0.55
_FEW = 6  # labels below which a place says nothing
_MANY = 12
_RIGHT, _DOUBTFUL, _WRONG = 0.9, 0.7, 0.55  # fraction of the labels that agree
_ORDERED = 0.85  # instead of _DOUBTFUL where the order of classes is known too


@dataclass(frozen=True)
class Verdict:
    """How the values must have been moved.

    Attributes:
        shift: +1: the labels are one too high, -1: one too low, 0: no shift.
        as_is, moved: fraction of the labels that agree with the places, as they are and moved back.
        certain: so clear that training must not start.
        border_only: no class that lies above or below supports it. That an ignored border (fisheye
            lenses, vignettes) took the place of the background looks the same.
    """

    shift: int
    as_is: float = 0.0
    moved: float = 0.0
    certain: bool = False
    border_only: bool = False


def meanings(rules: Rules, shift: int) -> np.ndarray:
    """(256,) train value of every raw value if the labels were moved by ``shift``; -1: none."""
    table = rules.table
    if shift == 0:
        return table
    moved = np.empty_like(table)
    if shift > 0:  # void becomes 0 or goes on, 255 stays or becomes 0
        moved[1:] = table[:-1]
        moved[[0, 255]] = rules.ignore_index
    else:  # 0 becomes 255, as reduce_zero_label does it
        moved[:-1] = table[1:]
        moved[255] = table[0]
    return moved


@dataclass(frozen=True)
class Agreement:
    """How well the places of classes agree with their names.

    Attributes:
        share: of the labels that agree; of above, below, border and order the lowest.
        labels: how many were looked at.
        is_complete: there is evidence for above and below, or for the border.
        has_heights: there is evidence for above and below.
        has_order: there is evidence from classes that lie above others.
    """

    share: float = 0.0
    labels: int = 0
    is_complete: bool = False
    has_heights: bool = False
    has_order: bool = False


def agreement(rules: Rules, records: Sequence[Record], shift: int = 0) -> Agreement:
    """Whether classes lie where their names say, if the labels were moved by ``shift``."""
    names = [name.lower() for name in rules.classes]
    votes = _votes(names, meanings(rules, shift), records)
    shares, numbers = [], []
    for by_class in votes.values():
        seen = [found for found in by_class.values() if len(found) >= _FEW]
        if seen:
            numbers.append(max(len(found) for found in seen))
            shares.append(float(np.mean([np.mean(found) for found in seen])))
    if not shares:
        return Agreement()
    heights = {'above', 'below'} <= set(votes)
    complete = ('border' in votes or heights) and len(shares) == len(votes)
    order = order_of(records) if reads(rules) else None
    ordered = order and order.agreement(meanings(rules, shift), rules.classes)
    if ordered is not None:
        shares.append(ordered)
    return Agreement(min(shares), min(numbers), complete, complete and heights, ordered is not None)


def _votes(
    names: Sequence[str], meaning: np.ndarray, records: Sequence[Record]
) -> dict[str, dict[int, list[bool]]]:
    """Place -> class -> whether it lies there, for every label that has it."""
    votes: dict[str, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    has_border = not BORDER.isdisjoint(names)
    for record in records:
        places = (record.label or {}).get('places') or {}
        for raw, (height, *_) in places.items():
            k = int(meaning[int(raw)])
            name = names[k] if 0 <= k < len(names) else ''
            if name in _ABOVE:
                votes['above'][k].append(height < _UPPER)
            elif name in _BELOW:
                votes['below'][k].append(height > _LOWER)
        if places and has_border:
            k = int(meaning[int(max(places, key=lambda raw: places[raw][1]))])
            votes['border'][0].append(0 <= k < len(names) and names[k] in BORDER)
    return votes


def judge(rules: Rules, records: Sequence[Record]) -> Verdict:
    """Whether the places of the classes say that the labels of ``records`` are off by one."""
    values = {int(v) for r in records if r.label for v in r.label.get('counts') or {}}
    if rules.label_map or not rules.classes or not values or max(values) > 255 or min(values) < 0:
        return Verdict(0)
    as_is = agreement(rules, records)
    limit = _ORDERED if as_is.has_order else _DOUBTFUL
    if as_is.labels and as_is.share > limit:
        return Verdict(0, as_is.share)
    found = []
    for shift in (1, -1):
        moved = agreement(rules, records, shift)
        seen = moved.labels if moved.is_complete and _could_be(rules, values, shift) else 0
        if seen >= _FEW and moved.share >= _RIGHT:
            certain = seen >= _MANY and as_is.share <= _WRONG and moved.has_heights
            border = not moved.has_heights
            found.append(Verdict(shift, as_is.share, moved.share, certain, border))
    return max(found, key=lambda verdict: verdict.moved, default=Verdict(0, as_is.share))


def lies_right(rules: Rules, records: Sequence[Record]) -> bool:
    """Whether the classes lie where their names say: there is no shift."""
    found = agreement(rules, records)
    return found.is_complete and found.labels >= _FEW and found.share >= _RIGHT


def _could_be(rules: Rules, values: Iterable[int], shift: int) -> bool:
    """Moved back, no value is forbidden, and no more classes are absent than as it is."""
    moved = {int(meanings(rules, shift)[v]) for v in values}
    as_is = {int(rules.table[v]) for v in values}
    classes = set(range(len(rules.classes)))
    return -1 not in moved and len(classes & moved) >= len(classes & as_is)
