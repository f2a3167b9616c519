"""inference/tiling.py: no seams, the whole image's labels, memory."""

import itertools

import cv2
import numpy as np
import pytest
import tifffile
import torch
from in_one_test import in_one_test
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from toy_segmentor import segmentor_config, toy_segmentor

from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.inference import sources, tiling
from openseg_plugin.inference.multi_scale_flip import MultiScaleFlip
from openseg_plugin.inference.segmenter import Segmenter
from openseg_plugin.registry import MODELS
from openseg_plugin.utils.live_tensors import live_peak

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

    def finish(rows, columns, scores):
        assert found[:, rows, columns].isnan().all(), 'every pixel comes once'
        found[:, rows, columns] = scores

    tiles = tiling.Tiling((128, 128), overlap)
    tiling.blend(lambda t, b, left, r: known[:, t:b, left:r], size, tiles, finish)
    torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-4)


def test_tiles_cover_a_side_and_share_what_they_should():
    for side in range(1, 3000, 7):
        for tile, overlap in ((128, 0), (128, 32), (128, 64), (992, 96)):
            found = tiling.starts(side, tile, overlap)
            assert found[0] == 0 and all(start % 32 == 0 for start in found)
            assert found[-1] + tile >= side and found[-1] < side
            steps = [after - before for before, after in itertools.pairwise(found)]
            assert all(0 < step <= tile - overlap for step in steps)
            assert max(steps, default=0) - min(steps, default=0) <= 32


def test_blending_keeps_a_tile_and_its_overlaps_however_large_the_image_is():
    def peak(size):
        def predict(top, bottom, left, right):
            return torch.ones(9, bottom - top, right - left)

        return live_peak(
            lambda: tiling.blend(predict, size, tiling.Tiling((128, 128), 32), lambda *_: None)
        )

    tile, column = 4 * 9 * 128 * 128, 4 * 10 * 32  # bytes; column: of what two rows share
    assert peak((512, 512)) < 3 * tile + 2 * column * 512
    assert peak((512, 4096)) - peak((512, 512)) < 2.1 * column * (4096 - 512)
    assert peak((4096, 512)) < 1.3 * peak((512, 512))


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

    def finish(rows, columns, scores):
        found[:, rows, columns] = scores

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


def test_tiles_of_a_cascade_of_one_channel_ask_its_last_head_for_the_threshold():
    config = segmentor_config('mmseg.CascadeEncoderDecoder', num_classes=2, out_channels=1)
    last = dict(config['decode_head'], type='mmseg.OCRHead', ocr_channels=4, threshold=0.52)
    last.pop('num_convs'), last.pop('concat_input')
    config.update(num_stages=2, decode_head=[config['decode_head'], last])
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MultiScaleFlip(MODELS.build(ConfigDict(config)).eval(), flip=False)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='openseg_plugin.MultiScaleViews', ratios=(1.0,)),
        dict(type='openseg_plugin.PackMultiScaleInputs'),
    ]
    image = waves(192, 320)
    whole, tiled = (
        Segmenter(model, pipeline, classes=['no', 'yes'], palette=[[0] * 3, [1] * 3], **options)
        for options in (dict(tile='off'), dict(tile=(128, 128), overlap=64))
    )
    labels = whole.predict(image).labels
    assert 0.05 < labels.mean() < 0.4
    # the head sees the regions of a tile; with 0.5 for a threshold 0.57 would agree
    assert (tiled.predict(image).labels == labels).mean() > 0.85


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
    with pytest.raises(DataError, match=r'not enough for 256x256 pixels: .* --tile auto'):
        segmenter(model, tile='off').predict(image)


def test_memory_that_is_not_enough_for_half_of_a_tile_costs_a_sentence(monkeypatch):
    model = toy_segmentor()

    def no_memory(data):
        raise torch.OutOfMemoryError('out of memory')

    monkeypatch.setattr(model, 'test_step', no_memory)
    with pytest.raises(DataError, match=r'128x128 .* --tile HxW, or another --device'):
        segmenter(model, overlap=32).predict(waves(256, 256))


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


TIFFS = {
    'as it is': dict(),
    'strips': dict(compression='zlib', rowsperstrip=24),
    'tiles': dict(compression='zlib', predictor=True, tile=(64, 80)),
    'big-endian': dict(compression='zlib', byteorder='>', rowsperstrip=24),
    'planes': dict(compression='zlib', planarconfig='separate', tile=(64, 64)),
}


