"""NVIDIA's treatment of automatic labels, and its boundary F-scores."""

import re

import numpy as np
import pytest
from parity import catalog, stored

from openseg_plugin.converters.datasets.cityscapes_autolabelled import refine
from openseg_plugin.evaluation.boundary import boundary_f_scores, boundary_radius


def settings(name: str) -> dict:
    """Arguments of ``refine`` for 'mask/prob=0.5,dropout=[14, 15, 16],mask_out=True'."""
    found = re.fullmatch(r'mask/prob=([\d.]+),dropout=(None|\[.*\]),mask_out=(\w+)', name)
    classes = tuple(int(number) for number in re.findall(r'\d+', found.group(2)))
    return dict(
        min_probability=float(found.group(1)),
        union_classes=classes,
        mask_out=found.group(3) == 'True',
    )


@pytest.mark.parametrize(('family', 'name'), catalog.params('nvidia autolabel'))
def test_nvidia_automatic_labels(family, name):
    fixture = stored.read(catalog.files()[family, name], family)
    assert fixture.meta['stats']
    arrays = fixture.arrays
    for case, counts in fixture.meta['stats'].items():
        found = refine(
            arrays['auto'], probability=arrays['prob'], coarse=arrays['gt_coarse'], **settings(case)
        )
        values, numbers = np.unique(found, return_counts=True)
        assert dict(zip(map(str, values), map(int, numbers))) == counts, case
        if case in fixture.outputs:
            assert np.array_equal(found, fixture.outputs[case]), case


@pytest.mark.parametrize(('family', 'name'), catalog.params('nvidia f_boundary'))
def test_nvidia_boundary_f_scores(family, name):
    fixture = stored.read(catalog.files()[family, name], family)
    classes = int(re.search(r'(\d+) classes', fixture.meta['prediction']).group(1))
    assert fixture.meta['results']
    for case, expected in fixture.meta['results'].items():
        image, shift, threshold = case.split('/')
        label = fixture.arrays[f'gt_{image}']
        steps = tuple(int(step) for step in shift.removeprefix('shift=').split(','))
        prediction = np.roll(label, steps, (0, 1))
        prediction = np.where(prediction == classes, 0, prediction)
        radius = boundary_radius(float(threshold.removeprefix('th=')), label.shape)
        scores = boundary_f_scores(prediction, label, classes, radius=radius, ignore_index=classes)
        assert scores[:, 2] == pytest.approx(expected['F'], rel=1e-9), case
        assert scores[:, 0] == pytest.approx(expected['precision'], rel=1e-9), case
