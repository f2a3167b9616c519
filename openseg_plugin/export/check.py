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
from torch.nn import functional

from openseg_plugin.errors import UserError
from openseg_plugin.export.graph import swapped_order
from openseg_plugin.export.metadata import fuses_scales
from openseg_plugin.export.session import ExportedModel
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.scale_fusion import scaled_size

if TYPE_CHECKING:
    from mmseg.models.segmentors import BaseSegmentor

UNDECIDED = 1e-3  # difference of two probabilities that rounding may turn around
MOST_DIFFERING = 1e-4  # fraction of the labels; fp32 differs where two classes are nearly equal
# of the same for smaller numbers where no labels say whether the differing ones are worse
MOST_DIFFERING_BY_PRECISION = {'fp32': MOST_DIFFERING, 'fp16': 1e-3, 'bf16': 1e-2, 'int8': 3e-2}
# of a score, relative to the largest; with fewer bits single ones may be anything at a border, and
# such a file is compared in 32 bits first
LARGEST_ERROR = 1e-3
MOST_LOST = {'fp32': 0.01, 'fp16': 0.1, 'bf16': 0.5, 'int8': 1.5}  # mIoU, in per cent


class ExportDiffersError(UserError):
    """The exported file does not give what the model gives."""

    exit_status = 1


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
        largest_error: of a probability or a confidence, relative to the largest; infinite where one
            is no number; None: the file gives labels alone.
        sizes: (H, W) of the images, each once.
        source: where the images came from.
    """

    images: int
    pixels: int
    differing: int
    largest_margin: float
    miou_model: float | None = None
    miou_file: float | None = None
    largest_error: float | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    source: str = ''

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
        source = f' ({self.source})' if self.source else ''
        text = (
            f'{self.differing} of {self.pixels} labels on {self.images} images{source} differ from '
            f'the model (margin of the two best classes there at most {self.largest_margin:.2g})'
        )
        if self.lost is not None:
            text += f', mIoU {self.miou_file:.2f} and {self.miou_model:.2f} of the model'
        if self.largest_error is not None:
            text += f', scores by at most {self.largest_error:.2g}'
        return text

    def is_right(self, precision: str = 'fp32') -> bool:
        """Whether the file may be used: by mIoU where labels are given and fewer bits are asked."""
        return self.has_right_scores(precision) and self._has_right_labels(precision)

    def has_right_scores(self, precision: str = 'fp32') -> bool:
        """Whether its scores are those of the model, as far as it gives some."""
        if self.largest_error is None:
            return True
        if precision != 'fp32':
            return bool(np.isfinite(self.largest_error))
        return self.largest_error <= LARGEST_ERROR

    def _has_right_labels(self, precision: str) -> bool:
        if precision != 'fp32' and self.lost is not None:
            return self.lost <= MOST_LOST[precision]
        if self.fraction > MOST_DIFFERING_BY_PRECISION[precision]:
            return False
        # one pixel of a rare class is much mIoU: where the model is undecided, it says nothing
        loses = self.lost is not None and abs(self.lost) > MOST_LOST[precision]
        return not loses or self.largest_margin <= UNDECIDED


def compare(
    exported: ExportedModel,
    model: nn.Module,
    images: Sequence[np.ndarray],
    annotations: Sequence[np.ndarray | None] = (),
    *,
    flip_pairs: Sequence[Sequence[int]] = (),
    source: str = '',
) -> CheckResult:
    """Labels of both for RGB images (H, W, C) uint8.

    Args:
        exported: the file.
        model: the model that it was made from.
        images: see above.
        annotations: true classes (H, W) of each image, or None; other values than classes count
            as not labelled.
        flip_pairs: classes that change places in a flipped image.
        source: where the images came from, for the result.
    """
    about = exported.metadata
    # a threshold tells two classes apart, of which one may have no name
    classes = max(len(about.classes), 1 if about.threshold is None else 2)
    scales = (1.0,) if fuses_scales(model) else about.scales
    pixels = differing = 0
    margin, error = 0.0, None
    confusions = np.zeros((2, classes, classes), np.int64)
    known = [one for one in annotations if one is not None]
    for index, image in enumerate(images):
        expected, probabilities = reference(
            model, image, scales=scales, flip=about.flip, flip_pairs=flip_pairs
        )
        outputs = exported.run(image)
        labels = exported.labels_of(outputs[0]).astype(np.int64)
        apart = _score_error(exported, outputs, probabilities)
        if apart is not None:
            error = max(error or 0.0, apart)
        wrong = labels != expected
        pixels += wrong.size
        differing += int(wrong.sum())
        if wrong.any():
            margins = _margins(probabilities, threshold=about.threshold)
            margin = max(margin, float(margins[wrong].max()))
        gt = annotations[index] if known else None
        if gt is not None:
            for confusion, found in zip(confusions, (expected, labels)):
                confusion += _confusion(gt, found, classes)
    of_model, of_file = (_miou(one) if known else None for one in confusions)
    sizes = tuple(dict.fromkeys((one.shape[0], one.shape[1]) for one in images))
    return CheckResult(
        len(images), pixels, differing, margin, of_model, of_file, error, sizes, source
    )


def _score_error(
    exported: ExportedModel, outputs: Sequence[np.ndarray], probabilities: np.ndarray
) -> float | None:
    """Largest error of a score relative to the largest one; None: the file gives labels alone."""
    if exported.has_scores:
        found, expected = exported.probabilities_of(outputs[0]), probabilities
    elif len(outputs) > 1:  # the confidence of the labels that the file gives
        found, expected = outputs[1], probabilities.max(axis=0)
        if len(probabilities) == 1:
            expected = np.where(outputs[0], probabilities[0], 1 - probabilities[0])
    else:
        return None
    apart = float(np.abs(found - expected).max() / expected.max())
    return apart if np.isfinite(apart) else float('inf')


def _confusion(gt: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    is_known = gt < classes
    joint = gt[is_known].astype(np.int64) * classes + found[is_known]
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def _miou(confusion: np.ndarray) -> float:
    """Mean over the classes that occur, in per cent."""
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    occurs = confusion.sum(1) > 0
    return float(100 * (hits[occurs] / union[occurs]).mean()) if occurs.any() else 0.0


def require_equal(result: CheckResult, *, precision: str = 'fp32', hint: str = '') -> None:
    """Raises ExportDiffersError where labels or scores differ, or too much mIoU is lost.

    Args:
        result: of :func:`compare`.
        precision: 'fp32', 'fp16', 'bf16' or 'int8'.
        hint: what to do, for the sentence.
    """
    if result.is_right(precision):
        return
    if not result.has_right_scores(precision):
        limit = f'scores may differ by at most {LARGEST_ERROR:g} of the largest'
        if precision != 'fp32':
            limit = 'scores must be numbers'
    elif precision != 'fp32' and result.lost is not None:
        limit = f'{precision} may lose {MOST_LOST[precision]:g} mIoU and loses {result.lost:.2f}'
    else:
        limit = f'at most {MOST_DIFFERING_BY_PRECISION[precision] * 100:g} % may differ'
    verdict = 'is wrong' if precision == 'fp32' else f'in {precision} is not good enough'
    raise ExportDiffersError(
        f'the exported file {verdict}: {result.sentence()}, {limit}; nothing was written{hint}'
    )


@torch.no_grad()
def reference(
    model: 'BaseSegmentor',
    image: np.ndarray,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    flip_pairs: Sequence[Sequence[int]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (H, W) and probabilities (K, H, W) of the model for an RGB image (H, W, C) uint8.

    Args:
        model: a segmentor in evaluation mode.
        image: see above.
        scales: of the views whose probabilities are averaged, made of the normalized image.
        flip: whether every view is there flipped, too.
        flip_pairs: classes that change places then.
    """
    pixels = image[:, :, ::-1] if image.shape[2] == 3 else image  # loaders give BGR
    inputs = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    size = image.shape[:2]
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size))
    if tuple(scales) == (1.0,) and not flip:
        (found,) = model.test_step({'inputs': [inputs], 'data_samples': [sample]})
        probabilities = _probabilities(found.seg_logits.data)
        return found.pred_sem_seg.data[0].numpy(), probabilities.numpy()
    data = model.data_preprocessor({'inputs': [inputs], 'data_samples': [sample]}, False)
    normalized = data['inputs'][:, :, : size[0], : size[1]]  # padded again at every scale
    probabilities = torch.zeros(())
    for scale in scales:
        view = normalized
        if scale != 1:
            sides = scaled_size(size, scale)
            view = resize_bilinear(view, sides, align_corners=False)
        for is_flipped in (False, True) if flip else (False,):
            padded = _padded(view.flip(3) if is_flipped else view, model.data_preprocessor)
            logits = model.encode_decode(padded, [sample.metainfo])
            logits = logits[:, :, : view.shape[2], : view.shape[3]]
            if is_flipped:
                logits = logits.flip(3)
                order = swapped_order(flip_pairs, logits.shape[1])
                logits = logits[:, order] if order else logits
            logits = resize_bilinear(logits, size, align_corners=model.align_corners)
            probabilities = probabilities + _probabilities(logits[0])
    probabilities = probabilities / (len(scales) * (2 if flip else 1))
    if len(probabilities) > 1:
        return probabilities.argmax(dim=0).numpy(), probabilities.numpy()
    head: Any = model.decode_head
    last: Any = head[-1] if isinstance(head, nn.ModuleList) else head
    threshold = float(getattr(last, 'threshold', None) or 0.5)
    return (probabilities[0] > threshold).long().numpy(), probabilities.numpy()


def _padded(view: Tensor, preprocessor: Any) -> Tensor:
    divisor = int((preprocessor.test_cfg or {}).get('size_divisor') or 1)
    height, width = view.shape[2:]
    sides = (0, -width % divisor, 0, -height % divisor)
    return functional.pad(view, sides, value=float(preprocessor.pad_val))


def _probabilities(logits: Tensor) -> Tensor:
    return logits.sigmoid() if len(logits) == 1 else logits.softmax(dim=0)


def _margins(probabilities: np.ndarray, *, threshold: float | None) -> np.ndarray:
    """(H, W) difference of the two largest; of one channel twice that from the threshold."""
    if len(probabilities) == 1:
        return np.abs(2 * (probabilities[0] - (0.5 if threshold is None else threshold)))
    best = np.partition(probabilities, -2, axis=0)[-2:]
    return best[1] - best[0]
