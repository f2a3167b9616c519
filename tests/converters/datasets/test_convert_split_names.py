"""Which split the names of annotation files and folders say, and that it is said aloud."""

from pathlib import Path

import pytest
from in_one_test import in_one_test
from tiny_sets import files_below, image, make_labelme, numbers, save, write_json

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.core.pairs import split_in_folders, split_in_name

QUIET = Settings(show_progress=False, workers=1)


def make_coco(path: Path, *names: str) -> Path:
    """An annotation file with images beside it, each with one triangle."""
    for name in names:
        save(path.parent / name, image())
    square = {'category_id': 7, 'segmentation': [[2, 2, 9, 2, 9, 9]]}
    content = {
        'images': [
            {'id': k, 'file_name': name, 'height': 24, 'width': 32} for k, name in enumerate(names)
        ],
        'annotations': [{'id': k, 'image_id': k, **square} for k in range(len(names))],
        'categories': [{'id': 7, 'name': 'wire'}],
    }
    return write_json(path, content)


@in_one_test(
    'name, split',
    [
        ('instances_train2017', 'train'),
        ('instances_val2014', 'val'),
        ('TEST', 'test'),
        ('mySet-Validation', 'val'),
        ('annotations_latest', None),
        ('interval_cam', None),
        ('constraint', None),
        ('train_and_test', None),
    ],
)
def test_split_in_name_takes_whole_words(name: str, split: str | None) -> None:
    assert split_in_name(Path('raw', f'{name}.json')) == split


@in_one_test(
    'path, split',
    [
        ('/a/valid/x.json', 'val'),
        ('/a/b/Test/x.json', 'test'),
        ('/a/latest/x.json', None),
        ('/a/x.json', None),
        ('/elsewhere/train/x.json', 'train'),
    ],
)
def test_split_in_folders_looks_below_the_base(path: str, split: str | None) -> None:
    assert split_in_folders(Path(path), Path('/a')) == split


@pytest.mark.parametrize('name', ['annotations_latest', 'interval_cam'])
def test_convert_coco_file_without_split_in_its_name_is_divided(tmp_path: Path, name: str) -> None:
    make_coco(tmp_path / f'raw/{name}.json', 'a.png', 'b.png')
    report = convert(
        'coco_polygons', tmp_path / 'raw', tmp_path / 'dst', {'val_fraction': 0.5}, settings=QUIET
    )
    assert report.samples == {'train': 1, 'val': 1} and report.notices == ()


def make_polygon_list(path: Path, *names: str) -> Path:
    for name in names:
        save(path.parent / name, image())
    triangle = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]
    items = [{'uris': [f'far/{n}'], 'results': {'polys': [{'poly': triangle}]}} for n in names]
    return write_json(path, {'items': items})


@pytest.mark.parametrize(
    'name, make', [('coco_polygons', make_coco), ('polygon_list', make_polygon_list)]
)
def test_convert_list_with_an_added_image_leaves_the_others_in_their_split(
    tmp_path: Path, name: str, make
) -> None:
    options = {'val_fraction': 0.5}
    for names in (['b.png', 'c.png'], ['a.png', 'b.png', 'c.png']):
        make(tmp_path / 'raw/mine.json', *names)
        convert(name, tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert {p for p in files_below(tmp_path / 'dst') if 'label' in p} == {
        'train/label/a.png',
        'train/label/b.png',
        'val/label/c.png',
    }


def test_convert_coco_with_split_in_its_name_says_that_val_fraction_is_not_used(
    tmp_path: Path,
) -> None:
    make_coco(tmp_path / 'raw/instances_train2017.json', 'a.png', 'b.png')
    report = convert(
        'coco_polygons', tmp_path / 'raw', tmp_path / 'dst', {'val_fraction': 0.5}, settings=QUIET
    )
    assert report.samples == {'train': 2}
    assert '--val-fraction 0.5 does not divide the images of 1 files' in report.notices[0]
    assert 'instances_train2017.json: train' in report.notices[0]


def test_convert_coco_folders_train_valid_test_are_splits(tmp_path: Path) -> None:
    for split in ('train', 'valid', 'test'):
        make_coco(tmp_path / f'raw/{split}/_annotations.coco.json', f'{split}_1.png')
    report = convert('coco_polygons', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.samples == {'test': 1, 'train': 1, 'val': 1}
    assert 'val/label/valid_1.png' in files_below(tmp_path / 'dst')
    alone = tmp_path / 'raw/valid/_annotations.coco.json'
    report = convert('coco_polygons', alone, tmp_path / 'alone', settings=QUIET)
    assert report.samples == {'val': 1}


def test_convert_labelme_folder_valid_is_split_val(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw/train', [], name='a')
    make_labelme(tmp_path / 'raw/valid', [], name='b')
    report = convert(
        'labelme', tmp_path / 'raw', tmp_path / 'dst', {'val_fraction': 0.5}, settings=QUIET
    )
    assert report.samples == {'train': 1, 'val': 1}
    assert any('does not divide the images of 2 files' in text for text in report.notices)


def test_convert_masks_with_split_folders_says_that_val_fraction_is_not_used(
    tmp_path: Path,
) -> None:
    save(tmp_path / 'raw/train/images/a.png', image())
    save(tmp_path / 'raw/train/labels/a.png', numbers(3))
    options = {'val_fraction': 0.5, 'num_classes': 4}
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert '--val-fraction 0.5 is ignored: folders name the splits' in report.notices
