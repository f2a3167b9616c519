"""inference/segmenter.py: images in memory, streams, devices, and the Python of the docs."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from doc_pages import blocks, pages
from PIL import Image
from predictions import own_checkpoint
from toy_run import environment

import openseg_plugin
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.inference import segmenter
from openseg_plugin.inference.video import VideoWriter


def test_arrays_pil_images_tensors_and_paths_give_the_same_labels(toy):
    config, weights, images = toy
    model = openseg_plugin.load(str(config), str(weights), device='cpu')
    path = images / '00.png'
    expected = model.predict(path)
    rgb = np.asarray(Image.open(path).convert('RGB'))
    for given in (str(path), Image.open(path), rgb, torch.from_numpy(rgb.copy()).permute(2, 0, 1)):
        assert np.array_equal(model.predict(given).labels, expected.labels)
    assert np.array_equal(model.predict(rgb[..., ::-1], bgr=True).labels, expected.labels)
    assert np.array_equal(expected.image, rgb)
    assert sum(expected.area(name) for name in expected.classes) == expected.labels.size
    assert expected.overlay(0).tolist() == rgb.tolist()
    with pytest.raises(ConfigError, match='dark, middle, bright'):
        expected.area('road')
    with pytest.raises(ConfigError, match='no image'):
        model.predict([1, 2])


def test_an_image_in_memory_gives_the_labels_of_its_file(toy, tmp_path):
    """Whatever a file holds: gray, alpha, a palette, 16 bit, EXIF data."""
    config, weights, images = toy
    model = openseg_plugin.load(str(config), str(weights), device='cpu')
    image = Image.open(images / '00.png').convert('RGB')
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {name: tmp_path / name for name in ('gray.png', 'alpha.png', 'palette.png', 'bit.png')}
    for path, mode in zip(files.values(), ('L', 'RGBA', 'P', '1')):
        image.convert(mode).save(path)
    files['turned.png'] = tmp_path / 'turned.png'
    image.save(files['turned.png'], exif=exif)
    for name, path in files.items():
        expected = model.predict(path).labels
        assert np.array_equal(model.predict(Image.open(path)).labels, expected), name
        if name in ('gray.png', 'alpha.png', 'bit.png'):
            assert np.array_equal(model.predict(np.asarray(Image.open(path))).labels, expected)
    deep = tmp_path / 'deep.png'
    values = np.asarray(image).astype(np.uint16) * 256 + 77
    cv2.imwrite(str(deep), values[..., ::-1])
    assert np.array_equal(model.predict(values).labels, model.predict(deep).labels)
    assert np.array_equal(model.predict(deep).labels, model.predict(image).labels)


def test_images_in_memory_that_the_model_cannot_know_are_refused(toy):
    config, weights, images = toy
    model = openseg_plugin.load(str(config), str(weights), device='cpu')
    rgb = np.asarray(Image.open(images / '00.png').convert('RGB'))
    for image, match in (
        (rgb / 255, '255 times'),
        (torch.from_numpy(rgb / 255).permute(2, 0, 1), '255 times'),
        (np.zeros((36, 48, 5), np.uint8), '5 channels'),
        (rgb.transpose(2, 0, 1), '48 channels'),
        (torch.zeros(1, 3, 36, 48), 'of shape'),
        (None, 'NoneType is no image'),
    ):
        with pytest.raises(ConfigError, match=match):
            model.predict(image)


def test_python_of_the_documentation_runs_as_it_is_written(toy, tmp_path, monkeypatch):
    pytest.importorskip('av')
    own = own_checkpoint(toy, tmp_path / 'hrnet48_ocr.pth')
    content = read_checkpoint(str(own))
    content['meta']['dataset_meta'] = dict(classes=['road', 'middle', 'bright'])
    torch.save(content, own)
    image = Image.open(toy[2] / '00.png').convert('RGB')
    image.save(tmp_path / 'street.jpg')
    with VideoWriter(tmp_path / 'video.mp4', Fraction(25)) as writer:
        for _ in range(3):
            writer.write(np.asarray(image))
    page = next(page for page in pages() if page.name == 'predict.md')
    block = next(one for one in blocks(page) if 'model.stream' in one.text)
    code = block.text
    if not torch.cuda.is_available():
        code = code.replace("device='cuda'", "device='cpu'")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    seg, model = names['seg'], names['model']
    assert (seg.frame, seg.labels.shape, seg.labels.dtype) == (2, (36, 48), np.uint8)
    assert seg.classes == model.classes == ['road', 'middle', 'bright']
    assert seg.palette.shape == (3, 3) and Image.open('out.png').size == (48, 36)
    assert (seg.probabilities().shape, seg.probabilities().dtype) == ((3, 36, 48), np.float32)
    assert seg.confidence().shape == (36, 48)
    assert seg.overlay(alpha=0.5).shape == seg.colored().shape == (36, 48, 3)
    assert seg.area('road') == (seg.labels == 0).sum()
    assert sum(shape.area for shape in seg.polygons(0)) > 0


def test_stream_gives_images_in_order_and_keeps_none(toy, tmp_path):
    config, weights, images = toy
    model = openseg_plugin.load(str(config), str(weights))
    results = model.stream(images)
    names = [Path(seg.path).name for seg in results]
    assert names == ['00.png', '01.png', '02.png']
    listed = list(model.stream([str(images / '02.png'), Image.open(images / '00.png')]))
    assert [seg.path and Path(seg.path).name for seg in listed] == ['02.png', None]
    (single,) = model.stream(np.asarray(Image.open(images / '00.png').convert('RGB')))
    assert np.array_equal(single.labels, listed[1].labels)


def test_stream_reads_ahead_over_a_list_and_predicts_batches_as_single_images(
    toy, tmp_path, monkeypatch
):
    config, weights, images = toy
    model = openseg_plugin.load(config, weights, device='cpu', tile='512x512')
    files = sorted(images.iterdir())
    Image.open(files[0]).resize((40, 30)).save(tmp_path / 'small.png')
    array = np.asarray(Image.open(files[1]).convert('RGB'))
    given = [*files, array, tmp_path / 'small.png', files[0]]
    expected = [model.predict(one) for one in given]
    steps: list[int] = []
    predict_batch, seen = model.model.test_step, []
    monkeypatch.setattr(
        model.model,
        'test_step',
        lambda batch: steps.append(len(batch['inputs'])) or predict_batch(batch),
    )
    find = segmenter.find_sources
    monkeypatch.setattr(segmenter, 'find_sources', lambda *a, **k: seen.append(a) or find(*a, **k))
    results = model.stream(given, batch_size=3)
    found = [next(results)]
    assert len(seen) >= 3, 'the next elements are read while the first is predicted'
    found += results
    assert steps == [3, 1, 1, 1]
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.labels, other.labels) and one.path == other.path
        assert np.allclose(one.probabilities(), other.probabilities(), atol=1e-5)
        assert np.array_equal(one.image, other.image)
    results = model.stream([files[0], tmp_path / 'no.png'], batch_size=4)
    assert np.array_equal(next(results).labels, expected[0].labels)
    with pytest.raises(DataError, match=r'no.png does not exist'):
        next(results)


def test_a_gpu_takes_images_together_and_half_as_many_after_its_memory_was_full(toy, monkeypatch):
    config, weights, _ = toy
    model = openseg_plugin.load(str(config), str(weights), device='cpu')
    images = [np.zeros((24, 32, 3), np.uint8)] * 4
    assert model.together == 1
    of_one = model._samples

    def full(found, paths):
        if len(found) > 2:
            raise torch.OutOfMemoryError
        return of_one(found, paths)

    monkeypatch.setattr(model, '_samples', full)
    assert len(model.segment_together(images)) == 4
    model.model.to('meta')
    assert model.together == 2
    model.refine = print
    assert model.together == 1


def test_devices_that_are_not_there_and_tiles_that_cannot_be_are_refused_at_once(toy):
    config, weights, _ = toy
    for options, match in (
        (dict(device='gpu'), '--device gpu cannot be used on this machine, which has cpu'),
        (dict(device='cuda:99'), '--device cuda:99 cannot be used'),
        (dict(tile='7'), '--tile 7'),
    ):
        with pytest.raises(ConfigError, match=match):
            openseg_plugin.load(config, weights, **options)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        'import sys, openseg_plugin as p; p.load; '
        "print([m for m in ('torch', 'mmengine', 'mmseg', 'cv2', 'numpy') if m in sys.modules])"
    )
    run_code = subprocess.run(
        [sys.executable, '-c', code], env=environment(), capture_output=True, text=True, check=True
    )
    assert run_code.stdout.strip() == '[]'
