"""Cityscapes: how the release is found, what is drawn, test images, edges, auto labels."""

from pathlib import Path

import fixture_files
import numpy as np
import pytest
from PIL import Image
from tiny_sets import files_below, image, make_cityscapes, numbers, save, write_polygons

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.cityscapes import (
    draw_instances,
    draw_labels,
    ids_to_trainids,
)
from openseg_plugin.converters.datasets.cityscapes_autolabelled import refine
from openseg_plugin.converters.datasets.core.pairs import edge_map
from openseg_plugin.datasets.classes import (
    CITYSCAPES_CLASSES,
    CITYSCAPES_LABELS,
    CITYSCAPES_TRAIN_IDS,
)
from openseg_plugin.errors import ConfigError, DataError

QUIET = Settings(splits=('train',), show_progress=False)
STEM = 'aachen_000000_000019'
LABEL = f'train/label/{STEM}_leftImg8bit.png'
RAW = f'gtFine/train/aachen/{STEM}_gtFine'


def read(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_tables_agree_on_the_nineteen_classes() -> None:
    table = ids_to_trainids()
    assert (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33) == CITYSCAPES_TRAIN_IDS
    assert [table[i] for i in CITYSCAPES_TRAIN_IDS] == list(range(19))
    assert len(CITYSCAPES_CLASSES) == 19
    assert set(table[[i for i in range(256) if i not in CITYSCAPES_TRAIN_IDS]]) == {255}
    assert len(CITYSCAPES_LABELS) == 35


def test_convert_zips_unpacked_into_a_folder_each_are_found(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'made')
    for kind, folder in (('leftImg8bit', 'leftImg8bit_trainvaltest'), ('gtFine', 'gtFine')):
        (tmp_path / 'raw' / folder).mkdir(parents=True)
        (raw / kind).rename(tmp_path / 'raw' / folder / kind)
    assert convert('cityscapes', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET).made == 4


@pytest.mark.parametrize('draw', ['auto', 'always'])
def test_convert_draws_from_polygons_where_asked_or_needed(tmp_path: Path, draw: str) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    if draw == 'auto':
        for path in [*raw.rglob('*labelIds.png'), *raw.rglob('*instanceIds.png')]:
            path.unlink()
    options = {'draw': draw, 'instance': True}
    convert('cityscapes', raw, tmp_path / 'dst', options, settings=QUIET)
    expected = np.full((24, 32), 255, np.uint8)
    expected[2:13, 2:21] = 13
    assert np.array_equal(read(tmp_path / 'dst' / LABEL), expected)
    instance = read(tmp_path / 'dst' / LABEL.replace('label', 'instance'))
    assert np.array_equal(instance, np.where(expected == 13, 26000, 0))


def test_convert_never_draw_without_label_files_says_so(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    (raw / f'{RAW}_labelIds.png').unlink()
    with pytest.raises(DataError, match=f'no {STEM}_gtFine_labelIds.png below'):
        convert('cityscapes', raw, tmp_path / 'dst', {'draw': 'never'}, settings=QUIET)


def test_convert_edges_are_those_of_label_ids(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    convert('cityscapes', raw, tmp_path / 'dst', {'edge_width': (10, 3)}, settings=QUIET)
    ids = read(raw / f'{RAW}_labelIds.png')
    for folder, width in (('edge', 10), ('edge_width3', 3)):
        got = read(tmp_path / 'dst' / LABEL.replace('label', folder))
        assert np.array_equal(got, edge_map(ids, width=width))


def test_convert_label_train_ids_alone_are_taken_as_they_are_and_said(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    for path in [*raw.rglob('*_labelIds.png'), *raw.rglob('*_polygons.json')]:
        train_ids = np.clip(np.arange(24 * 32).reshape(24, 32) // 36, 0, 18).astype(np.uint8)
        train_ids[0] = 255
        save(path.with_name(f'{path.name.rpartition("_")[0]}_labelTrainIds.png'), train_ids)
        path.unlink()
    report = convert('cityscapes', raw, tmp_path / 'dst', {'edge_width': (3,)}, settings=QUIET)
    assert np.array_equal(read(tmp_path / 'dst' / LABEL), train_ids)
    edges = read(tmp_path / 'dst' / LABEL.replace('label', 'edge'))
    assert np.array_equal(edges, edge_map(train_ids, width=3))
    assert '4 labels are labelTrainIds.png files, taken as they are' in report.notices[0]
    with pytest.raises(DataError, match=r'no .*_labelIds\.png or polygons\.json'):
        convert('cityscapes', raw, tmp_path / 'ids', {'labels': 'ids'}, settings=QUIET)


def test_convert_images_in_jpeg_get_their_labels(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    for path in raw.rglob('*_leftImg8bit.png'):
        path.rename(path.with_suffix('.jpg'))
    report = convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    assert report.made == 4
    assert (tmp_path / 'dst' / LABEL).is_file()
    assert (tmp_path / 'dst' / LABEL.replace('label', 'image')).with_suffix('.jpg').is_file()


def test_draw_labels_with_a_corner_far_outside_costs_what_the_image_costs(tmp_path: Path) -> None:
    car = {'label': 'car', 'polygon': [[4, 3], [1e9, 3], [1e9, 15], [4, 15]]}
    label = draw_labels(write_polygons(tmp_path / 'a.json', [car]), 'trainids')
    assert (label[3:16, 4:] == 13).all() and (label == 13).sum() == 13 * 28


def test_convert_test_split_has_images_alone(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    for kind in ('leftImg8bit', 'gtFine'):
        (raw / kind / 'train').rename(raw / kind / 'test')
    settings = Settings(splits=('test',), show_progress=False)
    assert convert('cityscapes', raw, tmp_path / 'dst', settings=settings).made == 4
    assert {name.split('/')[1] for name in files_below(tmp_path / 'dst') if '/' in name} == {
        'image'
    }


def test_convert_coarse_takes_each_label_from_its_own_folder(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    for split in ('train', 'val', 'train_extra'):
        for path in list((raw / 'leftImg8bit/train').rglob('*.png')):
            name = path.name.replace('_leftImg8bit', '_gtCoarse_labelIds')
            save(raw / 'gtCoarse' / split / path.parent.name / name, np.full((24, 32), 7, np.uint8))
            save(raw / 'leftImg8bit' / split / path.parent.name / path.name, image())
    settings = Settings(show_progress=False)
    report = convert('cityscapes', raw, tmp_path / 'dst', {'coarse': True}, settings=settings)
    assert report.samples == {'train': 4, 'val': 4, 'coarse': 4}
    for split in report.samples:
        assert report.summary['splits'][split]['pixels'] == {'0': 4 * 24 * 32}


def test_draw_labels_license_plate_covers_nothing_but_void_covers(tmp_path: Path) -> None:
    square = [[0, 0], [3, 0], [3, 3], [0, 3]]
    objects = [{'label': name, 'polygon': square} for name in ('car', 'license plate')]
    path = write_polygons(tmp_path / 'a.json', objects)
    assert set(draw_labels(path, 'trainids')[:4, :4].flat) == {13}
    path = write_polygons(tmp_path / 'b.json', [*objects, {'label': 'parking', 'polygon': square}])
    assert set(draw_labels(path, 'trainids')[:4, :4].flat) == {255}
    assert set(draw_labels(path, 'ids')[:4, :4].flat) == {9}


def test_draw_instances_counts_objects_but_not_groups_and_deleted(tmp_path: Path) -> None:
    def item(x: int, name: str, **more) -> dict:
        return {'label': name, 'polygon': [[x, 0], [x + 1, 0], [x + 1, 1]], **more}

    objects = [
        item(0, 'car'),
        item(3, 'cargroup'),
        item(6, 'car', deleted=1),
        item(9, 'car'),
        item(12, 'polegroup'),
        item(15, 'caravan'),
    ]
    instances = draw_instances(write_polygons(tmp_path / 'a.json', objects))
    assert instances[0, [0, 3, 6, 9, 12, 15]].tolist() == [26000, 26, 0, 26001, 18, 29000]


def test_draw_labels_of_one_point_marks_one_pixel(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / 'a.json', [{'label': 'car', 'polygon': [[4, 5]]}])
    assert np.argwhere(draw_labels(path, 'ids')).tolist() == [[5, 4]]


def make_autolabelled(root: Path) -> Path:
    for k in range(2):
        name = f'augsburg_000000_00000{k}'
        folder = root / 'refinement_final/train_extra/augsburg'
        save(folder / f'{name}_leftImg8bit.png', numbers(33, k))
        save(folder / f'{name}_leftImg8bit_prob.png', numbers(255, k + 5))
        save(root / f'leftImg8bit/train_extra/augsburg/{name}_leftImg8bit.png', image(k))
        coarse = f'gtCoarse/train_extra/augsburg/{name}_gtCoarse_labelIds.png'
        save(root / coarse, numbers(33, k + 9))
    save(root / 'refinement_final/tmp/augsburg/rest_leftImg8bit.png', numbers(33))
    return root


def test_convert_autolabelled_uses_probability_and_coarse_labels(tmp_path: Path) -> None:
    raw = make_autolabelled(tmp_path / 'raw')
    options = {'min_probability': 0.5, 'union_classes': (14, 15, 16)}
    settings = Settings(show_progress=False)
    report = convert('cityscapes_autolabelled', raw, tmp_path / 'dst', options, settings=settings)
    assert report.samples == {'coarse': 2}
    got = read(tmp_path / 'dst/coarse/label/augsburg_000000_000000_leftImg8bit.png')
    table, ids, coarse = ids_to_trainids(), numbers(33, 0), numbers(33, 9)
    expected = table[ids]
    for number, label_id in ((14, 27), (15, 28), (16, 31)):
        expected[coarse == label_id] = number
    expected[numbers(255, 5) / 255 < 0.5] = 255
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    'options, text',
    [
        ({'min_probability': 1.5}, 'give 0..1'),
        ({'union_classes': (19,)}, 'give train ids 0..18'),
    ],
)
def test_convert_autolabelled_wrong_option_says_so(tmp_path: Path, options, text: str) -> None:
    raw = make_autolabelled(tmp_path / 'raw')
    with pytest.raises(ConfigError, match=text):
        convert('cityscapes_autolabelled', raw, tmp_path / 'dst', options)


@pytest.mark.parametrize(
    'options, remove, text',
    [
        ({'min_probability': 0.5}, '*_prob.png', '_prob.png is missing'),
        ({'union_classes': (14,)}, '*_gtCoarse_labelIds.png', 'unpack gtCoarse.zip there'),
        ({'mask_out': True}, 'nothing', 'not 2048x1024 pixels'),
        ({}, 'leftImg8bit/train_extra/*/*.png', 'unpack leftImg8bit_trainextra.zip'),
    ],
)
def test_convert_autolabelled_missing_files_say_so(
    tmp_path: Path, options, remove: str, text: str
) -> None:
    raw = make_autolabelled(tmp_path / 'raw')
    for path in [*raw.rglob(remove)]:
        path.unlink()
    with pytest.raises(DataError, match=text):
        convert(
            'cityscapes_autolabelled', raw, tmp_path / 'dst', options, settings=Settings(workers=1)
        )


def test_refine_mask_out_keeps_only_the_middle() -> None:
    got = refine(np.full((1024, 2048), 7, np.uint8), mask_out=True)
    rows, columns = np.flatnonzero((got == 0).any(1)), np.flatnonzero((got == 0).any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (15, 839, 14, 2029)
    assert (got == 0).sum() == 825 * 2016


def test_refine_union_only_for_classes_that_the_map_has() -> None:
    ids, coarse = np.array([[7, 27, 7]], np.uint8), np.array([[27, 28, 28]], np.uint8)
    assert refine(ids, coarse=coarse, union_classes=(14, 15)).tolist() == [[14, 14, 0]]


@pytest.mark.parametrize(
    'path', [d / 'autolabel.npz' for d in fixture_files.fixture_dirs('nvidia')]
)
def test_refine_equals_stored_maps_and_counts(path: Path) -> None:
    if not path.is_file():
        pytest.skip('this folder stores no auto-labelled map')
    import json

    with np.load(path) as stored:
        meta = json.loads(str(stored['meta']))
        for name, counts in meta['stats'].items():
            union = (14, 15, 16) if '[14, 15, 16]' in name else ()
            got = refine(
                stored['auto'],
                probability=stored['prob'],
                min_probability=float(name.split('prob=')[1].split(',')[0]),
                coarse=stored['gt_coarse'],
                union_classes=union,
                mask_out='mask_out=True' in name,
            )
            values, found = np.unique(got, return_counts=True)
            assert {str(v): n for v, n in zip(values, found)} == counts, name
            if f'out/{name}' in stored:
                assert np.array_equal(got, stored[f'out/{name}']), name
