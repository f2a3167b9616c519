"""Every stored raw tree becomes its stored expected trees, pixel by pixel.

``pytest tests/converters --fixture-dir DIR`` uses the trees of DIR alone; a name that no case
knows, or an expected tree that no case makes, is a failure.
"""

import json
from pathlib import Path

import fixture_files
import numpy as np
import pytest
from in_one_test import in_one_test
from PIL import Image
from stored_trees import CASES, Case, differences, file_differences, splits_of

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.cityscapes import draw_colors, draw_instances, draw_labels
from openseg_plugin.converters.datasets.mapillary import read_config, to_cityscapes_id
from openseg_plugin.datasets import classes

_OWN = Path(__file__).parents[2] / 'data' / 'converters'
_DRAWN = 'cityscapes_polygons'
_DRAWINGS = {
    'labelIds': lambda path: draw_labels(path, 'ids'),
    'labelTrainIds': lambda path: draw_labels(path, 'trainids'),
    'instanceIds': draw_instances,
    'color': draw_colors,
}


def _roots() -> list[Path]:
    roots = fixture_files.fixture_dirs('converters')
    return roots if fixture_files.is_given() else [_OWN, *roots]


def _trees() -> list[Path]:
    """Folders with a stored tree; a folder that is one itself counts."""
    found = []
    for root in _roots():
        if (root / 'raw').is_dir() or root.name == _DRAWN:
            found.append(root)
        else:
            found += [path for path in sorted(root.iterdir()) if path.is_dir()]
    return found


def _cases() -> list:
    params = []
    for tree in _trees():
        for case in CASES.get(tree.name, []):
            if (tree / case.expected).is_dir():
                params.append(
                    pytest.param(
                        tree, case, id=_name(tree, case.expected, *map(str, case.options.values()))
                    )
                )
    return params


def _name(tree: Path, *parts: str) -> str:
    return '-'.join((tree.parent.parent.name, tree.name, *parts))


def _polygon_files() -> list:
    found = [
        path for tree in _trees() if tree.name == _DRAWN for path in sorted(tree.glob('*.json'))
    ]
    return [pytest.param(path, id=_name(path.parent, path.stem)) for path in found]


def test_given_folder_holds_trees() -> None:
    if _roots():
        assert _trees(), f'no stored trees in {", ".join(map(str, _roots()))}'


@in_one_test('tree', _trees(), ids=lambda tree: _name(tree))
def test_tree_of_any_name_has_cases_for_all_it_expects(tree: Path) -> None:
    if tree.name == _DRAWN:
        assert list(tree.glob('*_polygons.json')), f'{tree} has no polygon files'
        return
    assert tree.name in CASES, f'{tree}: no converter case knows this name'
    made = {Path(case.expected).parts[0] for case in CASES[tree.name]}
    expected = {path.name for path in tree.iterdir() if path.name.startswith('expected')}
    assert expected, f'{tree} expects nothing'
    assert expected <= made, f'{tree}: no case makes {sorted(expected - made)}'


@in_one_test('tree, case', _cases())
def test_convert_stored_raw_tree_gives_expected_tree(
    tree: Path, case: Case, tmp_path: Path
) -> None:
    splits = splits_of(tree / case.expected, case)
    settings = Settings(splits=splits, palette=case.palette, show_progress=False)
    report = convert(
        case.converter, tree / case.raw, tmp_path / 'dst', case.options, settings=settings
    )
    assert not report.failures
    assert differences(tree / case.expected, tmp_path / 'dst', case) == []


@in_one_test('path', _polygon_files())
def test_draw_stored_polygon_file_gives_all_four_maps(path: Path, tmp_path: Path) -> None:
    stem = path.name.removesuffix('polygons.json')
    drawn = {p.stem.removeprefix(stem): p for p in path.parent.glob(f'{stem}*.png')}
    assert drawn and drawn.keys() <= _DRAWINGS.keys()
    for kind, expected in drawn.items():
        values = _DRAWINGS[kind](path)
        with Image.open(expected) as image:
            assert values.dtype == np.asarray(image).astype(values.dtype).dtype
        Image.fromarray(values).save(tmp_path / 'got.png')
        assert file_differences(expected, tmp_path / 'got.png') == [], kind


