"""What a SegFix network is trained on: generated from the label on the fly, or read from files.

Facts of openseg.pytorch (commit aefc755); see :mod:`openseg_plugin.segfix.targets` for the maps and
:mod:`openseg_plugin.layers.direction_field` for the classes. (H, W): size of the image.
"""

import os
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform, to_tensor
from mmengine.structures import PixelData

from openseg_plugin.datasets.transforms.loading import PackSegInputs
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.layers.direction_field import (
    boundary_targets,
    decode_angles,
    direction_vectors,
    hflip_angles,
)
from openseg_plugin.registry import TRANSFORMS
from openseg_plugin.segfix.offset_files import read_targets
from openseg_plugin.segfix.targets import distance_and_direction
from openseg_plugin.utils.images import read_label

FIELDS = ('gt_boundary', 'gt_direction')
IGNORE = 255


@TRANSFORMS.register_module()
class SegFixTargets(BaseTransform):
    """Adds gt_boundary (0 or 1) and gt_direction (class), (H, W) uint8, 255 where ignored.

    Both belong to the whole image: put it behind ``RandomFlip`` and before anything that resizes
    or crops, as in the original, whose distances are those of the uncropped label. Samples without
    a label pass.

    Args:
        num_directions: 4, 8, 16 or 32 as in the head.
        max_distance: pixels up to this depth are boundary; the depth is an integer, so 5 means a
            true distance below 6 pixels.
        min_distance: least depth of a boundary pixel.
        align_axis: with 4 directions: left, up, right, down instead of the diagonals.
        instance_dir: folder of 16 bit instance ids (``<stem>.png``), whose objects are the regions
            instead of the label's classes; absolute, or relative to the folder of the label file,
            such as '../instance'. The label still says what is ignored.
        target_dir: folder of files of ``openseg segfix make-targets`` (or published ones,
            ``<stem>.mat``), read instead of computed; absolute or relative likewise, such as
            '../offset_gt/dt_offset'.

    Raises:
        ConfigError: both folders are given.
        ValueError: ``num_directions`` has no table of directions.
    """

    def __init__(
        self,
        *,
        num_directions: int = 8,
        max_distance: int = 5,
        min_distance: int = 0,
        align_axis: bool = False,
        instance_dir: str | None = None,
        target_dir: str | None = None,
    ) -> None:
        if instance_dir is not None and target_dir is not None:
            raise ConfigError(
                'SegFixTargets got instance_dir and target_dir: files of target_dir were made of '
                'instances already, so leave instance_dir out'
            )
        direction_vectors(num_directions, align_axis=align_axis)
        self.options = dict(
            num_directions=num_directions,
            min_distance=min_distance,
            max_distance=max_distance,
            align_axis=align_axis,
        )
        self.instance_dir = instance_dir
        self.target_dir = target_dir

    def transform(self, results: dict) -> dict:
        """Adds the two maps to the sample and to its seg_fields.

        Raises:
            DataError: a file of instances or targets is missing, broken, or of another size.
        """
        label = results.get('gt_seg_map')
        if label is None:
            return results
        is_flipped = bool(results.get('flip', False))
        if self.target_dir is None:
            depth, bytes_ = self._computed(label, results, is_flipped)
            angles = decode_angles(bytes_)
        else:
            depth, angles = self._read(results, is_flipped)
        if depth.shape != label.shape:
            source = self._path(results, self.target_dir or self.instance_dir, '')
            raise DataError(
                f'{source}* is {depth.shape[1]}x{depth.shape[0]} pixels but the label '
                f'{results["seg_map_path"]} is {label.shape[1]}x{label.shape[0]} here: '
                'openseg_plugin.SegFixTargets must come before anything that resizes or crops'
            )
        maps = boundary_targets(depth, angles, label, ignore_index=IGNORE, **self.options)
        for name, one in zip(FIELDS, maps):
            results[name] = one
            results['seg_fields'].append(name)
        results['segfix_flip'] = is_flipped
        return results

    def _computed(
        self, label: np.ndarray, results: dict, is_flipped: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Depth and direction byte of the label or of the instances, flipped as the image is."""
        if self.instance_dir is None:
            return distance_and_direction(np.ascontiguousarray(label), 'train')
        instances = read_label(Path(self._path(results, self.instance_dir, '.png')))
        if is_flipped:
            instances = np.ascontiguousarray(instances[:, ::-1])
        return distance_and_direction(instances, 'instance')

    def _read(self, results: dict, is_flipped: bool) -> tuple[np.ndarray, np.ndarray]:
        """Depth and angles of a file, flipped as the image is."""
        path = self._path(results, self.target_dir, '.mat')
        try:
            with open(path, 'rb') as file:
                content = file.read()
        except FileNotFoundError as error:
            raise DataError(
                f'{path} is missing: make it with openseg segfix make-targets, or leave '
                'target_dir out of SegFixTargets to have targets generated on the fly'
            ) from error
        depth, bytes_ = read_targets(content, str(path))
        angles = decode_angles(bytes_)
        if is_flipped:
            depth, angles = np.ascontiguousarray(depth[:, ::-1]), hflip_angles(angles)
        return depth, angles

    @staticmethod
    def _path(results: dict, folder: str | None, suffix: str) -> str:
        """File of this sample in a folder that may be relative to the label's."""
        assert folder is not None, 'one of the folders is given'
        label = results['seg_map_path']
        stem = os.path.splitext(os.path.basename(label))[0]
        return os.path.normpath(os.path.join(os.path.dirname(label), folder, stem + suffix))

    def __repr__(self) -> str:
        options = ', '.join(f'{name}={value}' for name, value in self.options.items())
        return (
            f'{type(self).__name__}({options}, instance_dir={self.instance_dir!r}, '
            f'target_dir={self.target_dir!r})'
        )


@TRANSFORMS.register_module()
class PackSegFixInputs(PackSegInputs):
    """Our packing, and the maps of :class:`SegFixTargets`; arguments are mmseg's."""

    def transform(self, results: dict) -> dict:
        """Sample for the model.

        Raises:
            ConfigError: the image was flipped after its targets were made.
        """
        if 'segfix_flip' in results and results['segfix_flip'] != bool(results.get('flip', False)):
            raise ConfigError(
                'the pipeline flips images after openseg_plugin.SegFixTargets, which turns '
                'its directions wrong: put SegFixTargets behind the flip'
            )
        packed = super().transform(results)
        for name in FIELDS:
            if name in results:
                data = to_tensor(np.ascontiguousarray(results[name][None]))
                packed['data_samples'].set_data({name: PixelData(data=data)})
        return packed
