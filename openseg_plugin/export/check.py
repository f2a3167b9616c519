"""Whether an exported file gives the labels of the model: part of every export.

The reference does not pass through the exported graph: images go through the model's own
preprocessor and ``predict``, as ``tools/test.py`` does it. So a wrong mean, a swapped channel order
or a graph that is right at the recorded size alone shows here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import UserError
from openseg_plugin.export.session import ExportedModel

if TYPE_CHECKING:
    from mmseg.models.segmentors import BaseSegmentor

MOST_DIFFERING = 1e-4  # fraction of the labels; fp32 differs where two classes are nearly equal
# of the same for smaller numbers where no labels say whether the differing ones are worse
MOST_DIFFERING_BY_PRECISION = {'fp32': MOST_DIFFERING, 'fp16': 1e-3, 'bf16': 1e-2, 'int8': 3e-2}
MOST_LOST = {'fp32': 0.01, 'fp16': 0.1, 'bf16': 0.5, 'int8': 1.5}  # mIoU, in per cent


class ExportDiffersError(UserError):
    """The exported file does not give what the model gives."""


@dataclass(frozen=True)
class CheckResult:
    """Comparison of an exported file with its model.

    Attributes:
        images: how many were compared.
        pixels: of all of them.
        differing: pixels with another label.
        largest_margin: between the two best probabilities where labels differ; a large one says
            that the file is wrong, a small one that the model itself is undecided there.
        miou_model: mIoU of the model on these images, 0 to 100; None: they came without labels.
        miou_file: likewise of the file.
    """

    images: int
    pixels: int
    differing: int
    largest_margin: float
    miou_model: float | None = None
    miou_file: float | None = None

    @property
    def fraction(self) -> float:
        """Fraction of the labels that differ, 0 to 1."""
        return self.differing / max(self.pixels, 1)

    @property
    def lost(self) -> float | None:
        """mIoU that the file lost, in per cent."""
        if self.miou_model is None or self.miou_file is None:
            return None
        return self.miou_model - self.miou_file

    def as_dict(self) -> dict[str, Any]:
        """For the metadata of the file."""
        return asdict(self)

    def sentence(self) -> str:
        """What was found, for people."""
        text = (
            f'{self.differing} of {self.pixels} labels on {self.images} images differ from the '
            f'model (margin of the two best classes there at most {self.largest_margin:.2g})'
        )
        if self.lost is not None:
            text += f', mIoU {self.miou_file:.2f} and {self.miou_model:.2f} of the model'
        return text

    def is_right(self, precision: str = 'fp32') -> bool:
        """Whether the file may be used: by mIoU where labels are given and fewer bits are asked."""
        if precision != 'fp32' and self.lost is not None:
            return self.lost <= MOST_LOST[precision]
        return self.fraction <= MOST_DIFFERING_BY_PRECISION[precision]


def compare(
    exported: ExportedModel,
    model: nn.Module,
    images: Sequence[np.ndarray],
    annotations: Sequence[np.ndarray | None] = (),
) -> CheckResult:
    """Labels of both for RGB images (H, W, C) uint8.

    Args:
        exported: the file.
        model: the model that it was made from.
        images: see above.
        annotations: true classes (H, W) of each image, or None; other values than classes count
            as not labelled.
    """
    classes = len(exported.metadata.classes)
    pixels = differing = 0
    margin = 0.0
    confusions = np.zeros((2, classes, classes), np.int64)
    known = [one for one in annotations if one is not None]
    for index, image in enumerate(images):
        expected, probabilities = reference(model, image)
        labels = exported.labels(image).astype(np.int64)
        wrong = labels != expected
        pixels += wrong.size
        differing += int(wrong.sum())
        if wrong.any():
            margin = max(margin, float(_margins(probabilities)[wrong].max()))
        truth = annotations[index] if known else None
        if truth is not None:
            for confusion, found in zip(confusions, (expected, labels)):
                confusion += _confusion(truth, found, classes)
    mious = [_miou(one) for one in confusions] if known else [None, None]
    return CheckResult(len(images), pixels, differing, margin, *mious)


def _confusion(truth: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    is_known = truth < classes
    joint = truth[is_known].astype(np.int64) * classes + found[is_known]
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def _miou(confusion: np.ndarray) -> float:
    """Mean over the classes that occur, in per cent."""
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    occurs = confusion.sum(1) > 0
    return float(100 * (hits[occurs] / union[occurs]).mean()) if occurs.any() else 0.0


def require_equal(result: CheckResult, *, precision: str = 'fp32', hint: str = '') -> None:
    """Raises ExportDiffersError where too many labels differ, or too much mIoU is lost.

    Args:
        result: of :func:`compare`.
        precision: 'fp32', 'fp16', 'bf16' or 'int8'.
        hint: what to do, for the sentence.
    """
    if result.is_right(precision):
        return
    if precision != 'fp32' and result.lost is not None:
        limit = f'{precision} may lose {MOST_LOST[precision]:g} mIoU and loses {result.lost:.2f}'
    else:
        limit = f'at most {MOST_DIFFERING_BY_PRECISION[precision] * 100:g} % may differ'
    verdict = 'is wrong' if precision == 'fp32' else f'in {precision} is not good enough'
    raise ExportDiffersError(
        f'the exported file {verdict}: {result.sentence()}, {limit}; nothing was written{hint}'
    )


@torch.no_grad()
def reference(model: 'BaseSegmentor', image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (H, W) and probabilities (K, H, W) of the model for an RGB image (H, W, C) uint8."""
    pixels = image[:, :, ::-1] if image.shape[2] == 3 else image  # loaders give BGR
    inputs = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    size = image.shape[:2]
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size))
    (found,) = model.test_step({'inputs': [inputs], 'data_samples': [sample]})
    logits: Tensor = found.seg_logits.data
    probabilities = logits.sigmoid() if len(logits) == 1 else logits.softmax(dim=0)
    return found.pred_sem_seg.data[0].numpy(), probabilities.numpy()


def _margins(probabilities: np.ndarray) -> np.ndarray:
    """(H, W) difference of the two largest; of one channel the distance from a half."""
    if len(probabilities) == 1:
        return np.abs(2 * probabilities[0] - 1)
    best = np.partition(probabilities, -2, axis=0)[-2:]
    return best[1] - best[0]
