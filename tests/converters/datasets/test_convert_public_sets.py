"""Published datasets: options and gaps that the stored trees do not show."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from PIL import Image
from tiny_sets import files_below, numbers, save

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.cityscapes import ids_to_trainids
from openseg_plugin.converters.datasets.mapillary import to_cityscapes_id
from openseg_plugin.datasets import classes
from openseg_plugin.datasets.classes import ATR_TO_LIP
from openseg_plugin.errors import ConfigError, DataError

STORED = Path(__file__).parents[2] / 'data' / 'converters'
QUIET = Settings(show_progress=False)


def copy(name: str, tmp_path: Path) -> Path:
    """A raw tree that a test may change."""
    return Path(shutil.copytree(STORED / name / 'raw', tmp_path / 'raw'))


def labels(dst: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(dst.glob('*/label/*.png')):
        with Image.open(path) as opened:
            found[path.relative_to(dst).as_posix()] = np.asarray(opened)
    return found


def test_ade20k_notes_image_without_annotation(tmp_path: Path) -> None:
    report = convert('ade20k', copy('ade20k', tmp_path), tmp_path / 'dst', settings=QUIET)
    assert 'ADE_train_00099999.jpg' in report.notices[0]
    assert report.summary['reduce_zero_label'] is True
    assert len(report.summary['classes']) + 1 == len(report.summary['palette']) == 151


def test_ade20k_value_of_no_class_names_file_and_value(tmp_path: Path) -> None:
    raw = copy('ade20k', tmp_path)
    label = next(raw.rglob('ADE_train_00000001.png'))
    save(label, np.full((48, 64), 151, np.uint8))
    with pytest.raises(DataError, match=rf'{label.name} holds values .*\(0\.\.150, 255\): 151'):
        convert('ade20k', raw, tmp_path / 'dst', settings=QUIET)


@pytest.mark.parametrize('name', ['ade20k', 'lip', 'cihp', 'mapillary'])
def test_test_split_has_images_alone(name: str, tmp_path: Path) -> None:
    raw = copy(name, tmp_path)
    folder = {
        'ade20k': 'release_test/testing',
        'lip': 'Testing_images/testing_images',
        'cihp': 'instance-level_human_parsing/Testing/Images',
        'mapillary': 'testing/images',
    }[name]
    image = next(raw.rglob('*.jpg'))
    (raw / folder).mkdir(parents=True)
    shutil.copy(image, raw / folder)
    settings = Settings(splits=('test',), show_progress=False)
    convert(name, raw, tmp_path / 'dst', settings=settings)
    assert files_below(tmp_path / 'dst') == {'dataset.json', f'test/image/{image.name}'}


def test_lip_list_file_decides_and_its_gaps_are_named(tmp_path: Path) -> None:
    raw = copy('lip', tmp_path)
    names = raw / 'TrainVal_images/train_id.txt'
    names.write_text('100034_483681\nmissing_one\n')
    with pytest.raises(DataError, match='train image missing_one is missing'):
        convert('lip', raw, tmp_path / 'dst', settings=QUIET)
    names.write_text('100034_483681\n')
    report = convert('lip', raw, tmp_path / 'dst', settings=QUIET)
    assert report.samples == {'train': 1, 'val': 1}
    assert '1 train labels belong to no image' in report.notices[0]
    assert report.summary['flip_pairs'] == [[14, 15], [16, 17], [18, 19]]


def test_lip_without_edges_has_none_and_wrong_width_is_refused(tmp_path: Path) -> None:
    raw = copy('lip', tmp_path)
    convert('lip', raw, tmp_path / 'dst', {'edge_width': (0,)}, settings=QUIET)
    assert not list((tmp_path / 'dst').glob('*/edge*'))
    with pytest.raises(ConfigError, match='--edge-width -1'):
        convert('lip', raw, tmp_path / 'other', {'edge_width': (-1,)}, settings=QUIET)


def test_atr_own_classes_and_split(tmp_path: Path) -> None:
    raw = copy('atr', tmp_path)
    convert('atr', raw, tmp_path / 'lip', settings=QUIET)
    report = convert(
        'atr', raw, tmp_path / 'atr', {'labels': 'atr', 'val_fraction': 0.5}, settings=QUIET
    )
    assert report.samples == {'train': 1, 'val': 1} and len(report.summary['classes']) == 18
    table = np.full(256, 255, np.uint8)
    table[: len(ATR_TO_LIP)] = ATR_TO_LIP
    as_lip = {Path(k).name: v for k, v in labels(tmp_path / 'lip').items()}
    for name, own in labels(tmp_path / 'atr').items():
        assert np.array_equal(table[own], as_lip[Path(name).name])


def test_flip_pairs_name_left_and_right_of_the_same_part() -> None:
    for names, pairs in (
        (classes.LIP_CLASSES, classes.HUMAN_PARTS_FLIP_PAIRS),
        (classes.ATR_CLASSES, classes.ATR_FLIP_PAIRS),
    ):
        swapped = {names[a].lower().replace('left', 'right'): names[b] for a, b in pairs}
        assert len(swapped) == 3
        assert all(name == other.lower() for name, other in swapped.items())


def test_pascal_voc_without_sbd_is_asked_for_or_switched_off(tmp_path: Path) -> None:
    raw = copy('pascal_voc', tmp_path)
    shutil.rmtree(raw / 'benchmark_RELEASE')
    with pytest.raises(DataError, match='--no-sbd'):
        convert('pascal_voc', raw, tmp_path / 'dst', settings=QUIET)
    report = convert('pascal_voc', raw, tmp_path / 'dst', {'sbd': False}, settings=QUIET)
    assert report.samples == {'train': 2, 'val': 2, 'trainval': 4}


@pytest.mark.parametrize('with_list', [True, False])
def test_pascal_voc_takes_segmentation_class_aug_for_sbd(tmp_path: Path, with_list: bool) -> None:
    raw = copy('pascal_voc', tmp_path)
    done = convert('pascal_voc', raw, tmp_path / 'sbd', settings=QUIET)
    shutil.rmtree(raw / 'benchmark_RELEASE')
    (voc,) = raw.rglob('VOC2012')
    for path in (tmp_path / 'sbd').glob('*/label/*.png'):
        save(
            voc / f'SegmentationClassAug/{path.name}',
            labels(tmp_path / 'sbd')[f'{path.parts[-3]}/label/{path.name}'],
        )
    names = sorted(p.stem for p in (tmp_path / 'sbd/train/label').glob('*.png'))
    if with_list:
        (voc / 'ImageSets/Segmentation/trainaug.txt').write_text('\n'.join(names))
    report = convert('pascal_voc', raw, tmp_path / 'aug', settings=QUIET)
    assert report.samples == done.samples
    expected, got = labels(tmp_path / 'sbd'), labels(tmp_path / 'aug')
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)


def test_pascal_voc_truncated_sbd_file_is_named(tmp_path: Path) -> None:
    raw = copy('pascal_voc', tmp_path)
    path = next(raw.rglob('2008_000005.mat'))
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(DataError, match=r'2008_000005\.mat'):
        convert('pascal_voc', raw, tmp_path / 'dst', settings=QUIET)


@pytest.mark.parametrize('number, reduce', [(59, True), (60, False)])
def test_pascal_context_59_and_60_share_label_files(
    tmp_path: Path, number: int, reduce: bool
) -> None:
    raw = copy('pascal_context', tmp_path)
    report = convert(
        'pascal_context', raw, tmp_path / 'dst', {'num_classes': number}, settings=QUIET
    )
    assert len(report.summary['classes']) == number
    assert report.summary['reduce_zero_label'] is reduce
    assert len(report.summary['palette']) == 60


@pytest.mark.parametrize('annotation', ['mat', 'png'])
def test_pascal_context_takes_split_from_voc_lists(tmp_path: Path, annotation: str) -> None:
    raw = copy('pascal_context', tmp_path)
    next(raw.rglob('trainval_merged.json')).unlink()
    options = {'annotation': annotation}
    with pytest.raises(DataError, match=r'ImageSets/Main/train\.txt'):
        convert('pascal_context', raw, tmp_path / 'dst', options, settings=QUIET)
    lists = raw / 'VOCdevkit/VOC2010/ImageSets/Main'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('2008_000002\n')
    (lists / 'val.txt').write_text('2008_000007\n2008_000012\nnot_annotated\n')
    report = convert('pascal_context', raw, tmp_path / 'dst', options, settings=QUIET)
    assert report.samples == {'train': 1, 'val': 2}
    assert '1 val images have no annotation' in report.notices[0]


def test_coco_stuff_ids_and_classes_agree(tmp_path: Path) -> None:
    raw = copy('coco_stuff10k', tmp_path)
    convert('coco_stuff10k', raw, tmp_path / 'ids', {'labels': 'ids'}, settings=QUIET)
    convert('coco_stuff10k', raw, tmp_path / 'trainids', settings=QUIET)
    ids, trained = labels(tmp_path / 'ids'), labels(tmp_path / 'trainids')
    assert ids.keys() == trained.keys()
    lookup = np.array([0, *classes.COCO_STUFF_IDS_10K])
    assert all(np.array_equal(ids[name], lookup[trained[name]]) for name in ids)


def test_coco_stuff164k_images_and_labels_of_one_folder(tmp_path: Path) -> None:
    raw = copy('coco_stuff164k', tmp_path)
    for split in ('train2017', 'val2017'):
        (tmp_path / 'flat' / split).mkdir(parents=True)
        for path in raw.rglob(f'{split}/*'):
            path.rename(tmp_path / 'flat' / split / path.name)
    flat = convert('coco_stuff164k', tmp_path / 'flat', tmp_path / 'dst', settings=QUIET)
    assert flat.samples == {'train': 2, 'val': 1}


@pytest.mark.parametrize('name', ['coco_stuff10k', 'coco_stuff164k'])
def test_coco_stuff_id_without_class_is_named(name: str, tmp_path: Path) -> None:
    raw = copy(name, tmp_path)
    if name == 'coco_stuff10k':
        from scipy.io import savemat

        path = next(raw.rglob('*000000000077.mat'))
        savemat(path, {'S': np.full((48, 64), 12, np.uint16)})
    else:
        path = next(raw.rglob('000000000009.png'))
        save(path, np.full((48, 64), 11, np.uint8))
    with pytest.raises(DataError, match=rf'{path.name} holds the id 1[12], which no class'):
        convert(name, raw, tmp_path / 'dst', settings=QUIET)


def test_mapillary_of_version_two_and_as_cityscapes_classes(tmp_path: Path) -> None:
    raw = copy('mapillary', tmp_path)
    for split in ('training', 'validation'):
        (raw / split / 'v1.2').mkdir()
        (raw / split / 'labels').rename(raw / split / 'v1.2/labels')
    (raw / 'config.json').rename(raw / 'config_v1.2.json')
    own = convert('mapillary', raw, tmp_path / 'own', settings=QUIET)
    options = {'labels': 'cityscapes_trainids'}
    mapped = convert('mapillary', raw, tmp_path / 'mapped', options, settings=QUIET)
    assert (len(own.summary['classes']), len(mapped.summary['classes'])) == (66, 19)
    table = ids_to_trainids()
    ids = np.array([to_cityscapes_id(name) for name in own.summary['classes']])
    as_classes = labels(tmp_path / 'mapped')
    for name, values in labels(tmp_path / 'own').items():
        assert np.array_equal(table[ids[values]], as_classes[name])


def test_mapillary_with_the_labels_of_v2_alone_takes_them_and_says_so(tmp_path: Path) -> None:
    raw = copy('mapillary', tmp_path)
    expected = convert('mapillary', raw, tmp_path / 'own', settings=QUIET)
    for split in ('training', 'validation'):
        (raw / split / 'v2.0').mkdir()
        (raw / split / 'labels').rename(raw / split / 'v2.0/labels')
    (raw / 'config.json').rename(raw / 'config_v2.0.json')
    report = convert('mapillary', raw, tmp_path / 'dst', settings=QUIET)
    assert report.samples == expected.samples
    assert 'labels of v2.0 are taken' in report.notices[0]
    with pytest.raises(DataError, match='only labels of v1'):
        options = {'labels': 'cityscapes_ids'}
        convert('mapillary', raw, tmp_path / 'other', options, settings=QUIET)


@in_one_test(
    'readable, expected',
    [
        ('Traffic Light', 19),
        ('traffic-light', 19),
        ('Traffic Sign - Temporary (Back)', 20),
        ('Front Something', 20),
        ('Wheeled Rider', 25),
        ('Utility Pole', 17),
        ('Curb Cut', 8),
        ('Lane Marking - Dashed', 7),
        ('Guard Rail', 255),
        ('Ego Vehicle', 255),
    ],
)
def test_to_cityscapes_id_follows_the_first_rule_that_fits(readable: str, expected: int) -> None:
    assert to_cityscapes_id(readable) == expected


def test_celebamask_unknown_attribute_and_missing_masks_are_named(tmp_path: Path) -> None:
    raw = copy('celebamask_hq', tmp_path)
    masks = raw / 'CelebAMask-HQ/CelebAMask-HQ-mask-anno/0'
    shutil.copy(next(masks.glob('00000_*.png')), masks / '00000_beard.png')
    with pytest.raises(DataError, match=r'00000_beard\.png: .*beard'):
        convert('celebamask_hq', raw, tmp_path / 'dst', settings=QUIET)
    for path in masks.glob('00000_*.png'):
        path.unlink()
    with pytest.raises(DataError, match=r'0\.jpg .*CelebAMask-HQ-mask-anno/0'):
        convert('celebamask_hq', raw, tmp_path / 'dst', settings=QUIET)


def test_celebamask_mask_of_another_size_is_named(tmp_path: Path) -> None:
    raw = copy('celebamask_hq', tmp_path)
    path = sorted((raw / 'CelebAMask-HQ/CelebAMask-HQ-mask-anno/0').glob('00001_*.png'))[0]
    save(path, numbers(1, size=(8, 8)))
    with pytest.raises(DataError, match=r'00001_.* pixels, other masks'):
        convert('celebamask_hq', raw, tmp_path / 'dst', settings=QUIET)
