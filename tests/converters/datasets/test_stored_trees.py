"""Every stored raw tree becomes its stored expected trees, pixel by pixel.

``pytest tests/converters --fixtures DIR`` uses the trees of DIR alone; a name that no case knows,
or an expected tree that no case makes, is a failure.
"""

from pathlib import Path

import fixture_files
import numpy as np
import pytest
from PIL import Image
from stored_trees import CASES, Case, differences, file_differences

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.cityscapes_polygons import (
    draw_colours,
    draw_instances,
    draw_labels,
)

_OWN = Path(__file__).parents[2] / 'data' / 'converters'
_DRAWN = 'cityscapes_polygons'
_DRAWINGS = {
    'labelIds': lambda path: draw_labels(path, 'ids'),
    'labelTrainIds': lambda path: draw_labels(path, 'trainids'),
    'instanceIds': draw_instances,
    'color': draw_colours,
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
                params.append(pytest.param(tree, case, id=_name(tree, case.expected)))
    return params


def _name(tree: Path, part: str) -> str:
    return f'{tree.parent.parent.name}-{tree.name}-{part}'


def _polygon_files() -> list:
    found = [
        path for tree in _trees() if tree.name == _DRAWN for path in sorted(tree.glob('*.json'))
    ]
    return [pytest.param(path, id=_name(path.parent, path.stem)) for path in found]


@pytest.mark.parametrize('tree', _trees(), ids=lambda tree: _name(tree, ''))
def test_tree_of_any_name_has_cases_for_all_it_expects(tree: Path) -> None:
    if tree.name == _DRAWN:
        assert list(tree.glob('*_polygons.json')), f'{tree} has no polygon files'
        return
    assert tree.name in CASES, f'{tree}: no converter case knows this name'
    made = {Path(case.expected).parts[0] for case in CASES[tree.name]}
    expected = {path.name for path in tree.iterdir() if path.name.startswith('expected')}
    assert expected, f'{tree} expects nothing'
    assert expected <= made, f'{tree}: no case makes {sorted(expected - made)}'


@pytest.mark.parametrize('tree, case', _cases())
def test_convert_stored_raw_tree_gives_expected_tree(
    tree: Path, case: Case, tmp_path: Path
) -> None:
    settings = Settings(splits=case.splits, palette=case.palette, show_progress=False)
    report = convert(
        case.converter, tree / case.raw, tmp_path / 'dst', case.options, settings=settings
    )
    assert not report.failures
    assert differences(tree / case.expected, tmp_path / 'dst', case) == []


@pytest.mark.parametrize('path', _polygon_files())
def test_draw_stored_polygon_file_gives_all_four_maps(path: Path, tmp_path: Path) -> None:
    stem = path.name.removesuffix('polygons.json')
    drawn = {p.stem.removeprefix(stem): p for p in path.parent.glob(f'{stem}*.png')}
    assert drawn and drawn.keys() <= _DRAWINGS.keys()
    for kind, expected in drawn.items():
        values = _DRAWINGS[kind](path)
        with Image.open(expected) as picture:
            assert values.dtype == np.asarray(picture).astype(values.dtype).dtype
        Image.fromarray(values).save(tmp_path / 'got.png')
        assert file_differences(expected, tmp_path / 'got.png') == [], kind
