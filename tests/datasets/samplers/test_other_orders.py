"""Class-uniform passes, and passes of fine and coarse images: complete, shared and repeatable."""

import itertools
from collections import Counter

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset

from openseg_plugin.datasets.public import CityscapesDataset
from openseg_plugin.datasets.samplers import (
    ClassUniformSampler,
    FineAndCoarseSampler,
    InfiniteSampler,
    SampleIndex,
    infinite,
)
from openseg_plugin.datasets.samplers import class_uniform as class_uniform_module
from openseg_plugin.errors import ConfigError, DataError

PREFIX = dict(img_path='train/image', seg_map_path='train/label')
TILE = 8
# classes in each label of 16 x 16: quarters from left to right, then down; 255 is ignored
QUARTERS = {'a': (0, 0, 1, 255), 'b': (0, 2, 2, 255), 'c': (0, 0, 0, 0), 'd': (1, 1, 255, 255)}


def make(root, names) -> CityscapesDataset:
    for folder in ('image', 'label'):
        (root / 'train' / folder).mkdir(parents=True)
    for name in names:
        label = np.array(QUARTERS[name], np.uint8).reshape(2, 2).repeat(TILE, 0).repeat(TILE, 1)
        image = np.zeros((16, 16, 3), np.uint8)
        cv2.imwrite(str(root / f'train/image/{name}.png'), image)
        cv2.imwrite(str(root / f'train/label/{name}.png'), label)
    return CityscapesDataset(
        data_root=str(root),
        data_prefix=PREFIX,
        pipeline=[dict(type='openseg_plugin.LoadLabels')],
    )


@pytest.fixture
def parts(tmp_path) -> ConcatDataset:
    """Two fine images and then two coarse ones."""
    return ConcatDataset([make(tmp_path / 'fine', 'ab'), make(tmp_path / 'coarse', 'cd')])


def class_uniform(dataset, **options) -> ClassUniformSampler:
    return ClassUniformSampler(dataset, seed=5, tile=TILE, **options)


def fine_and_coarse(dataset, **options) -> FineAndCoarseSampler:
    return FineAndCoarseSampler(dataset, seed=5, **options)


def taken(sampler: InfiniteSampler, number: int) -> list[tuple]:
    rows = itertools.islice(sampler, number)
    return [(int(index), index.position, index.seed, index.point) for index in rows]


@pytest.mark.parametrize('make_sampler', [class_uniform, fine_and_coarse])
@pytest.mark.parametrize('processes', [2, 3])
def test_processes_share_the_order_of_one(parts, monkeypatch, make_sampler, processes):
    expected = taken(make_sampler(parts), 8 * processes)
    orders = []
    for rank in range(processes):
        monkeypatch.setattr(infinite, 'get_dist_info', lambda rank=rank: (rank, processes))
        orders.append(taken(make_sampler(parts), 8))
    assert [row for together in zip(*orders) for row in together] == expected
    assert len({tuple(order) for order in orders}) == processes


@pytest.mark.parametrize('make_sampler', [class_uniform, fine_and_coarse])
def test_start_enters_the_order_there(parts, make_sampler):
    sampler = make_sampler(parts)
    expected = taken(sampler, 25)
    for start in (1, len(sampler), 2 * len(sampler) + 1):
        sampler.start = start
        assert taken(sampler, 25 - start) == expected[start:]


@pytest.mark.parametrize('kind', [ClassUniformSampler, FineAndCoarseSampler])
def test_order_follows_from_the_seed(parts, kind):
    options = dict(tile=TILE) if kind is ClassUniformSampler else {}
    one, again, other = (taken(kind(parts, seed=s, **options), 40) for s in (1, 1, 2))
    assert one == again
    assert [row[0] for row in one] != [row[0] for row in other]


def test_pass_has_all_fine_and_as_many_coarse_images(tmp_path):
    fine, coarse = make(tmp_path / 'fine', 'ab'), make(tmp_path / 'coarse', 'abcd')
    sampler = fine_and_coarse(ConcatDataset([fine, coarse]))
    assert len(sampler) == 4
    rows = [row[0] for row in taken(sampler, 4 * 30)]
    passes = [rows[k : k + 4] for k in range(0, len(rows), 4)]
    assert all({0, 1} < set(one) and len(set(one)) == 4 for one in passes)
    assert {k for one in passes for k in one} == set(range(6)), 'every coarse image has its turn'


@pytest.mark.parametrize(
    'fraction, wrong, text',
    [
        (2.0, DataError, r'needs 4 coarse images \(2.0 per fine one\) but there are 2'),
        (-1, ConfigError, 'coarse_ratio is -1'),
    ],
)
def test_fraction_that_cannot_be_met_says_so(parts, fraction, wrong, text):
    with pytest.raises(wrong, match=text):
        fine_and_coarse(parts, coarse_ratio=fraction)


