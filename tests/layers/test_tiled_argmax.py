"""layers/tiled_argmax.py and layers/bilinear_rows.py: the labels of the straightforward way."""

import random

import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test

from openseg_plugin.layers import tiled_argmax
from openseg_plugin.layers.tiled_argmax import (
    OutputGeometry,
    fast_argmax,
    label_map,
    resize_to_original,
    row_plan,
    sampled_probabilities,
    sampling_stride,
)

SIZES = [(1, 7), (5, 5), (7, 3), (33, 131), (64, 256), (97, 388), (131, 97)]


@in_one_test('align_corners', [False, True])
@in_one_test(('source', 'target'), SIZES)
def test_row_plan_of_any_heights_gives_the_bits_of_interpolate(source, target, align_corners):
    maps = torch.randn(7, source, 140)
    expected = F.interpolate(
        maps[None], (target, 140), mode='bilinear', align_corners=align_corners
    )[0]
    plan = row_plan(source, target, align_corners, 5)
    assert plan is not None
    start, stop = target // 3, target // 3 + max(1, target // 2)
    first, last = plan.needed(start, stop)
    rows = plan.rows(maps[:, first:last], start=start, stop=stop, offset=first)
    assert torch.equal(rows, expected[:, start:stop])


def random_geometry(number: random.Random) -> OutputGeometry:
    height, width = number.randint(30, 150), number.randint(100, 260)
    padding = number.choice([(0, 0, 0, 0), tuple(number.randint(0, 9) for _ in range(4))])
    output = number.choice([None, (number.randint(20, 160), number.randint(60, 260))])
    flip = number.choice([None, 'horizontal', 'vertical'])
    return OutputGeometry((height, width), padding, flip, output)


@in_one_test('align_corners', [False, True])
@in_one_test('classes', [2, 3, 4, 19, 300])
def test_label_map_of_random_geometries_differs_in_no_pixel(monkeypatch, align_corners, classes):
    number = random.Random(classes)
    in_strips = 0
    for _ in range(20):
        geometry = random_geometry(number)
        scores = torch.randn(1, classes, number.randint(2, 40), number.randint(2, 70))
        monkeypatch.setattr(tiled_argmax, 'STRIP_BYTES', number.choice([2**14, 2**18]))
        in_strips += (
            tiled_argmax.RowTiledResize.plan(scores, geometry, align_corners=align_corners)
            is not None
        )
        expected = resize_to_original(scores, geometry, align_corners=align_corners).argmax(1)
        labels = label_map(scores, geometry, align_corners=align_corners)
        assert torch.equal(labels, expected), geometry
    assert in_strips > 5


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_label_map_by_classes_differs_in_no_pixel(monkeypatch, dtype):
    monkeypatch.setattr(tiled_argmax, 'CHUNK_BYTES', {'cpu': 2**14})
    monkeypatch.setattr(tiled_argmax, 'row_plan', lambda *_: None)
    geometry = OutputGeometry((60, 90), (1, 2, 3, 4), 'horizontal', (71, 93))
    scores = torch.randn(2, 11, 9, 13).to(dtype)
    expected = resize_to_original(scores, geometry, align_corners=True).argmax(1)
    assert torch.equal(label_map(scores, geometry, align_corners=True), expected)


def test_label_map_of_channels_last_scores_is_that_of_contiguous_scores():
    scores = torch.randn(1, 8, 20, 40)
    geometry = OutputGeometry((80, 160))
    other = scores.to(memory_format=torch.channels_last)
    expected = label_map(scores, geometry, align_corners=False)
    assert torch.equal(label_map(other, geometry, align_corners=False), expected)


@in_one_test('classes', [1, 2, 255, 256, 257])
def test_fast_argmax_with_ties_takes_the_lower_class(classes):
    scores = torch.randint(0, 3, (classes, 6, 40)).float()
    assert torch.equal(fast_argmax(scores), scores.argmax(0))
    assert torch.equal(fast_argmax(torch.zeros(classes, 2, 2)), torch.zeros(2, 2).long())


def test_fast_argmax_with_nan_is_a_class():
    scores = torch.randn(5, 3, 4)
    scores[2, 1] = float('nan')
    assert torch.equal(fast_argmax(scores), scores.argmax(0))


def test_label_map_never_holds_the_full_size_scores(monkeypatch):
    held = []
    whole = tiled_argmax.fast_argmax

    def counted(scores):
        held.append(scores.numel())
        return whole(scores)

    monkeypatch.setattr(tiled_argmax, 'fast_argmax', counted)
    monkeypatch.setattr(tiled_argmax, 'STRIP_BYTES', 2**17)
    label_map(torch.randn(1, 19, 32, 64), OutputGeometry((256, 512)), align_corners=False)
    assert max(held) * 4 <= 2**17
    assert sum(held) == 19 * 256 * 512


@in_one_test('align_corners', [False, True])
@in_one_test(
    'geometry',
    [
        OutputGeometry((24, 40)),
        OutputGeometry((24, 40), padding=(3, 5, 2, 1)),
        OutputGeometry((24, 40), flip='horizontal'),
        OutputGeometry((24, 40), padding=(0, 1, 0, 7), flip='vertical'),
        OutputGeometry((6, 10), output_size=(25, 31)),
    ],
)
@in_one_test('classes', [1, 4])
def test_sampled_probabilities_are_those_of_the_full_map(geometry, align_corners, classes):
    torch.manual_seed(0)
    scores = torch.randn(1, classes, 6, 10)
    full = resize_to_original(scores, geometry, align_corners=align_corners)[0]
    full = full.sigmoid() if classes == 1 else full.softmax(0)
    sampled = sampled_probabilities(scores, geometry, align_corners=align_corners, stride=3)
    assert torch.allclose(sampled, full[:, ::3, ::3], atol=1e-5)


@pytest.mark.parametrize(('size', 'stride'), [((360, 480), 1), ((1024, 2048), 4), ((1, 1), 1)])
def test_large_images_are_sampled_more_thinly(size, stride):
    assert sampling_stride(size) == stride
