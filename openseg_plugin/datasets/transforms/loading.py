"""First and last transforms of a pipeline.

A sample's label is read once, and refused where a loss could not use it; random numbers depend on
the position of the sample alone; packing keeps what our preprocessor needs of a sample.
"""

import random

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmseg.datasets.transforms import PackSegInputs as MMSegPackSegInputs

from openseg_plugin.datasets.label_table import label_table, to_train_values
from openseg_plugin.datasets.samplers import SampleIndex
from openseg_plugin.errors import DataError
from openseg_plugin.registry import TRANSFORMS
from openseg_plugin.utils.images import class_numbers, read_label

# What a label can hold when nobody says how many classes there are.
_ANY_CLASS = 255


@TRANSFORMS.register_module()
class LoadLabels(BaseTransform):
    """Adds gt_seg_map (H, W) uint8: train ids, 255 = ignored. Samples without a label pass.

    Takes the place of ``LoadAnnotations``: one table instead of a pass over the image per id,
    and DataError for values outside the classes, broken files, and sizes that differ from the
    image's (when the image has been read before).

    Args:
        backend_args: storage of the files as mmengine names it; None for local files.
    """

    def __init__(self, *, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Reads ``seg_map_path``; takes ``label_table`` of SegDataset or mmseg's label options."""
        path = results.get('seg_map_path')
        if path is None:
            return results
        content = None
        if self.backend_args is not None:
            content = fileio.get(path, backend_args=self.backend_args)
        label = class_numbers(read_label(path, content=content), path)
        shape = results.get('ori_shape')
        if shape is not None and tuple(shape) != label.shape:
            raise DataError(
                f'label file {path} is {label.shape[1]}x{label.shape[0]} pixels but its image '
                f'{results.get("img_path")} is {shape[1]}x{shape[0]}: both must have one size'
            )
        table = results.get('label_table')
        if table is None:
            table = label_table(
                _ANY_CLASS,
                reduce_zero_label=results.get('reduce_zero_label', False),
                label_map=results.get('label_map'),
            )
        results['gt_seg_map'] = to_train_values(label, table, path=path)
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend_args={self.backend_args})'


@TRANSFORMS.register_module()
class SeedSample(BaseTransform):
    """First transform of a training pipeline: makes the random choices of the others repeatable.

    Seeds Python's, numpy's and torch's (CPU) generators of the loading process from the seed and
    the position of the sample, which :class:`openseg_plugin.InfiniteSampler` gives. So the stream
    of samples is the same for any number of workers, of processes, and after a resume. Samples
    from other samplers carry no position and pass unchanged.
    """

    def transform(self, results: dict) -> dict:
        """Seeds the generators; ``results`` passes through."""
        index = results.get('sample_idx')
        if isinstance(index, SampleIndex):
            state = np.random.SeedSequence([index.seed, index.position]).generate_state(3)
            random.seed(int(state[0]))
            np.random.seed(state[1])
            torch.default_generator.manual_seed(int(state[2]))
        return results

    def __repr__(self) -> str:
        return 'SeedSample()'


@TRANSFORMS.register_module()
class PackSegInputs(MMSegPackSegInputs):
    """mmseg's packing; pad_offset, where the sample has one, is always among its metainfo.

    So the padding of :class:`openseg_plugin.RandomCrop` lies where it was drawn, whatever
    ``meta_keys`` says. Arguments are mmseg's.
    """

    def transform(self, results: dict) -> dict:
        """Sample for the model: inputs (C, H, W), data_samples with gt_sem_seg and metainfo."""
        image = results.get('img')
        if image is not None and image.ndim == 3 and image.dtype == np.uint8:
            planes = np.empty((image.shape[2], *image.shape[:2]), np.uint8)
            cv2.split(image, list(planes))  # several times as fast as a copy of the transposed one
            # mmseg's packing takes channels last, and copies what is not laid out so
            results = dict(results, img=planes.transpose(1, 2, 0))
        packed = super().transform(results)
        if 'pad_offset' in results:
            packed['data_samples'].set_metainfo({'pad_offset': results['pad_offset']})
        return packed
