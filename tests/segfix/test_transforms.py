"""Targets made in the pipeline equal those read from files, also flipped."""

import cv2
import numpy as np
import pytest

from openseg_plugin.datasets.transforms import RandomCrop, RandomFlip
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.layers.direction_field import boundary_targets, decode_angles
from openseg_plugin.segfix.offset_files import target_bytes
from openseg_plugin.segfix.targets import distance_and_direction
from openseg_plugin.segfix.transforms import PackSegFixInputs, SegFixTargets

SIZE = (40, 60)


def label() -> np.ndarray:
    """Three classes in large pieces, some of it ignored."""
    one = np.zeros(SIZE, np.uint8)
    one[10:30, 15:45] = 1
    one[:, 50:] = 2
    one[:5, :5] = 255
    return one


@pytest.fixture
def results(tmp_path) -> dict:
    (tmp_path / 'label').mkdir()
    return dict(
        img=np.zeros((*SIZE, 3), np.uint8),
        gt_seg_map=label(),
        seg_fields=['gt_seg_map'],
        seg_map_path=str(tmp_path / 'label' / 'a.png'),
        img_path='a.jpg',
    )


@pytest.fixture
def target_dir(tmp_path) -> str:
    (tmp_path / 'targets').mkdir()
    (tmp_path / 'targets' / 'a.mat').write_bytes(target_bytes(*distance_and_direction(label())))
    return '../targets'


def made(results: dict, *, flip: float = 0.0, **options) -> dict:
    return SegFixTargets(**options)(RandomFlip(prob=flip)(results))


@pytest.mark.parametrize(('directions', 'distance'), [(8, 5), (4, 2), (16, 5), (32, 10)])
def test_targets_are_those_of_the_label(results, directions, distance):
    depth, direction = distance_and_direction(label())
    expected = boundary_targets(
        depth,
        decode_angles(direction),
        label(),
        num_directions=directions,
        max_distance=distance,
    )
    found = made(results, num_directions=directions, max_distance=distance)
    assert np.array_equal(found['gt_boundary'], expected[0])
    assert np.array_equal(found['gt_direction'], expected[1])


def test_targets_from_files_are_those_made_on_the_way(results, target_dir):
    online = made(dict(results, seg_fields=[]))
    stored = made(dict(results, seg_fields=[]), target_dir=target_dir)
    for name in ('gt_boundary', 'gt_direction'):
        assert np.array_equal(online[name], stored[name])


def test_mirrored_targets_from_files_are_those_of_the_mirrored_label(results, target_dir):
    online = made(dict(results, seg_fields=['gt_seg_map']), flip=1.0)
    stored = made(dict(results, seg_fields=['gt_seg_map']), flip=1.0, target_dir=target_dir)
    assert np.array_equal(online['gt_boundary'], stored['gt_boundary'])
    band = online['gt_boundary'] == 1
    # a stored angle lost its fraction before it was flipped, so bins may differ at their limits
    assert np.mean(online['gt_direction'][band] == stored['gt_direction'][band]) > 0.9
    left, right = 0, 4
    row = online['gt_direction'][20]
    assert row[60 - 45] == right
    assert row[60 - 15 - 1] == left


def test_instances_are_regions_of_their_own(results, tmp_path):
    (tmp_path / 'instance').mkdir()
    instances = np.full(SIZE, 7, np.uint16)
    instances[10:30, 15:30], instances[10:30, 30:45] = 26000, 26001
    cv2.imwrite(str(tmp_path / 'instance' / 'a.png'), instances)
    found = made(results, instance_dir='../instance', max_distance=1)
    assert found['gt_boundary'][20, 29] == found['gt_boundary'][20, 30] == 1
    assert made(dict(results, seg_fields=[]), max_distance=1)['gt_boundary'][20, 29] == 0


def test_crop_cuts_the_targets_of_the_whole_image(results):
    whole = made(results)['gt_direction'].copy()
    crop = RandomCrop(crop_size=(16, 20))(results)
    assert crop['gt_direction'].shape == (16, 20)
    places = np.lib.stride_tricks.sliding_window_view(whole, (16, 20))
    assert (places == crop['gt_direction']).all(axis=(2, 3)).any()


def test_pack_puts_the_targets_into_the_sample(results):
    sample = PackSegFixInputs(meta_keys=('img_path',))(made(results))['data_samples']
    assert sample.gt_boundary.shape == sample.gt_direction.shape == SIZE
    assert 'gt_sem_seg' in sample


def test_sample_without_a_label_passes():
    results = dict(img=np.zeros((4, 4, 3), np.uint8), seg_fields=[])
    assert 'gt_boundary' not in SegFixTargets()(results)


def test_flip_after_the_targets_is_refused(results):
    results = SegFixTargets()(results)
    with pytest.raises(ConfigError, match='behind the flip'):
        PackSegFixInputs()(RandomFlip(prob=1.0)(results))


def test_missing_target_file_says_how_to_make_it(results):
    with pytest.raises(DataError, match='make-targets'):
        SegFixTargets(target_dir='../nowhere')(results)


def test_targets_of_another_size_are_refused(results, target_dir):
    results['gt_seg_map'] = results['gt_seg_map'][:20]
    with pytest.raises(DataError, match='before anything that resizes or crops'):
        SegFixTargets(target_dir=target_dir)(results)


def test_two_sources_of_targets_are_refused():
    with pytest.raises(ConfigError, match='leave instance_dir out'):
        SegFixTargets(instance_dir='a', target_dir='b')
