"""Areas of every class from a label map and its ground truth."""

from collections.abc import Iterator

import torch
from mmseg.evaluation.metrics import IoUMetric as MMSegIoUMetric

from benchmarks.core import Case, Setting, exactly
from benchmarks.inputs import smooth
from openseg_plugin.evaluation.confusion import class_areas, confusion_matrix


def cases(setting: Setting) -> Iterator[Case]:
    """One image, int64 labels, some of them ignored."""
    height, width = setting.size
    label = smooth((1, setting.classes, height // 4, width // 4)).argmax(1)
    label = label.repeat_interleave(4, 1).repeat_interleave(4, 2)[0]
    prediction = label.roll(3, 0).to(setting.device)
    label[: height // 20] = 255
    label = label.to(setting.device)

    def stock_way():
        areas = MMSegIoUMetric.intersect_and_union(prediction, label, setting.classes, 255)
        return torch.stack([areas[i] for i in (0, 2, 3)])

    def our_way():
        matrix = confusion_matrix(prediction, label, num_classes=setting.classes)
        return torch.from_numpy(class_areas(matrix))

    yield Case('metric', stock_way, our_way, exactly, 5.0)
