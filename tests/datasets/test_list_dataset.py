import json

import cv2
import numpy as np
import pytest

from openseg_plugin.datasets.custom import CustomDataset, ListDataset
from openseg_plugin.errors import ConfigError, DataError

CLASSES = dict(classes=('ground', 'line'), palette=[[0, 0, 0], [255, 0, 0]])


@pytest.fixture
def root(tmp_path):
    """Two images with labels in folders and under names of their own, and a list of them."""
    for folder in ('train/photos', 'train/masks'):
        (tmp_path / folder).mkdir(parents=True)
    for k in range(2):
        cv2.imwrite(str(tmp_path / f'train/photos/{k}.jpeg'), np.zeros((4, 6, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f'train/masks/m{k}.png'), np.full((4, 6), k, np.uint8))
    lines = [
        'train/photos/1.jpeg  train/masks/m1.png',
        '',
        'train/photos/0.jpeg\ttrain/masks/m0.png',
    ]
    (tmp_path / 'train.lst').write_text('\n'.join(lines) + '\n')
    return tmp_path


def open_list(root, **options) -> ListDataset:
    loading = [dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')]
    options = dict(ann_file='train.lst', metainfo=CLASSES, pipeline=loading) | options
    return ListDataset(data_root=str(root), **options)


def test_list_gives_its_pairs_in_its_order(root):
    dataset = open_list(root)
    assert [np.unique(dataset[k]['gt_seg_map']).tolist() for k in range(2)] == [[1], [0]]
    assert dataset.metainfo['classes'] == ('ground', 'line')


def test_prefixes_move_the_paths(root):
    (root / 'train.lst').write_text('photos/0.jpeg masks/m0.png\n')
    prefix = dict(img_path='train', seg_map_path='train')
    assert open_list(root, data_prefix=prefix)[0]['img'].shape == (4, 6, 3)


def test_third_column_and_byte_order_mark_are_passed_over(root):
    text = '\ufefftrain/photos/0.jpeg train/masks/m0.png 0.5\n'
    (root / 'train.lst').write_text(text, encoding='utf-8')
    assert len(open_list(root)) == 1


def test_absolute_paths_are_taken_as_they_are(root, tmp_path_factory):
    lst = tmp_path_factory.mktemp('lists') / 'all.lst'
    lst.write_text(f'{root}/train/photos/0.jpeg {root}/train/masks/m0.png\n')
    assert len(open_list('/nowhere', ann_file=str(lst))) == 1


def test_list_without_labels_can_be_tested(root):
    (root / 'train.lst').write_text('train/photos/0.jpeg\n')
    assert 'gt_seg_map' not in open_list(root, test_mode=True)[0]


@pytest.mark.parametrize(
    'text, message',
    [
        ('', 'names no images'),
        ('train/photos/0.jpeg\n', '1 of 1 lines have no label, the first is .*0.jpeg'),
        ('a b c d\n', r'1 line has more columns .*line \(columns\): 1 \(4\): where names have'),
        (
            '# a comment\n' + 7 * 'a b c d e\n',
            r'7 lines have .*: 2 \(5\), 3 \(5\), 4 \(5\), 5 \(5\), 6 \(5\) and 2 more',
        ),
        (
            'train/photos/0.jpeg train/masks/m0.png\ntrain/photos/9.jpeg train/masks/m9.png\n',
            r'names 2 files that do not exist: .*9.jpeg, .*m9.png; paths start at data_root=',
        ),
        (
            'train/photos/0.jpeg nothing.png\ntrain/photos/1.jpeg nothing.png\n',
            r'names 1 file that does not exist: .*nothing.png; paths',
        ),
        ('my photo.jpeg my mask.png\n', '1 line has more columns'),
        ('my photo.jpeg mask.png\n', 'a column ends at a blank'),
    ],
)
def test_list_that_cannot_be_used_says_why(root, text, message):
    (root / 'train.lst').write_text(text)
    with pytest.raises(DataError, match=message):
        open_list(root)


def test_all_missing_files_are_counted_and_five_named(root):
    lines = [f'{k}.jpeg {k}.png' for k in range(10)]
    (root / 'train.lst').write_text('\n'.join(lines))
    with pytest.raises(DataError, match=r'names 20 files that do not exist') as error:
        open_list(root)
    assert (
        sum(
            str(error.value).count(f'{k}.{ending}') for k in range(10) for ending in ('jpeg', 'png')
        )
        == 5
    )
    assert ' and 15 more; ' in str(error.value)


@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_ends_of_lines_comments_and_blanks_around_change_nothing(root, end):
    lines = ['# image label', '  train/photos/0.jpeg train/masks/m0.png  ', '', '#', '\t']
    (root / 'train.lst').write_bytes(end.join([*lines, '']).encode())
    dataset = open_list(root)
    assert len(dataset) == 1 and dataset[0]['gt_seg_map'].shape == (4, 6)


def test_names_with_blanks_need_a_tab_between_the_columns(root):
    (root / 'train/photos/0.jpeg').rename(root / 'train/photos/my photo 0.jpeg')
    (root / 'train.lst').write_text('train/photos/my photo 0.jpeg\ttrain/masks/m0.png\t0.5\n')
    assert open_list(root)[0]['img_path'].endswith('my photo 0.jpeg')


def test_absolute_and_relative_paths_stand_side_by_side(root):
    text = (
        f'{root}/train/photos/0.jpeg train/masks/m0.png\n'
        f'train/photos/1.jpeg {root}/train/masks/m1.png'
    )
    (root / 'train.lst').write_text(text)
    assert [np.unique(open_list(root)[k]['gt_seg_map']).tolist() for k in range(2)] == [[0], [1]]


def test_some_lines_without_label_are_refused_in_testing_too(root):
    (root / 'train.lst').write_text('train/photos/0.jpeg train/masks/m0.png\ntrain/photos/1.jpeg\n')
    with pytest.raises(DataError, match='for all or none'):
        open_list(root, test_mode=True)


def test_missing_list_is_named(root):
    with pytest.raises(DataError, match=r'val\.lst does not exist'):
        open_list(root, ann_file='val.lst')


def test_image_given_as_list_is_no_text(root):
    with pytest.raises(DataError, match='is not a text file'):
        open_list(root, ann_file='train/photos/0.jpeg')


@pytest.mark.parametrize(
    'options, message', [(dict(ann_file=''), 'needs ann_file'), (dict(metainfo=None), 'metainfo')]
)
def test_list_or_classes_that_are_not_named_are_asked_for(root, options, message):
    with pytest.raises(ConfigError, match=message):
        open_list(root, **options)


def own(root, metainfo) -> CustomDataset:
    prefix = dict(img_path='train/photos', seg_map_path='train/masks')
    return CustomDataset(
        data_root=str(root), data_prefix=prefix, metainfo=metainfo, img_suffix='.jpeg'
    )


def test_own_data_without_classes_asks_for_them(root):
    with pytest.raises(ConfigError, match='CustomDataset needs metainfo'):
        own(root, None)


@pytest.mark.parametrize('names', [['_background_', 'line'], ['_background_', 'line', 'mast']])
def test_own_data_compares_the_classes_with_the_conversion(root, names):
    for k in range(2):
        (root / f'train/masks/m{k}.png').rename(root / f'train/masks/{k}.png')
    summary = {'format': 1, 'converter': 'masks', 'classes': names}
    (root / 'dataset.json').write_text(json.dumps(summary))
    if len(names) == 2:
        assert len(own(root, CLASSES)) == 2
        return
    with pytest.raises(ConfigError, match=r"names 2 classes but .* with 3: write classes = \('_b"):
        own(root, CLASSES)


def test_a_dataset_json_of_somebody_else_says_nothing_about_own_data(root):
    for k in range(2):
        (root / f'train/masks/m{k}.png').rename(root / f'train/masks/{k}.png')
    (root / 'dataset.json').write_text(json.dumps({'name': 'wires', 'classes': ['one']}))
    assert len(own(root, CLASSES)) == 2
