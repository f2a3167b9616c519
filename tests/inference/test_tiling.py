"""inference/tiling.py: no seams, the whole image's labels, memory."""

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from toy_segmentor import toy_segmentor

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference import tiling
from openseg_plugin.inference.segmenter import Segmenter

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]


def segmenter(model=None, *, classes=5, **options):
    return Segmenter(
        model or toy_segmentor(),
        PIPELINE,
        classes=[str(k) for k in range(classes)],
        palette=[[k, k, k] for k in range(classes)],
        **options,
    )


def waves(height, width):
    """Smooth waves, (height, width, 3) uint8."""
    y, x = np.mgrid[:height, :width] / 37
    planes = [np.sin(x + y), np.cos(1.3 * y), np.sin(0.7 * x - y)]
    return ((np.stack(planes, -1) + 1) * 127).astype(np.uint8)


@in_one_test('overlap', [0, 32, 64])
@in_one_test('size', [(128, 128), (130, 300), (333, 257), (100, 90)])
def test_blending_gives_a_known_function_everywhere(size, overlap):
    y, x = torch.meshgrid(*(torch.arange(side).float() for side in size), indexing='ij')
    known = torch.stack([torch.sin(x / 9), torch.cos(y / 7), x * y / 1e4])
    found = torch.full((3, *size), float('nan'))

    def finish(first, last, scores):
        assert found[:, first:last].isnan().all(), 'every row comes once'
        found[:, first:last] = scores

    tiles = tiling.Tiling((128, 128), overlap)
    tiling.blend(lambda t, b, left, r: known[:, t:b, left:r], size, tiles, finish)
    torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-4)


def test_errors_at_the_borders_of_tiles_leave_no_seam():
    size, reach = (200, 420), 8
    y, x = torch.meshgrid(*(torch.arange(side).float() for side in size), indexing='ij')
    known = torch.stack([torch.sin(x / 40), torch.cos(y / 40)])
    found = torch.zeros(2, *size)

    def predict(top, bottom, left, right):
        part = known[:, top:bottom, left:right].clone()
        part[:, :, :reach] += 5 * (left > 0)  # what a network without surroundings might say
        part[:, :, -reach:] -= 5 * (right < size[1])
        return part

    def finish(first, last, scores):
        found[:, first:last] = scores

    tiling.blend(predict, size, tiling.Tiling((128, 128), 64), finish)
    assert (found - known).abs().max() < 1e-3


def test_tiles_of_a_network_give_the_labels_of_the_whole_image():
    image = waves(192, 320)
    whole = segmenter(tile='off').predict(image)
    tiled = segmenter(tile=(128, 128), overlap=64).predict(image)
    assert len(np.unique(whole.labels)) > 2
    assert (tiled.labels == whole.labels).mean() > 0.999
    fits = segmenter(tile=(512, 512)).predict(image)
    assert np.array_equal(fits.labels, whole.labels)
    assert np.array_equal(segmenter(tile='auto').predict(image).labels, whole.labels)
    with pytest.raises(ConfigError, match='--tile off'):
        tiled.probabilities()


def test_memory_that_runs_out_halves_the_tiles_once(monkeypatch, capsys):
    model = toy_segmentor()
    image = waves(256, 256)
    expected = segmenter(model, tile='off').predict(image).labels
    step, seen = model.test_step, []

    def small_memory(data):
        size = tuple(data['inputs'][0].shape[1:])
        seen.append(size)
        if size[0] * size[1] > 128 * 128:
            raise torch.OutOfMemoryError('out of memory')
        return step(data)

    monkeypatch.setattr(model, 'test_step', small_memory)
    labels = segmenter(model, overlap=32).predict(image).labels
    assert (labels == expected).mean() > 0.99
    assert seen[0] == (256, 256) and max(seen[1:]) == (128, 128)
    assert 'out of memory, goes on in tiles of 128x128' in capsys.readouterr().err
    with pytest.raises(torch.OutOfMemoryError):
        segmenter(model, tile='off').predict(image)


def test_large_images_get_tiles_by_the_memory_that_is_free(monkeypatch):
    model = toy_segmentor()
    per_pixel = tiling.bytes_per_pixel(model, channels=3)
    assert 4 < per_pixel < 2000
    monkeypatch.setattr(tiling, 'free_memory', lambda device: int(2 * 1000 * 1000 * per_pixel))
    assert tiling.automatic(model, (1024, 2048), channels=3) is None
    assert tiling.automatic(model, (10000, 10000), channels=3) == (992, 992)


@pytest.mark.parametrize(('text', 'expected'), [('auto', 'auto'), ('1000x512', (1024, 512))])
def test_tile_is_rounded_to_the_grid(text, expected):
    assert tiling.parse_tile(text) == expected


def test_tiles_of_a_model_that_resizes_are_refused():
    pipeline = [PIPELINE[0], dict(type='openseg_plugin.ShortSideResize', length=64), PIPELINE[1]]
    with pytest.raises(ConfigError, match='--tile'):
        Segmenter(toy_segmentor(), pipeline, classes='ab', palette=[[0] * 3] * 2, tile=(64, 64))
