"""Scores of label maps and object masks before and after refinement, per class."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from openseg_plugin.segfix.boundary import boundary_f_scores, boundary_map, precision_recall_f
from openseg_plugin.segfix.cityscapes_scores import LABEL_NAMES

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


def confusion_figures(confusion: np.ndarray) -> dict[str, float]:
    """Pixel accuracy, mean accuracy, frequency-weighted IoU and mean IoU of (K, K) counts.

    Means are over classes that occur: a class that is only predicted has an IoU of 0, and no
    accuracy.

    Args:
        confusion: pixels; rows ground truth, columns prediction.
    """
    hits, true, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid='ignore', divide='ignore'):
        accuracy = hits / true
        iou = hits / (true + predicted - hits)
    share = true / max(true.sum(), 1)
    return {
        'pixel_accuracy': float(hits.sum() / max(true.sum(), 1)),
        'mean_accuracy': float(np.nanmean(accuracy)),
        'frequency_weighted_iou': float((share[true > 0] * iou[true > 0]).sum()),
        'mean_iou': float(np.nanmean(iou)),
    }


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


def figures(before: MapScores, after: MapScores, names: Sequence[str] = ()) -> dict:
    """IoU and boundary F of every class that occurs, and their means: {row: {column: 0..1}}.

    Args:
        before: scores of the maps as they were.
        after: of the mended ones.
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


def mask_figures(pairs: Sequence[tuple[MaskScore, MaskScore]]) -> dict:
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
    """Figures in percent as aligned text, one line per row."""
    titles = list(next(iter(rows.values())))
    width = max(len(name) for name in rows)
    lines = ['  '.join([' ' * width, *titles])]
    for name, row in rows.items():
        cells = ('-' if np.isnan(row[t]) else f'{100 * row[t]:.2f}' for t in titles)
        cells = (cell.rjust(len(title)) for cell, title in zip(cells, titles))
        lines.append('  '.join([name.ljust(width), *cells]))
    return '\n'.join(lines)
