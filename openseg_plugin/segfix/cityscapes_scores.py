"""The figures of the Cityscapes benchmark, from label id maps: IoU, iIoU, categories, priors.

Rules of cityscapesScripts (``evalPixelLevelSemanticLabeling``): everything is counted over the
34 label ids. Ground truth without a class in the benchmark drops out; a prediction of such an id
on a counted pixel is a miss of the true class and a false alarm of none. iIoU weights the pixels
of each object by the mean size of its class over the object's own size.

H, W: size of a map in pixels. Rows of the confusion matrix are the ground truth.
"""

import dataclasses

import numpy as np

from openseg_plugin.segfix.regions import CITYSCAPES_CLASS_IDS, NUM_CITYSCAPES_IDS

LABEL_NAMES = (
    *('unlabeled', 'ego vehicle', 'rectification border', 'out of roi', 'static', 'dynamic'),
    *('ground', 'road', 'sidewalk', 'parking', 'rail track', 'building', 'wall', 'fence'),
    *('guard rail', 'bridge', 'tunnel', 'pole', 'polegroup', 'traffic light', 'traffic sign'),
    *('vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'caravan'),
    *('trailer', 'train', 'motorcycle', 'bicycle'),
)
CLASS_NAMES = tuple(LABEL_NAMES[index] for index in CITYSCAPES_CLASS_IDS)

CATEGORIES = {
    'void': range(7),
    'flat': range(7, 11),
    'construction': range(11, 17),
    'object': range(17, 21),
    'nature': range(21, 23),
    'sky': range(23, 24),
    'human': range(24, 26),
    'vehicle': range(26, 34),
}

# Mean size of an object in pixels over the training set, as cityscapesScripts has it.
_MEAN_SIZES = {
    24: 3462.4756337644,
    25: 3930.4788056518,
    26: 12794.0202738185,
    27: 27855.1264367816,
    28: 35732.1511111111,
    29: 36771.8241758242,
    30: 16926.9763313609,
    31: 67583.7075812274,
    32: 6298.7200839748,
    33: 4672.3249222261,
}
_SCORED = np.isin(np.arange(NUM_CITYSCAPES_IDS), CITYSCAPES_CLASS_IDS)
_FIRST_OBJECT = 1000


@dataclasses.dataclass
class CityscapesScores:
    """Sums over pictures, and the figures made of them.

    Attributes:
        confusion: (34, 34) int64 pixels; rows ground truth, columns prediction.
        objects: (34, 4) float64, for each class with objects their weighted pixels: predicted as
            the class, otherwise, predicted as its category, otherwise.
    """

    confusion: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros([NUM_CITYSCAPES_IDS] * 2, np.int64)
    )
    objects: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros((NUM_CITYSCAPES_IDS, 4))
    )

    def __add__(self, other: 'CityscapesScores') -> 'CityscapesScores':
        return CityscapesScores(self.confusion + other.confusion, self.objects + other.objects)

    def add(
        self, prediction: np.ndarray, label: np.ndarray, instances: np.ndarray | None = None
    ) -> None:
        """Count one picture.

        Args:
            prediction: (H, W) label ids; 255, the void of refined maps, counts as unlabeled.
            label: (H, W) label ids.
            instances: (H, W) instance ids, without which there is no iIoU.
        """
        prediction = np.where(prediction == 255, 0, prediction).astype(np.int64)
        pairs = label.astype(np.int64) * NUM_CITYSCAPES_IDS + prediction
        counts = np.bincount(pairs.reshape(-1), minlength=NUM_CITYSCAPES_IDS**2)
        self.confusion += counts.reshape(self.confusion.shape)
        if instances is not None:
            self._add_objects(prediction, instances)

    def _add_objects(self, prediction: np.ndarray, instances: np.ndarray) -> None:
        for number in np.unique(instances[instances >= _FIRST_OBJECT]):
            label_id = int(number) // _FIRST_OBJECT
            if label_id not in _MEAN_SIZES or not _SCORED[label_id]:
                continue
            inside = prediction[instances == number]
            weight = _MEAN_SIZES[label_id] / inside.size
            category = next(ids for ids in CATEGORIES.values() if label_id in ids)
            hits = np.count_nonzero(inside == label_id)
            near = np.count_nonzero(np.isin(inside, category))
            counts = np.array([hits, inside.size - hits, near, inside.size - near])
            self.objects[label_id] += weight * counts

    def class_iou(self) -> dict[str, float]:
        """IoU of each of the 34 labels; nan where it is not scored or does not occur."""
        return {
            name: self._iou([index]) if _SCORED[index] else float('nan')
            for index, name in enumerate(LABEL_NAMES)
        }

    def category_iou(self) -> dict[str, float]:
        """IoU of each category."""
        return {name: self._iou(self._scored(ids)) for name, ids in CATEGORIES.items()}

    def class_iiou(self) -> dict[str, float]:
        """Object-weighted IoU of each label; nan for those without objects."""
        return {
            name: self._iiou([index], *self.objects[index, :2])
            if index in _MEAN_SIZES and _SCORED[index]
            else float('nan')
            for index, name in enumerate(LABEL_NAMES)
        }

    def category_iiou(self) -> dict[str, float]:
        """Object-weighted IoU of each category."""
        figures = {}
        for name, ids in CATEGORIES.items():
            ids = self._scored(ids)
            with_objects = any(index in _MEAN_SIZES for index in ids)
            sums = self.objects[ids, 2:].sum(axis=0) if with_objects else (0.0, 0.0)
            figures[name] = self._iiou(ids, *sums) if with_objects else float('nan')
        return figures

    def priors(self) -> dict[str, float]:
        """Share of all pixels that each label has in the ground truth."""
        shares = self.confusion.sum(axis=1) / max(self.confusion.sum(), 1)
        return dict(zip(LABEL_NAMES, shares.tolist()))

    @staticmethod
    def _scored(ids: range) -> list[int]:
        return [index for index in ids if _SCORED[index]]

    def _false_alarms(self, ids: list[int]) -> int:
        """Pixels of other scored labels that were predicted as one of ``ids``."""
        others = _SCORED.copy()
        others[ids] = False
        return int(self.confusion[others][:, ids].sum())

    def _iou(self, ids: list[int]) -> float:
        hits = self.confusion[np.ix_(ids, ids)].sum()
        union = self.confusion[ids].sum() + self._false_alarms(ids)
        return float(hits / union) if union else float('nan')

    def _iiou(self, ids: list[int], hits: float, misses: float) -> float:
        union = hits + misses + self._false_alarms(ids)
        return float(hits / union) if union else float('nan')


def mean_of(figures: dict[str, float]) -> float:
    """Mean over those that are no nan; nan where none is."""
    values = np.array(list(figures.values()))
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float('nan')


def official_figures(
    before: CityscapesScores, after: CityscapesScores
) -> dict[str, dict[str, float]]:
    """Means over classes and categories as the benchmark reports them: {row: {column: figure}}.

    iIoU is nan where no instance ids were given.
    """
    rows: dict[str, dict[str, float]] = {'classes': {}, 'categories': {}}
    for when, scores in (('before', before), ('after', after)):
        has_objects = scores.objects.any()
        for row, iou, iiou in (
            ('classes', scores.class_iou(), scores.class_iiou()),
            ('categories', scores.category_iou(), scores.category_iiou()),
        ):
            rows[row][f'IoU {when}'] = mean_of(iou)
            rows[row][f'iIoU {when}'] = mean_of(iiou) if has_objects else float('nan')
    return rows
