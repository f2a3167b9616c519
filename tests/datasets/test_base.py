import cv2
import numpy as np
import pytest
from mmseg.datasets import BaseSegDataset
from PIL import Image

from openseg_plugin.datasets.base import SegDataset
from openseg_plugin.datasets.public import CamVidDataset, CityscapesDataset, MapillaryDataset
from openseg_plugin.errors import DataError
from openseg_plugin.registry import DATASETS

PREFIX = dict(img_path='train/image', seg_map_path='train/label')
LOADING = [dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')]


def cityscapes(root, **options) -> CityscapesDataset:
    options = dict(data_prefix=PREFIX, pipeline=LOADING) | options
    return CityscapesDataset(data_root=str(root), **options)


def test_dataset_lists_samples_sorted_with_their_labels(split):
    dataset = cityscapes(split)
    names = [dataset.get_data_info(i)['img_path'][-5:] for i in range(3)]
    assert names == ['a.png', 'b.png', 'c.png']
    info = dataset.get_data_info(1)
    assert info['seg_map_path'] == str(split / 'train/label/b.png')
    assert info['flip_pairs'] == []


def test_dataset_sample_holds_image_and_train_ids(split):
    sample = cityscapes(split)[0]
    assert sample['img'].shape == (8, 12, 3)
    assert np.unique(sample['gt_seg_map']).tolist() == [3, 255]


def test_dataset_without_its_folder_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r'train/image .*convert-dataset.*DATA_ROOT'):
        cityscapes(tmp_path)


def test_dataset_without_images_names_folder_and_ending(split):
    with pytest.raises(DataError, match=r'train/image has no images that end in \.jpg'):
        cityscapes(split, img_suffix='.jpg')


def test_dataset_without_label_folder_names_it(split):
    prefix = dict(img_path='train/image', seg_map_path='train/nothing')
    with pytest.raises(DataError, match=r'train/nothing '):
        cityscapes(split, data_prefix=prefix)


def test_dataset_with_images_without_labels_names_the_first(split):
    (split / 'train/label/b.png').unlink()
    with pytest.raises(DataError, match=r'1 of 3 .*b\.png'):
        cityscapes(split)


def test_dataset_for_training_without_labels_is_refused(split):
    with pytest.raises(DataError, match='training needs labels'):
        cityscapes(split, data_prefix=dict(img_path='train/image'))


def test_dataset_for_testing_needs_no_labels(split):
    dataset = cityscapes(split, data_prefix=dict(img_path='train/image'), test_mode=True)
    assert 'gt_seg_map' not in dataset[0]


def test_dataset_with_list_file_takes_the_listed_samples(split):
    (split / 'list.txt').write_text('c\n\na\n')
    dataset = cityscapes(split, ann_file='list.txt')
    assert [info['img_path'][-5] for info in map(dataset.get_data_info, range(2))] == ['a', 'c']


def test_dataset_with_several_endings_finds_all(split):
    cv2.imwrite(str(split / 'train/image/d.jpg'), np.zeros((8, 12, 3), np.uint8))
    cv2.imwrite(str(split / 'train/label/d.png'), np.zeros((8, 12), np.uint8))
    dataset = SegDataset(
        data_root=str(split),
        data_prefix=PREFIX,
        img_suffix=('.jpg', '.png'),
        metainfo=dict(classes=('x',)),
    )
    assert len(dataset) == 4
    assert dataset.get_data_info(3)['img_path'].endswith('d.jpg')


def test_dataset_with_cut_image_names_it(split):
    path = split / 'train/image/a.png'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r'a\.png is cut short'):
        cityscapes(split)[0]


def test_dataset_with_undecodable_image_names_it(split):
    (split / 'train/image/a.png').write_bytes(b'this is text, not an image')
    with pytest.raises(DataError, match=r'a\.png cannot be decoded'):
        cityscapes(split)[0]


def test_dataset_with_other_assertions_lets_them_pass(split):
    def fails(results):
        raise AssertionError('of a transform')

    dataset = cityscapes(split, pipeline=[fails])
    with pytest.raises(AssertionError, match='of a transform'):
        dataset[0]


@pytest.mark.parametrize(
    'pairs, expected',
    [
        ((('left', 'right'),), [[1, 2]]),
        (((1, 2),), [[1, 2]]),
        ((('left', 'missing'),), []),
        ((), []),
    ],
)
def test_flip_pairs_by_name_or_id_become_train_ids(split, pairs, expected):
    dataset = SegDataset(
        data_root=str(split),
        data_prefix=PREFIX,
        img_suffix='.png',
        metainfo=dict(classes=('none', 'left', 'right'), flip_pairs=pairs),
    )
    assert dataset.metainfo['flip_pairs'] == expected
    assert dataset.get_data_info(0)['flip_pairs'] == expected


