"""What ``--report`` adds to a test: prediction and metric alone beside the same with the report."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from benchmarks.core import Case, Setting, exactly
from benchmarks.inputs import smooth
from benchmarks.model import networks
from openseg_plugin.evaluation.confusion import confusion_matrix
from openseg_plugin.layers.conv import fold_batch_norm
from openseg_plugin.layers.tiled_argmax import sampling_stride
from openseg_plugin.report.collect import count_image
from openseg_plugin.report.samples import SampleFiles, encode_sample
from openseg_plugin.utils.images import label_bytes

_ALLOWANCE = 120_000  # bytes of an image on a page of 500


def cases(setting: Setting) -> Iterator[Case]:
    """HRNet-W18 + OCR on one image: with the counts, and with the image on the page besides."""
    model = fold_batch_norm(networks(setting)[1].eval()).to(memory_format=torch.channels_last)
    inputs = smooth((1, 3, *setting.size)).to(setting.device)
    inputs = inputs.to(memory_format=torch.channels_last)
    label = _label(setting)
    folder = Path(tempfile.mkdtemp(prefix='benchmark-report-'))
    pixels = (60 * smooth((1, 3, *setting.size))[0].permute(1, 2, 0).numpy() + 128).clip(0, 255)
    cv2.imwrite(str(folder / 'image.jpg'), pixels.astype(np.uint8))

    def without() -> Tensor:
        prediction = _predict(model, inputs, setting)[0].cpu()
        return torch.from_numpy(_confusion(prediction.numpy(), label, setting))

    def counts() -> Tensor:
        return _report(model, inputs, label, folder, setting)

    def with_images() -> Tensor:
        matrix = _report(model, inputs, label, folder, setting)
        files = [folder / f'{name}.png' for name in ('label', 'prediction')]
        sample = SampleFiles(0, folder / 'image.jpg', files[0], (files[1],), setting.size)
        frequency = matrix.sum(dim=1).numpy()
        encode_sample(sample, frequency, ignore_index=255, allowance=_ALLOWANCE)
        return matrix

    # at most 3 % more time without images, 10 % with them
    yield Case('report counts', without, counts, exactly, 0.97)
    yield Case('report images', without, with_images, exactly, 0.9)


def _label(setting: Setting) -> np.ndarray:
    """Regions of the size of things in a street scene."""
    height, width = setting.size
    label = smooth((1, setting.classes, height // 8, width // 8), noise=0).argmax(1)[0]
    return label.repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()


def _predict(model: nn.Module, inputs: Tensor, setting: Setting) -> tuple[Tensor, SegDataSample]:
    meta = dict(ori_shape=setting.size, img_shape=setting.size, pad_shape=setting.size)
    sample = model.predict(inputs, [SegDataSample(metainfo=meta)])[0]
    return sample.pred_sem_seg.data[0], sample


def _confusion(prediction: np.ndarray, label: np.ndarray, setting: Setting) -> np.ndarray:
    return confusion_matrix(prediction, label, num_classes=setting.classes)


def _report(
    model: nn.Module, inputs: Tensor, label: np.ndarray, folder: Path, setting: Setting
) -> Tensor:
    model.test_cfg['with_confidence'] = True
    prediction, sample = _predict(model, inputs, setting)
    model.test_cfg['with_confidence'] = False
    stride = sampling_stride(setting.size)
    chosen = prediction[None, ::stride, ::stride]
    confidence = sample.sampled_probabilities.data.gather(0, chosen)[0].cpu().numpy()
    ids = prediction.cpu().numpy()
    matrix = _confusion(ids, label, setting)
    count_image(ids, label, num_classes=setting.classes, confidence=confidence, stride=stride)
    for name, one in (('prediction', ids), ('label', label)):
        (folder / f'{name}.png').write_bytes(label_bytes(one.astype(np.uint8)))
    return torch.from_numpy(matrix)
