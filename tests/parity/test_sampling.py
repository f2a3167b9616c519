"""Which samples a pass consists of, and what auto-labels become, as in the original programs."""

import json
from pathlib import Path

import fixture_files
import numpy as np
import pytest
from in_one_test import in_one_test
from parity import catalog, stored

from openseg_plugin.converters.datasets.cityscapes_autolabelled import refine
from openseg_plugin.datasets.samplers import infinite
from openseg_plugin.datasets.samplers.class_uniform import tile_centroids, uniform_epoch


def read(family: str, name: str) -> stored.Stored:
    return stored.read(catalog.files()[family, name], family)


def cases_of(kind: str, entry: str) -> list:
    """(family, name, case) for what an entry of the meta lists."""
    return [
        pytest.param(*param.values, case, id=f'{param.id}/{case}')
        for param in catalog.params(kind)
        for case in read(*param.values).meta[entry]
    ]


def centroids_of(one: stored.Stored, tile: int) -> list[list]:
    """As the fixture lists them: per class [image, label, [x, y], class]."""
    table = np.arange(256, dtype=np.uint8)
    for raw, train in one.meta['id2trainid'].items():
        table[int(raw)] = train
    found: list[list] = [[] for _ in range(one.meta['num_classes'])]
    for number, names in enumerate(one.meta['images']):
        label = table[one.arrays[f'label_{number}']]
        rows = tile_centroids(label, tile=tile, num_classes=one.meta['num_classes'])
        for k, x, y in rows.tolist():
            found[k].append([*names, [x, y], k])
    return found


@in_one_test(('family', 'name', 'case'), cases_of('nvidia class_uniform', 'centroids'))
def test_centers_of_the_classes(family, name, case):
    one = read(family, name)
    if not case.startswith('tile'):  # notes on the original, no result
        assert case in ('pooled_equals_unpooled', 'build_centroids_with_CLASS_UNIFORM_TILE_32')
        return
    found = centroids_of(one, int(case.removeprefix('tile')))
    expected = one.meta['centroids'][case]
    assert {str(k): rows for k, rows in enumerate(found) if rows or str(k) in expected} == expected


@in_one_test(('family', 'name', 'case'), cases_of('nvidia class_uniform', 'epochs'))
def test_class_uniform_epoch(family, name, case):
    one = read(family, name)
    expected = one.meta['epochs'][case]
    places = centroids_of(one, one.meta['tile_size'])
    settings = dict(part.split('=', 1) for part in case.split(',', 1) if '=' in part)
    if 'class 3 without' in case:
        places[3] = []
    bias = settings.get('bias', 'None')
    images = one.meta['images'] * 5
    entries = uniform_epoch(
        len(images),
        [len(rows) for rows in places],
        fraction=float(settings['pct']),
        bias=None if bias == 'None' else json.loads(bias),
        generator=np.random.RandomState(one.meta['epoch_numpy_seed']),
    )
    assert len(entries) == expected['n']
    listed = images + [row for rows in places for row in rows]
    if 'entries' in expected:
        assert [listed[k] for k in entries] == expected['entries']


@in_one_test(('family', 'name', 'case'), cases_of('nvidia autolabel', 'stats'))
def test_auto_labels_are_refined(family, name, case):
    one = read(family, name)
    words = case.removeprefix('mask/').replace(',mask_out', ';mask_out')
    settings = dict(part.split('=') for part in words.replace(',dropout', ';dropout').split(';'))
    classes = settings['dropout']
    refined = refine(
        one.arrays['auto'],
        probability=one.arrays['prob'],
        min_probability=float(settings['prob']),
        coarse=one.arrays['gt_coarse'],
        union_classes=() if classes == 'None' else tuple(json.loads(classes)),
        mask_out=settings['mask_out'] == 'True',
    )
    counts = np.bincount(refined.ravel(), minlength=256)
    assert {str(k): int(counts[k]) for k in np.flatnonzero(counts)} == one.meta['stats'][case]
    if case in one.outputs:  # the larger part is stored as counts alone
        np.testing.assert_array_equal(refined, one.outputs[case])


def sampling_files() -> list[Path]:
    folders = fixture_files.fixture_dirs('paddleseg')
    return [path for folder in folders for path in sorted(folder.glob('autolabel_sampling*.json'))]


@pytest.mark.parametrize('path', sampling_files(), ids=lambda path: path.parent.parent.name)
def test_fine_and_coarse_epochs(path, monkeypatch):
    content = json.loads(path.read_text())
    monkeypatch.setattr(infinite, 'ConcatDataset', Joined)
    for case in content['cases']:
        args = dict(case['args'])
        fine = list(content['fine_train'])
        fine += content['fine_val'] if args.pop('add_val', False) else []
        ratio = args.pop('coarse_multiple', 1)
        assert not args, f'unknown arguments {args}'
        assert len(fine) == case['num_files']
        dataset = Joined(fine, content['coarse_sorted'])
        sampler = infinite.FineAndCoarseSampler(dataset, shuffle=False, seed=0, coarse_ratio=ratio)
        assert len(sampler) == case['len']
        for epoch, expected in enumerate(case['epochs']):
            assert [dataset.names[k] for k in sampler._entries(epoch)] == expected


class Joined:
    """Stands in for mmengine's ConcatDataset."""

    def __init__(self, *parts: list[str]) -> None:
        self.datasets = parts
        self.names = [name for part in parts for name in part]

    def __len__(self) -> int:
        return len(self.names)