def test_flip_pairs_that_are_no_classes_are_refused(split):
    with pytest.raises(ValueError, match=r'flip_pairs: \(1, 5\)'):
        SegDataset(
            data_root=str(split),
            data_prefix=PREFIX,
            img_suffix='.png',
            metainfo=dict(classes=('a', 'b'), flip_pairs=((1, 5),)),
        )


def test_subset_of_classes_ignores_the_others(split):
    dataset = cityscapes(split, metainfo=dict(classes=('wall', 'sky')))
    assert dataset.label_table[3] == 0
    assert dataset.label_table[10] == 1
    assert dataset.label_table[0] == 255
    assert np.unique(dataset[0]['gt_seg_map']).tolist() == [0, 255]


def test_void_ids_are_ignored_by_our_loader_and_by_mmsegs(tmp_path):
    (tmp_path / 'image').mkdir()
    (tmp_path / 'label').mkdir()
    cv2.imwrite(str(tmp_path / 'image/a.png'), np.zeros((2, 3, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'label/a.png'), np.array([[0, 10, 11], [11, 4, 5]], np.uint8))
    for loader in ('openseg_plugin.LoadLabels', 'LoadAnnotations'):
        dataset = CamVidDataset(
            data_root=str(tmp_path),
            data_prefix=dict(img_path='image', seg_map_path='label'),
            pipeline=[dict(type=loader)],
        )
        assert dataset[0]['gt_seg_map'].tolist() == [[0, 10, 255], [255, 4, 5]]


@pytest.mark.parametrize(
    'kind, classes', [(CityscapesDataset, 19), (CamVidDataset, 11), (MapillaryDataset, 65)]
)
def test_metainfo_has_one_color_per_class(kind, classes):
    assert len(kind.METAINFO['classes']) == len(set(kind.METAINFO['classes'])) == classes
    assert len(kind.METAINFO['palette']) == classes
    assert all(len(color) == 3 for color in kind.METAINFO['palette'])
    assert issubclass(kind, BaseSegDataset)
    assert DATASETS.get(kind.__name__) is kind


@pytest.mark.parametrize('line', ['{}', '{}.png', '{}.PNG'])
def test_endings_in_capitals_and_in_lists_are_read(tmp_path, line):
    for kind in ('image', 'label'):
        (tmp_path / kind).mkdir()
        for name in ('a', 'b'):
            Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / kind / f'{name}.PNG')
    settings = dict(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='image', seg_map_path='label'),
        img_suffix='.PNG' if line == '{}' else '.png',
        metainfo=dict(classes=('x',), palette=[[0, 0, 0]]),
    )
    whole = SegDataset(**settings)
    assert [whole[k]['seg_map_path'][-5:] for k in range(2)] == ['a.PNG', 'b.PNG']
    (tmp_path / 'some.txt').write_text(line.format('b') + '\n')
    if line != '{}.png':
        listed = SegDataset(ann_file='some.txt', **settings)
        assert len(listed) == 1 and listed[0]['img_path'].endswith('b.PNG')


def test_samples_are_kept_as_bytes_and_come_out_as_they_were_listed(split, tmp_path):
    elsewhere = tmp_path / 'elsewhere \u00e4.png'
    elsewhere.write_bytes((split / 'train/image/a.png').read_bytes())

    class Wider(CityscapesDataset):
        def pairs(self):
            yield from super().pairs()
            yield str(elsewhere), None

    dataset = Wider(data_root=str(split), data_prefix=PREFIX, pipeline=LOADING)
    assert (len(dataset), dataset.data_list) == (4, [])
    assert dataset.data_bytes.nbytes < 4 * len(str(elsewhere))
    added = dict(flip_pairs=[], label_table=dataset.label_table)
    for number, expected in enumerate(dataset.load_data_list()):
        for index in (number, number - 4):
            info = dataset.get_data_info(index)
            assert info.pop('label_table') is added['label_table']
            assert info == expected | {'sample_idx': number, 'flip_pairs': []}
    part = dataset.get_subset([3, 1])
    assert [part.get_data_info(k)['img_path'][-5:] for k in (0, 1)] == ['\u00e4.png', 'b.png']
    assert len(cityscapes(split, indices=2)) == 2


def test_a_class_that_lists_its_samples_itself_is_kept_as_it_is(split):
    class Own(SegDataset):
        def load_data_list(self):
            image = str(split / 'train/image/a.png')
            return [dict(img_path=image, seg_fields=[], more=3, reduce_zero_label=False)]

    dataset = Own(
        data_root=str(split), data_prefix=PREFIX, pipeline=[], metainfo=dict(classes=['a'])
    )
    assert dataset.get_data_info(0)['more'] == 3
