"""Which class lies above which, as evidence about the names of label values.

In street scenes the order of the means is almost a law: in CamVid and Cityscapes-like scenes the
sky lies above buildings in more than 97 % of the labels that show both, those above cars in 95 %,
cars above the pavement in 90 %, and the pavement above the road in 90 %. Images taken from above
have no such order at all, which shows too: there no pair of values has an order of its own.
"""

from collections.abc import Sequence
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
        if part is not None and r.label['places'].get(str(raw), [0] * 4)[part] > _FAR
    ]
