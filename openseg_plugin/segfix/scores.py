"""Scores of label maps and object masks before and after refinement, per class.

The metrics of the Cityscapes benchmark, from label id maps: IoU, iIoU, categories.

Rules of cityscapesScripts (``evalPixelLevelSemanticLabeling``): everything is counted over the
34 label ids. Ground truth without a class in the benchmark drops out; a prediction of such an id
on a counted pixel is a miss of the true class and a false alarm of none. iIoU weights the pixels
of each object by the mean size of its class over the object's own size.

H, W: size of a map in pixels. Rows of the confusion matrix are the ground truth.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from openseg_plugin.evaluation.boundary import boundary_f_scores, boundary_map, precision_recall_f
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
    """Sums over images, and the metrics made of them.

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
        """Count one image.

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
        metrics = {}
        for name, members in CATEGORIES.items():
            ids = self._scored(members)
            with_objects = any(index in _MEAN_SIZES for index in ids)
            sums = self.objects[ids, 2:].sum(axis=0) if with_objects else (0.0, 0.0)
            metrics[name] = self._iiou(ids, *sums) if with_objects else float('nan')
        return metrics

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


def mean_of(metrics: dict[str, float]) -> float:
    """Mean over those that are no nan; nan where none is."""
    values = np.array(list(metrics.values()))
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float('nan')


def official_metrics(
    before: CityscapesScores, after: CityscapesScores
) -> dict[str, dict[str, float]]:
    """Means over classes and categories as the benchmark reports them: {row: {column: metric}}.

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


_VOID = 255


@dataclasses.dataclass(frozen=True)
class MapScores:
    """What one label map, or many, contribute: sums can be added.

    Attributes:
        pixels: (3, 255) int64 pixels of each class: right, in the ground truth, predicted. Void
            pixels of the ground truth are left out.
        boundary_f: (255,) sum over maps of each class's boundary F.
        maps: number of maps.
    """

    pixels: np.ndarray
    boundary_f: np.ndarray
    maps: int = 1

    def __add__(self, other: 'MapScores') -> 'MapScores':
        return MapScores(
            self.pixels + other.pixels,
            self.boundary_f + other.boundary_f,
            self.maps + other.maps,
        )

    def classes(self) -> list[int]:
        """Classes that occur in ground truth or prediction."""
        return [int(index) for index in np.flatnonzero(self.pixels.any(axis=0))]

    def iou(self) -> np.ndarray:
        """(255,) IoU, nan for classes that do not occur."""
        right, true, predicted = self.pixels
        union = true + predicted - right
        return np.divide(right, union, out=np.full(_VOID, np.nan), where=union > 0)

    def mean_boundary_f(self) -> np.ndarray:
        """(255,) mean over maps; a map without the class counts as 1, as published."""
        return self.boundary_f / self.maps


def score_map(prediction: np.ndarray, label: np.ndarray, *, radius: int) -> MapScores:
    """Scores of one label map.

    Args:
        prediction: (H, W) uint8 train ids, 255 where no class was predicted.
        label: (H, W) uint8 train ids, 255 void.
        radius: of the boundary F-score, in pixels.
    """
    counted = label != _VOID
    predicted, true = prediction[counted], label[counted]
    pixels = [
        np.bincount(values, minlength=_VOID + 1)[:_VOID]
        for values in (true[predicted == true], true, predicted)
    ]
    edges = boundary_f_scores(prediction, label, _VOID, radius=radius)
    return MapScores(np.stack(pixels), edges[:, 2])


@dataclasses.dataclass(frozen=True)
class MaskScore:
    """One predicted object against the object of the ground truth that it stands for.

    Attributes:
        label_id: class of the prediction.
        iou: of the masks.
        boundary_f: of their edges.
    """

    label_id: int
    iou: float
    boundary_f: float


def match_object(mask: np.ndarray, instances: np.ndarray, label_id: int) -> int | None:
    """Instance id of the object of that class with the highest IoU; None where none overlaps.

    Args:
        mask: (H, W) bool.
        instances: (H, W) instance ids.
        label_id: class of the mask.
    """
    best, best_iou = None, 0.0
    for number in np.unique(instances[mask]):
        if number // 1000 != label_id:
            continue
        iou = mask_iou(mask, instances == number)
        if iou > best_iou:
            best, best_iou = int(number), iou
    return best


def score_mask(mask: np.ndarray, true: np.ndarray, *, label_id: int, radius: int) -> MaskScore:
    """Scores of one object mask, (H, W) bool, against the true one."""
    edges = (boundary_map(one.astype(np.uint8)) for one in (mask, true))
    return MaskScore(label_id, mask_iou(mask, true), precision_recall_f(*edges, radius=radius)[2])


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two (H, W) bool masks; 0 where both are empty."""
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 0.0


def metrics(before: MapScores, after: MapScores, names: Sequence[str] = ()) -> dict:
    """IoU and boundary F of every class that occurs, and their means: {row: {column: 0..1}}.

    Args:
        before: scores of the maps as they were.
        after: of the refined ones.
        names: of the classes; numbers where it is too short.
    """
    classes = sorted({*before.classes(), *after.classes()})
    columns = {
        'IoU before': before.iou(),
        'IoU after': after.iou(),
        'boundary F before': before.mean_boundary_f(),
        'boundary F after': after.mean_boundary_f(),
    }
    rows = {
        names[index] if index < len(names) else f'class {index}': {
            title: float(values[index]) for title, values in columns.items()
        }
        for index in classes
    }
    return rows | {'mean': mean_row(list(rows.values()))}


def mask_metrics(pairs: Sequence[tuple[MaskScore, MaskScore]]) -> dict:
    """IoU and boundary F of the objects of every class, before and after, and over all objects."""

    def row(pairs: Sequence[tuple[MaskScore, MaskScore]]) -> dict[str, float]:
        return mean_row(
            [
                {
                    'IoU before': before.iou,
                    'IoU after': after.iou,
                    'boundary F before': before.boundary_f,
                    'boundary F after': after.boundary_f,
                }
                for before, after in pairs
            ]
        )

    ids = sorted({before.label_id for before, _ in pairs})
    rows = {LABEL_NAMES[i]: row([pair for pair in pairs if pair[0].label_id == i]) for i in ids}
    return rows | {'mean': row(pairs)}


def mean_row(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of every column over the rows where it is a number."""
    return {title: float(np.nanmean([row[title] for row in rows])) for title in rows[0]}


def table(rows: dict[str, dict[str, float]]) -> str:
    """Metrics in percent as aligned text, one line per row."""
    titles = list(next(iter(rows.values())))
    width = max(len(name) for name in rows)
    lines = ['  '.join([' ' * width, *titles])]
    for name, row in rows.items():
        cells = ('-' if np.isnan(row[t]) else f'{100 * row[t]:.2f}' for t in titles)
        cells = (cell.rjust(len(title)) for cell, title in zip(cells, titles))
        lines.append('  '.join([name.ljust(width), *cells]))
    return '\n'.join(lines)
