"""Where classes lie in an image, as evidence for or against a shift of the label values.

Sky is above, road is below, background touches the border: where such classes lie elsewhere, and
would lie right if all values were moved by one, the labels are off by one, though every value may
be allowed. Classes whose names say nothing about a place give no evidence.

The second kind of evidence is which class lies above which. In street scenes the order of the means
is almost a law: in CamVid and Cityscapes-like scenes the sky lies above buildings in more than 97 %
of the labels that show both, those above cars in 95 %, cars above the pavement in 90 %, and the
pavement above the road in 90 %. Images taken from above have no such order at all, which shows too:
there no pair of values has an order of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from openseg_plugin.data_checks.dataset_spec import Rules
from openseg_plugin.data_checks.examine import Record

_TIERS = (
    ('sky', 'sky-other', 'clouds', 'ceiling'),
    (
        *('building', 'tree', 'vegetation', 'sign', 'traffic sign', 'signsymbol', 'pole'),
        *('traffic light', 'column_pole'),
    ),
    (
        *('car', 'person', 'pedestrian', 'rider', 'bicyclist', 'bicycle', 'motorcycle', 'bus'),
        *('truck', 'fence', 'bike', 'motorbike', 'minibike', 'van'),
    ),
    ('sidewalk', 'pavement', 'terrain'),
    ('road',),
)
_SMALLEST = 0.002  # fraction of a label below which the mean of a value says little
_SEEN = 4  # labels that show a pair of values, for the pair to say something

# In correct street scenes no sky is in the lowest fifth and no road in the highest one.
_FAR = 0.002  # fraction of the pixels of a value
ENDS = {0: (3, 'bottom'), 4: (2, 'top')}  # tier -> part of the facts' places where it never is


def tiers(classes: Sequence[str]) -> np.ndarray:
    """(256,) place in the order from top to bottom, by train value; -1: the name says nothing."""
    by_name = {name: place for place, names in enumerate(_TIERS) for name in names}
    found = np.full(256, -1)
    known = [by_name.get(name.lower(), -1) for name in classes[:256]]
    found[: len(known)] = known
    return found


@dataclass(frozen=True)
class Order:
    """How often raw values lie above others.

    Attributes:
        above: (256, 256) number of labels where the mean of the first value lies higher.
        both: (256, 256) number of labels that show both; 0 where those are too few.
        labels: number of labels that were looked at.
    """

    above: np.ndarray
    both: np.ndarray
    labels: int

    def agreement(self, meaning: np.ndarray, classes: Sequence[str]) -> float | None:
        """Fraction of the pairs in the right order if raw values have this meaning, 0 to 1.

        Args:
            meaning: (256,) train value of every raw value, -1 for none.
            classes: their names.

        Returns:
            None where fewer than three pairs of values have an order.
        """
        right, seen = self._counts(meaning, classes)
        return float(right.sum() / seen.sum()) if np.count_nonzero(seen) >= 3 else None

    @property
    def strictness(self) -> float:
        """1: every pair of values always has the same order, 0: chance decides."""
        upper = np.triu(self.both, 1)
        if not upper.any():
            return 0.0
        fraction = self.above / np.maximum(self.both, 1)
        return float((np.abs(2 * fraction - 1) * upper).sum() / upper.sum())

    def _counts(self, meaning: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        place = np.where(meaning >= 0, tiers(classes)[np.clip(meaning, 0, 255)], -1)
        is_pair = (place[:, None] < place[None]) & (place[:, None] >= 0)
        return self.above * is_pair, self.both * is_pair


def order_of(records: Sequence[Record]) -> Order:
    """The order of the raw values in some labels."""
    above, both = np.zeros((256, 256)), np.zeros((256, 256))
    labels = 0
    for record in records:
        places = (record.label or {}).get('places') or {}
        counts = (record.label or {}).get('counts') or {}
        total = sum(counts.values())
        values = [int(v) for v in places if counts.get(v, 0) >= _SMALLEST * total]
        if len(values) < 2:
            continue
        labels += 1
        heights = np.array([places[str(v)][0] for v in values])
        above[np.ix_(values, values)] += heights[:, None] < heights[None]
        both[np.ix_(values, values)] += ~np.eye(len(values), dtype=bool)
    is_seen = both >= _SEEN
    return Order(above * is_seen, both * is_seen, labels)


def reads(rules: Rules) -> bool:
    """Whether the names of the classes say enough about their order."""
    return len(set(tiers(rules.classes).tolist()) - {-1}) >= 3


def far_from_home(rules: Rules, records: Sequence[Record], raw: int) -> list[Record]:
    """Labels where a value has pixels at the end of the image where class 0 never is."""
    place = int(tiers(rules.classes)[0])
    part = ENDS[place][0] if place in ENDS else None
    return [
        r
        for r in records
        if part is not None and r.label_facts['places'].get(str(raw), [0] * 4)[part] > _FAR
    ]


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
        fraction: of the labels that agree; of above, below, border and order the lowest.
        labels: how many were looked at.
        is_complete: there is evidence for above and below, or for the border.
        has_heights: there is evidence for above and below.
        has_order: there is evidence from classes that lie above others.
    """

    fraction: float = 0.0
    labels: int = 0
    is_complete: bool = False
    has_heights: bool = False
    has_order: bool = False


def agreement(rules: Rules, records: Sequence[Record], shift: int = 0) -> Agreement:
    """Whether classes lie where their names say, if the labels were moved by ``shift``."""
    names = [name.lower() for name in rules.classes]
    votes = _votes(names, meanings(rules, shift), records)
    fractions, numbers = [], []
    for by_class in votes.values():
        seen = [found for found in by_class.values() if len(found) >= _FEW]
        if seen:
            numbers.append(max(len(found) for found in seen))
            fractions.append(float(np.mean([np.mean(found) for found in seen])))
    if not fractions:
        return Agreement()
    heights = {'above', 'below'} <= set(votes)
    complete = ('border' in votes or heights) and len(fractions) == len(votes)
    order = order_of(records) if reads(rules) else None
    ordered = order.agreement(meanings(rules, shift), rules.classes) if order else None
    if ordered is not None:
        fractions.append(ordered)
    return Agreement(
        min(fractions), min(numbers), complete, complete and heights, ordered is not None
    )


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
    if as_is.labels and as_is.fraction > limit:
        return Verdict(0, as_is.fraction)
    found = []
    for shift in (1, -1):
        moved = agreement(rules, records, shift)
        seen = moved.labels if moved.is_complete and _could_be(rules, values, shift) else 0
        if seen >= _FEW and moved.fraction >= _RIGHT:
            certain = seen >= _MANY and as_is.fraction <= _WRONG and moved.has_heights
            border = not moved.has_heights
            found.append(Verdict(shift, as_is.fraction, moved.fraction, certain, border))
    return max(found, key=lambda verdict: verdict.moved, default=Verdict(0, as_is.fraction))


def lies_right(rules: Rules, records: Sequence[Record]) -> bool:
    """Whether the classes lie where their names say: there is no shift."""
    found = agreement(rules, records)
    return found.is_complete and found.labels >= _FEW and found.fraction >= _RIGHT


def _could_be(rules: Rules, values: Iterable[int], shift: int) -> bool:
    """Moved back, no value is forbidden, and no more classes are absent than as it is."""
    moved = {int(meanings(rules, shift)[v]) for v in values}
    as_is = {int(rules.table[v]) for v in values}
    classes = set(range(len(rules.classes)))
    return -1 not in moved and len(classes & moved) >= len(classes & as_is)