def _beside(name: str) -> list:
    """Files that a stored tree keeps beside its raw data."""
    files = [(tree, tree / name) for tree in _trees()]
    return [pytest.param(t, p, id=_name(t)) for t, p in files if p.is_file()]


@pytest.mark.parametrize('tree, path', _beside('split.json'))
def test_convert_celebamask_gives_stored_order(tree: Path, path: Path, tmp_path: Path) -> None:
    convert('celebamask_hq', tree / 'raw', tmp_path, settings=Settings(show_progress=False))
    assert json.loads((tmp_path / 'split.json').read_text()) == json.loads(path.read_text())


@pytest.mark.parametrize('tree, path', _beside('mapping.json'))
def test_atr_table_equals_stored_mapping(tree: Path, path: Path) -> None:
    stored = json.loads(path.read_text())
    assert list(classes.ATR_CLASSES) == stored['atr_classes']
    assert list(classes.ATR_TO_LIP) == stored['atr_to_lip']


@pytest.mark.parametrize('tree, path', _beside('mapping_to_cityscapes.json'))
def test_mapillary_rules_give_stored_mapping(tree: Path, path: Path) -> None:
    labels = read_config(tree / 'raw' / 'config.json')
    stored = json.loads(path.read_text())
    assert [row['name'] for row in stored] == [label['name'] for label in labels]
    assert [row['cityscapes_label_id'] for row in stored] == [
        to_cityscapes_id(label['readable']) for label in labels
    ]


@pytest.mark.parametrize('tree, path', _beside('classes.json'))
def test_convert_coco_polygons_numbers_classes_as_stored(
    tree: Path, path: Path, tmp_path: Path
) -> None:
    report = convert('coco_polygons', tree / 'raw', tmp_path, settings=Settings(workers=1))
    numbers = {name: k for k, name in enumerate(report.summary['classes']) if k}
    assert numbers == json.loads(path.read_text())


@pytest.mark.parametrize(
    'path',
    [
        pytest.param(p, id=str(p.parent))
        for p in (r / 'classes.json' for r in _roots())
        if p.is_file() and p.parent not in _trees()  # a tree has a list of its own classes
    ],
)
def test_constants_equal_stored_class_lists(path: Path) -> None:
    stored = json.loads(path.read_text())
    ours = {
        'cityscapes': (classes.CITYSCAPES_CLASSES, classes.CITYSCAPES_PALETTE),
        'pascal_context_59': (classes.PASCAL_CONTEXT_CLASSES, classes.PASCAL_CONTEXT_PALETTE),
        'lip': (classes.LIP_CLASSES, classes.HUMAN_PARTS_PALETTE),
        'cihp': (classes.CIHP_CLASSES, classes.HUMAN_PARTS_PALETTE),
        'ade20k': (classes.ADE20K_CLASSES, classes.ADE20K_PALETTE),
        'coco_stuff': (classes.COCO_STUFF_CLASSES, classes.COCO_STUFF_PALETTE),
        'pascal_voc': (classes.VOC_CLASSES, classes.VOC_PALETTE),
        'mapillary_v1': (classes.MAPILLARY_CLASSES, classes.MAPILLARY_PALETTE),
        'celebamask_hq': (classes.CELEBAMASK_CLASSES, classes.CELEBAMASK_PALETTE),
    }
    for name in sorted(ours.keys() & stored.keys()):
        names, palette = ours[name]
        assert list(names) == [c.strip() for c in stored[name]['classes']], name
        assert [list(color) for color in palette] == stored[name]['palette'], name
    assert list(classes.PASCAL_CONTEXT_IDS_459) == stored['pascal_context_59']['ids_in_459']
    assert (
        list(classes.PASCAL_CONTEXT_IDS_59_LABELS)
        == stored['pascal_context_59']['ids_in_59_labels_txt']
    )
    assert list(classes.COCO_STUFF_IDS_10K) == stored['coco_stuff']['ids_10k']
    rows = [
        (r['name'], r['id'], r['trainId'], r['hasInstances'], tuple(r['color']))
        for r in stored['cityscapes_labels']
    ]
    assert [tuple(label) for label in classes.CITYSCAPES_LABELS] == rows
    ids = [to_cityscapes_id(name) for name in classes.MAPILLARY_CLASSES]
    assert ids == stored['mapillary_v1']['to_cityscapes_label_id']
