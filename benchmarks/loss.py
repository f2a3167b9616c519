"""The accuracy in the training log, and loss and gradient of one output."""

from collections.abc import Iterator

import torch
from mmseg.models.losses import accuracy

from benchmarks.core import Case, Setting, within
from benchmarks.inputs import smooth
from openseg_plugin.models.losses.base import pixel_accuracy


def cases(setting: Setting) -> Iterator[Case]:
    """A batch of two crops of half the size."""
    height, width = setting.size[0] // 2, setting.size[1] // 2
    logits = smooth((2, setting.classes, height, width)).to(setting.device)
    labels = smooth((2, setting.classes, height, width), seed=1).argmax(1).to(setting.device)
    labels[:, : height // 20] = 255
    labels[:, height // 2 :] = logits[:, :, height // 2 :].argmax(1)
    yield Case(
        'loss accuracy',
        lambda: accuracy(logits, labels, ignore_index=255).reshape(()),
        lambda: torch.as_tensor(pixel_accuracy(logits, labels)),
        within(1e-6),
        3.0,
    )