@in_one_test('kind', TIFFS)
def test_windows_of_a_tiff_are_parts_of_what_opencv_reads(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(sources, 'ALWAYS_WHOLE', 100)
    image, path = waves(192, 320), tmp_path / f'{kind}.tif'
    stored = image.transpose(2, 0, 1) if kind == 'planes' else image
    tifffile.imwrite(path, stored, photometric='rgb', **TIFFS[kind])
    windows = sources.TiffWindows.of(str(path), lambda: cv2.imread(str(path)), is_bgr=True)
    assert windows.shape == (192, 320, 3)
    expected = cv2.imread(str(path))
    for rows, columns in ((slice(0, 192), slice(0, 320)), (slice(50, 131), slice(60, 300))):
        assert np.array_equal(windows[rows, columns], expected[rows, columns])
    assert np.array_equal(np.asarray(windows), expected)


@in_one_test('planes', ['contig', 'separate'])
def test_windows_of_many_bands_are_parts_of_the_file(tmp_path, monkeypatch, planes):
    monkeypatch.setattr(sources, 'ALWAYS_WHOLE', 100)
    image = np.random.default_rng(0).integers(0, 2**16, (96, 130, 5), np.uint16)
    stored = image if planes == 'contig' else image.transpose(2, 0, 1)
    path = tmp_path / f'{planes}.tif'
    options = dict(photometric='minisblack', planarconfig=planes, compression='zlib')
    tifffile.imwrite(path, stored, tile=(32, 48), **options)
    windows = sources.read_tiff(str(path))
    assert isinstance(windows, sources.TiffWindows)
    assert (windows.shape, windows.dtype) == (image.shape, image.dtype)
    assert np.array_equal(windows[20:70, 40:120], image[20:70, 40:120])
    assert np.array_equal(np.asarray(windows), image)


def test_bands_that_are_pages_are_read_all(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, 'ALWAYS_WHOLE', 100)
    image = np.random.default_rng(0).integers(0, 2**16, (96, 130, 5), np.uint16)
    path = tmp_path / 'pages.tif'
    options = dict(photometric='minisblack', compression='zlib', tile=(32, 48))
    tifffile.imwrite(path, image.transpose(2, 0, 1), **options)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 5 and len(file.series) == 1
    assert np.array_equal(sources.read_tiff(str(path)), image)


def test_files_that_windows_would_change_are_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, 'ALWAYS_WHOLE', 100)
    image, path = waves(96, 130), tmp_path / 'image.tif'
    turned = [(274, 'H', 1, 6, True)]
    alpha = np.dstack([image, image[..., :1]])
    for given, options in (
        (image, dict(extratags=turned)),
        (alpha, dict(extrasamples=['unassalpha'])),
        (image.astype(np.uint16), {}),
    ):
        tifffile.imwrite(path, given, photometric='rgb', compression='zlib', **options)
        assert sources.TiffWindows.of(str(path), lambda: image, is_bgr=True) is None
    # luminance and chroma that no decoder turns to colors
    extra = [(530, 'H', 2, (1, 1), True)]
    tifffile.imwrite(path, image, photometric='ycbcr', compression='zlib', extratags=extra)
    assert sources.TiffWindows.of(str(path), lambda: image, is_bgr=True) is None


def test_a_large_tiff_is_never_in_memory_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, 'ALWAYS_WHOLE', 100)
    path = tmp_path / 'image.tif'
    tifffile.imwrite(path, waves(192, 320), photometric='rgb', compression='zlib', tile=(64, 64))
    whole = segmenter(tile='off').predict(path).labels
    by_windows = segmenter(tile=(128, 128), overlap=64)

    def refuse(path):
        raise AssertionError('the whole image was asked for')

    monkeypatch.setattr(by_windows, '_decode', refuse)
    labels = by_windows.predict(path).labels
    assert (labels == whole).mean() > 0.999


def test_a_tile_of_a_tiff_that_is_broken_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, 'ALWAYS_WHOLE', 100)
    path = tmp_path / 'image.tif'
    tifffile.imwrite(path, waves(192, 320), photometric='rgb', compression='zlib', tile=(64, 64))
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[place : place + 20] = b'x' * 20
    path.write_bytes(content)
    with pytest.raises(DataError, match=r'image\.tif cannot be decoded'):
        segmenter(tile=(128, 128)).predict(path)