def test_one_part_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="type='ConcatDataset'"):
        fine_and_coarse(make(tmp_path, 'ab'))


def test_centers_are_those_of_the_quarters(tmp_path):
    found = class_uniform_module.dataset_centroids(make(tmp_path, 'ab'), tile=TILE)
    # class, sample, x, y; 3.5 and 11.5 are cut to 3 and 11
    assert found.tolist() == [
        [0, 0, 3, 3],
        [0, 0, 11, 3],
        [1, 0, 3, 11],
        [0, 1, 3, 3],
        [2, 1, 11, 3],
        [2, 1, 3, 11],
    ]


@pytest.mark.parametrize(
    'tile, expected', [(16, {0: 1, 1: 1}), (17, {}), (5, {0: 6, 1: 4})], ids=str
)
def test_only_whole_tiles_count(tile, expected):
    label = np.array(QUARTERS['a'], np.uint8).reshape(2, 2).repeat(TILE, 0).repeat(TILE, 1)
    rows = class_uniform_module.tile_centroids(label, tile=tile, num_classes=19)
    assert Counter(rows[:, 0].tolist()) == expected


def test_points_lie_in_their_class(parts):
    sampler = class_uniform(parts, fraction=1.0, bias=[40.0, 20.0, 20.0] + [1.0] * 16)
    # 4 samples x fraction 1 / 19 classes gives no place of a class
    assert len(sampler) == 4
    sampler = class_uniform(ConcatDataset(parts.datasets * 10), fraction=1.0)
    drawn = [row for row in taken(sampler, len(sampler)) if row[3] is not None]
    assert len(drawn) == 2 * 3  # int(40 / 19) of the three classes that occur
    labels = [parts[k]['gt_seg_map'] for k in range(4)]
    counts = Counter(int(labels[k % 4][y, x]) for k, _, _, (x, y) in drawn)
    assert counts == {0: 2, 1: 2, 2: 2}


def test_boost_classes_of_the_coarse_part_alone_are_drawn(parts):
    joined = ConcatDataset([parts.datasets[0]] * 20 + [parts.datasets[1]])
    sampler = class_uniform(joined, fraction=1.0, boost_classes=(1,))
    fine = len(joined) - 2
    assert sampler.num_samples == fine
    coarse = [row for row in taken(sampler, 60 * len(sampler)) if row[0] >= fine]
    assert coarse, 'the coarse part is drawn for its class'
    assert {row[0] - fine for row in coarse} == {1}, 'only image d holds class 1'


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(fraction=1.5), 'fraction=1.5'),
        (dict(tile=0), 'tile=0'),
        (dict(bias=[1.0]), '1 values of bias for 19 classes'),
        (dict(boost_classes=(19,)), 'boost_classes has 19'),
    ],
)
def test_options_out_of_range_are_refused(parts, options, text):
    with pytest.raises(ConfigError, match=text):
        ClassUniformSampler(parts, seed=0, **(dict(tile=TILE) | options))


def test_centers_are_kept_until_a_label_changes(tmp_path, monkeypatch):
    dataset, cache = make(tmp_path / 'data', 'ab'), str(tmp_path / 'new' / 'centers.npz')
    first = class_uniform_module.dataset_centroids(dataset, tile=TILE, cache=cache)
    with monkeypatch.context() as patch:
        patch.setattr(class_uniform_module, 'tile_centroids', None)  # reading again would fail
        again = class_uniform_module.dataset_centroids(dataset, tile=TILE, cache=cache)
    np.testing.assert_array_equal(first, again)
    cv2.imwrite(str(tmp_path / 'data/train/label/a.png'), np.full((16, 16), 4, np.uint8))
    changed = class_uniform_module.dataset_centroids(dataset, tile=TILE, cache=cache)
    assert 4 in changed[:, 0] and 4 not in first[:, 0]


@pytest.mark.parametrize('content', [b'', b'no archive'])
def test_damaged_cache_is_made_anew(tmp_path, content):
    dataset, cache = make(tmp_path / 'data', 'a'), tmp_path / 'centers.npz'
    cache.write_bytes(content)
    assert len(class_uniform_module.dataset_centroids(dataset, tile=TILE, cache=str(cache))) == 3
    assert len(class_uniform_module.dataset_centroids(dataset, tile=TILE, cache=str(cache))) == 3


def test_point_reaches_the_sample_through_joined_datasets(parts):
    sample = parts[SampleIndex(3, 0, 0, (2, 1))]
    assert sample['crop_point'] == (2, 1)
    assert 'crop_point' not in parts[SampleIndex(3, 0, 0)]
