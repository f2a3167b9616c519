"""Whether an exported file gives the labels of the model: part of every export.

The reference does not pass through the exported graph: images go through the model's own
preprocessor and ``predict``, as ``openseg test`` does it. So a wrong mean, a swapped channel order
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
    """

    images: int
    pixels: int
    differing: int
    largest_margin: float

    @property
    def fraction(self) -> float:
        """Fraction of the labels that differ, 0 to 1."""
        return self.differing / max(self.pixels, 1)

    def as_dict(self) -> dict[str, Any]:
        """For the metadata of the file."""
        return asdict(self)

    def sentence(self) -> str:
        """What was found, for people."""
        return (
            f'{self.differing} of {self.pixels} labels on {self.images} images differ from the '
            f'model (margin of the two best classes there at most {self.largest_margin:.2g})'
        )


def compare(exported: ExportedModel, model: nn.Module, images: Sequence[np.ndarray]) -> CheckResult:
    """Labels of both for RGB images (H, W, C) uint8."""
    pixels = differing = 0
    margin = 0.0
    for image in images:
        labels, probabilities = reference(model, image)
        wrong = exported.labels(image).astype(np.int64) != labels
        pixels += wrong.size
        differing += int(wrong.sum())
        if wrong.any():
            margin = max(margin, float(_margins(probabilities)[wrong].max()))
    return CheckResult(len(images), pixels, differing, margin)


def require_equal(result: CheckResult, *, tolerance: float = MOST_DIFFERING) -> None:
    """Raises ExportDiffersError where too many labels differ."""
    if result.fraction > tolerance:
        raise ExportDiffersError(
            f'the exported file is wrong: {result.sentence()}, at most '
            f'{tolerance * 100:g} % may differ; nothing was written'
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
