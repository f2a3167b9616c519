"""openseg predict and openseg_plugin.load: the labels of a test, files, sources, mistakes."""

import errno
import functools
import http.server
import io
import json
import resource
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import published_ocr
import pytest
import tifffile
import torch
from doc_pages import blocks, pages
from in_one_test import in_one_test
from mmengine.config import Config
from PIL import Image
from toy_run import environment
from toy_test_set import write_test_set

import openseg_plugin
from openseg_plugin.cli.convert_dataset import main as convert
from openseg_plugin.cli.main import main as openseg
from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main
from openseg_plugin.cli.test import main as run_test
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.converters.checkpoints.stored_config import STORED_CONFIG, as_data
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.inference import models, segmenter
from openseg_plugin.inference.models import resolve
from openseg_plugin.inference.sources import find_sources
from openseg_plugin.inference.video import VideoWriter
from openseg_plugin.model_zoo.entries import entries
from openseg_plugin.segfix.offset_files import offset_bytes

SLIDE = [
    'model.test_cfg.mode=slide',
    'model.test_cfg.crop_size=(24,32)',
    'model.test_cfg.stride=(12,16)',
]


SLIDE_CFG = dict(mode='slide', crop_size=(24, 32), stride=(12, 16))


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """Config, checkpoint and images of a random network."""
    folder = tmp_path_factory.mktemp('toy')
    config, weights = write_test_set(folder, number=3)
    return config, weights, folder / 'data/val/image'


def own_checkpoint(toy, path: Path, *, hook: str = 'HookOfSomebody') -> Path:
    """A checkpoint with its config inside, as trainings write them."""
    config, weights, _ = toy
    content = read_checkpoint(str(weights))
    data = as_data(Config.fromfile(config).to_dict())
    data['custom_hooks'] = [{'type': hook}]  # which a prediction does not need
    content['meta'][STORED_CONFIG] = data
    torch.save(content, path)
    return path


def predict(*arguments: object) -> int:
    return run(main, [str(argument) for argument in arguments])


def labels_in(folder: Path) -> dict[str, np.ndarray]:
    return {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path))
        for path in sorted(folder.rglob('*.png'))
    }


@pytest.mark.parametrize(
    'options',
    [
        [],
        ['--aug-test'],
        ['--aug-test', '--scales', '1', '0.75', '--no-flip'],
        ['--cfg-options', *SLIDE],
    ],
    ids=['whole', 'aug-test', 'scales', 'slide'],
)
def test_labels_are_those_of_the_test_tool(toy, tmp_path, options):
    config, weights, images = toy
    assert predict(config, weights, images, '--out', tmp_path / 'ours', *options) == 0
    rest = [o for o in options if o != '--cfg-options' and '=' not in o]
    pairs = [o for o in options if '=' in o]
    names = [f'experiment_name={tmp_path.name}', f'visualizer.name={tmp_path.name}']
    arguments = [config, weights, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'test']
    assert run(run_test, [*map(str, arguments), *rest, '--cfg-options', *names, *pairs]) == 0
    ours, expected = labels_in(tmp_path / 'ours'), labels_in(tmp_path / 'test')
    assert ours.keys() == expected.keys() and len(ours) == 3
    for name, labels in ours.items():
        assert np.array_equal(labels, expected[name]), name
    assert len(np.unique(np.stack(list(ours.values())))) > 1


def test_a_checkpoint_with_its_config_inside_needs_nothing_else(toy, tmp_path):
    config, weights, images = toy
    own = own_checkpoint(toy, tmp_path / 'own.pth')
    assert predict(own, images, '--out', tmp_path / 'own') == 0
    assert predict(config, weights, images, '--out', tmp_path / 'pair') == 0
    first, second = labels_in(tmp_path / 'own'), labels_in(tmp_path / 'pair')
    assert all(np.array_equal(first[name], second[name]) for name in second)
    model = openseg_plugin.load(str(own))
    assert model.classes == ['dark', 'middle', 'bright']


def test_options_that_do_not_fit_the_config_inside_cost_one_sentence(toy, tmp_path, capsys):
    own = str(own_checkpoint(toy, tmp_path / 'own.pth', hook='IterTimerHook'))
    for main_of, words in ((main, [str(toy[2]), '--out', str(tmp_path / 'out')]), (run_test, [])):
        assert run(main_of, [own, *words, '--cfg-options', 'model.type.x=1']) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith(f'error: --cfg-options does not fit {own}: '), said


def test_all_kinds_are_written_and_sub_folders_stay(toy, tmp_path):
    config, weights, images = toy
    source = tmp_path / 'in' / 'a'
    source.mkdir(parents=True)
    (source / 'x.png').write_bytes((images / '00.png').read_bytes())
    (source.parent / 'y.png').write_bytes((images / '01.png').read_bytes())
    kinds = ['labels', 'overlay', 'colored', 'probabilities', 'confidence', 'polygons']
    out = tmp_path / 'out'
    done = predict(config, weights, source.parent, '--recursive', '--out', out, '--save', *kinds)
    assert done == 0
    for name in ('a/x', 'y'):
        label = Image.open(out / f'{name}.png')
        assert label.getpalette()[:9] == [0, 0, 0, 90, 90, 90, 180, 180, 180]
        labels = np.asarray(label)
        with np.load(out / f'probabilities/{name}.npz') as file:
            probabilities = file['probabilities']
            assert file['classes'].tolist() == ['dark', 'middle', 'bright']
        assert (probabilities.dtype, probabilities.shape) == (np.float16, (3, *labels.shape))
        assert (probabilities.argmax(0) == labels).mean() > 0.99
        confidence = np.asarray(Image.open(out / f'confidence/{name}.png'))
        assert np.abs(confidence / 255 - probabilities.max(0)).max() < 0.01
        colored = np.asarray(Image.open(out / f'colored/{name}.png'))
        assert np.array_equal(colored, labels[..., None].repeat(3, 2) * 90)
        assert Image.open(out / f'overlay/{name}.jpg').size == label.size
        assert json.loads((out / f'polygons/{name}.json').read_text())['imageHeight'] == 36


@pytest.mark.parametrize('form', ['labelme', 'coco'])
def test_polygons_come_back_as_the_labels_of_the_model(toy, tmp_path, monkeypatch, form):
    config, weights, images = toy
    for k, name in enumerate(('a/x', 'b/x', 'a/y')):
        path = tmp_path / f'images/{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.open(images / f'{k:02}.png').resize((192, 144), Image.Resampling.BICUBIC)
        image.save(path)
    monkeypatch.chdir(tmp_path)
    command = [config, weights, 'images', '--recursive', '--out', 'out', '--tolerance', '1']
    assert predict(*command, '--polygon-format', form, '--save', 'labels', 'polygons') == 0
    converter = {'labelme': 'labelme', 'coco': 'coco_polygons'}[form]
    assert run(convert, [converter, 'out/polygons', 'own']) == 0
    summary = json.loads((tmp_path / 'own/dataset.json').read_text())
    assert summary['classes'] == ['dark', 'middle', 'bright']
    found, expected = labels_in(tmp_path / 'own/train/label'), labels_in(tmp_path / 'out')
    assert len(found) == len(expected) == 3
    for name, labels in expected.items():
        ours = next(one for path, one in found.items() if f'images/a/{path}'.endswith(name))
        assert (ours == labels).mean() >= 0.99, name


def test_a_second_run_goes_on_and_names_what_cannot_be_read(toy, tmp_path, capsys):
    config, weights, images = toy
    source, out = tmp_path / 'in', tmp_path / 'out'
    source.mkdir()
    (source / 'good.png').write_bytes((images / '00.png').read_bytes())
    (source / 'broken.png').write_bytes((images / '01.png').read_bytes()[:300])
    for k in range(12):
        (source / f'empty{k}.jpg').write_bytes(b'')
    command = [config, weights, source, '--out', out]
    assert predict(*command) == 1
    said = capsys.readouterr()
    assert 'broken.png' in said.err and all(f'empty{k}.jpg' in said.err for k in range(12))
    assert '1 predicted' in said.out and '13 could not be predicted' in said.out
    before = (out / 'good.png').stat().st_mtime_ns
    (source / 'broken.png').write_bytes((images / '01.png').read_bytes())
    for path in source.glob('empty*.jpg'):
        path.unlink()
    assert predict(*command) == 0
    assert '1 predicted' in (said := capsys.readouterr().out) and '1 were done before' in said
    assert (out / 'good.png').stat().st_mtime_ns == before
    assert predict(*command, '--overwrite') == 0
    assert (out / 'good.png').stat().st_mtime_ns > before
    assert predict(*command, '--aug-test') == 2  # other results than those that are there
    assert 'aug_test' in capsys.readouterr().err


def test_results_of_other_options_are_never_kept_as_those_of_these(toy, tmp_path, capsys):
    config, weights, images = toy
    command = [config, weights, images / '00.png', '--out', tmp_path / 'out']
    assert predict(*command, '--save', 'labels', 'overlay', 'polygons') == 0
    record = tmp_path / 'out/.segfix.json'
    known = json.loads(record.read_text())
    capsys.readouterr()
    for kind, was, options in (
        ('overlay', '0.5', ['--alpha', '0.7']),
        ('polygons', '1.0', ['--tolerance', '2']),
        ('polygons', 'labelme', ['--polygon-format', 'coco']),
        ('labels', 'auto', ['--tile', '64x64']),
        ('labels', 'by default', ['--overlap', '8']),
    ):
        name = options[0].removeprefix('--').replace('-', '_')
        assert predict(*command, *options, '--save', kind) == 2
        said = capsys.readouterr().err
        assert f'made with {name} {was} (now' in said and '--overwrite' in said, said
        if kind != 'labels':  # which do not care
            assert predict(*command, *options) == 0
        del known[name]
    record.write_text(json.dumps(known))  # as of versions that did not say them
    capsys.readouterr()
    assert predict(*command, '--alpha', '0.5', '--tile', 'auto', '--side-by-side') == 0
    assert '1 were done before' in capsys.readouterr().out


def test_results_of_other_weights_settings_and_images_are_never_kept(toy, tmp_path, capsys):
    config, weights = (Path(shutil.copy(path, tmp_path)) for path in toy[:2])
    images = toy[2]
    for k, name in enumerate(('a', 'b')):
        (tmp_path / name).mkdir()
        (tmp_path / f'{name}/x.png').write_bytes((images / f'{k:02}.png').read_bytes())
    command = [config, weights, tmp_path / 'a', '--out', tmp_path / 'out']
    assert predict(*command) == 0
    first = labels_in(tmp_path / 'out')['x.png']
    assert predict(config, weights, tmp_path / 'b', '--out', tmp_path / 'out') == 2
    said = capsys.readouterr().err
    assert f'x.png was made of {tmp_path / "a/x.png"}, not of {tmp_path / "b/x.png"}: give' in said
    content, size = torch.load(weights, weights_only=False), weights.stat().st_size
    for value in content['state_dict'].values():
        value.neg_()
    torch.save(content, weights)
    assert weights.stat().st_size == size
    assert predict(*command) == 2 and 'made with weights' in capsys.readouterr().err
    assert predict(*command, '--overwrite') == 0
    assert not np.array_equal(labels_in(tmp_path / 'out')['x.png'], first)
    shutil.copy(toy[1], weights)
    config.write_text(f"{config.read_text()}model['test_cfg'] = {SLIDE_CFG}\n")
    assert predict(*command) == 2 and 'made with settings' in capsys.readouterr().err
    (tmp_path / 'a/y.png').write_bytes((images / '02.png').read_bytes())
    assert predict(config, weights, tmp_path / 'a/y.png', *command[3:], '--overwrite') == 0
    capsys.readouterr()
    assert predict(*command) == 0  # x is still one of the former weights
    assert '1 predicted' in (said := capsys.readouterr().out) and '1 were done before' in said


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


def test_devices_that_are_not_there_and_tiles_that_cannot_be_are_refused_at_once(toy):
    config, weights, _ = toy
    for options, match in (
        (dict(device='gpu'), '--device gpu cannot be used on this machine, which has cpu'),
        (dict(device='cuda:99'), '--device cuda:99 cannot be used'),
        (dict(tile='7'), '--tile 7'),
    ):
        with pytest.raises(ConfigError, match=match):
            openseg_plugin.load(config, weights, **options)


def test_files_that_cannot_be_read_and_images_too_large_are_listed(
    toy, tmp_path, monkeypatch, capsys
):
    config, weights, images = toy
    (tmp_path / 'in').mkdir()
    for k, name in enumerate(('denied', 'good', 'large')):
        (tmp_path / f'in/{name}.png').write_bytes((images / f'{k:02}.png').read_bytes())
    (tmp_path / 'in/bomb.png').write_bytes(huge_png() + b'more')
    Image.open(images / '02.png').resize((96, 72)).save(tmp_path / 'in/large.png')

    def opened(path, *words, **options):
        if str(path).endswith('denied.png') and words[:1] == ('rb',):
            raise OSError(errno.EIO, 'Input/output error')
        return open(path, *words, **options)

    def packed(self, pixels, path):
        if path.endswith('large.png'):
            raise torch.OutOfMemoryError('CUDA out of memory')
        return pack(self, pixels, path)

    pack = segmenter.Segmenter._packed
    monkeypatch.setattr(segmenter.Segmenter, '_packed', packed)
    monkeypatch.setattr('openseg_plugin.utils.images.open', opened, raising=False)
    command = [config, weights, tmp_path / 'in', '--out', tmp_path / 'out', '--tile', 'off']
    assert predict(*command) == 1
    said = capsys.readouterr()
    assert 'denied.png cannot be read (Input/output error)' in said.err
    assert 'bomb.png is cut short or broken' in said.err
    assert 'large.png: the memory is not enough for 72x96 pixels: let it be cut' in said.err
    assert '1 predicted' in said.out and '3 could not be' in said.out
    assert list(labels_in(tmp_path / 'out')) == ['good.png']


def test_exif_orientation_is_applied_unless_it_is_ignored(toy, tmp_path):
    config, weights, images = toy
    turned = tmp_path / 'turned.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images / '00.png').save(turned, exif=exif, quality=95)
    model = openseg_plugin.load(str(config), str(weights))
    assert model.predict(turned).labels.shape == (48, 36)
    assert model.predict(turned).overlay().shape == (48, 36, 3)
    stored = openseg_plugin.load(str(config), str(weights), ignore_exif=True)
    assert stored.predict(turned).labels.shape == (36, 48)


@pytest.mark.parametrize('ending', ['.jpg', '.png', '.webp', '.bmp', '.tif'])
def test_formats_can_be_read(toy, tmp_path, ending):
    config, weights, images = toy
    path = tmp_path / f'image{ending}'
    cv2.imwrite(str(path), cv2.imread(str(images / '00.png')))
    model = openseg_plugin.load(str(config), str(weights))
    assert model.predict(path).labels.shape == (36, 48)


def test_sources_are_files_folders_patterns_and_lists(tmp_path):
    for name in ('a/1.jpg', 'a/2.PNG', 'a/b/3.tif', 'a/notes.txt', 'a/.hidden.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'x')
    folder = str(tmp_path / 'a')

    def names(*given, **options):
        return [source.name for source in find_sources(given, **options)]

    assert names(folder) == ['1', '2']
    assert names(folder, recursive=True) == ['1', '2', 'b/3']
    assert names(f'{folder}/*.jpg') == ['1']
    assert names(f'{folder}/**/*.tif') == ['b/3']
    listed = io.StringIO(f'{folder}/1.jpg\n\n{folder}/b/3.tif\n')
    assert names('-', listed=listed) == ['1', '3']
    assert names('https://host/x/street.jpg?size=1') == ['street']
    (tmp_path / 'a/1.mp4').write_bytes(b'x')  # as phones call a picture that moves
    assert names(folder) == ['1', '1', '2']
    assert [source.kind for source in find_sources(['camera:0'])] == ['camera']


@in_one_test(
    ('given', 'match'),
    [
        (['nowhere.jpg'], 'nowhere.jpg does not exist'),
        (['empty'], 'empty holds no image'),
        (['*.gif'], 'matches no file'),
        (['notes.txt'], 'notes.txt ends in .txt'),
        (['a/1.jpg', 'b/1.jpg'], 'would both be written as 1'),
        (['http://x/1/a.jpg', 'http://x/2/a.jpg'], 'http://x/2/a.jpg and http://x/1/a.jpg would'),
    ],
)
def test_sources_that_cannot_be_are_refused(tmp_path, monkeypatch, given, match):
    monkeypatch.chdir(tmp_path)
    for name in ('a/1.jpg', 'b/1.jpg', 'notes.txt'):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b'x')
    Path('empty').mkdir()
    with pytest.raises(DataError, match=match):
        find_sources(given)


def test_results_never_go_among_the_images(tmp_path):
    (tmp_path / '1.jpg').write_bytes(b'x')
    with pytest.raises(DataError, match='--out'):
        find_sources([str(tmp_path)], out=tmp_path)
    with pytest.raises(DataError, match='--out'):
        find_sources([str(tmp_path)], out=tmp_path / 'out', recursive=True)
    assert find_sources([str(tmp_path)], out=tmp_path / 'out')
    with pytest.raises(DataError, match='--out'):
        find_sources([f'{tmp_path}/**/*.jpg'], out=tmp_path / 'out')
    with pytest.raises(DataError, match='--out'):
        find_sources([f'{tmp_path}/*.jpg'], out=tmp_path)
    assert find_sources([f'{tmp_path}/*.jpg'], out=tmp_path / 'out')


def test_a_result_never_takes_the_place_of_an_image(toy, tmp_path, capsys):
    config, weights, images = toy
    source = tmp_path / 'image.png'
    source.write_bytes((images / '00.png').read_bytes())
    assert predict(config, weights, source, '--out', tmp_path, '--overwrite') == 2
    assert 'would take the place' in capsys.readouterr().err
    assert source.read_bytes() == (images / '00.png').read_bytes()


def test_images_that_a_model_does_not_take_are_told_from_broken_ones(toy, tmp_path, capfd):
    config, weights, images = toy
    (tmp_path / 'huge.png').write_bytes(huge_png())
    tifffile.imwrite(tmp_path / 'bands.tif', np.zeros((36, 48, 5), np.uint8), planarconfig='contig',
                     photometric='minisblack')  # fmt: skip
    sources = [tmp_path / 'huge.png', tmp_path / 'bands.tif', images / '00.png']
    assert predict(config, weights, *sources, '--out', tmp_path / 'out') == 1
    said = capfd.readouterr().err
    assert 'huge.png has more pixels than the decoder takes' in said
    assert 'bands.tif holds 5 bands of uint8' in said
    assert 'OpenCV' not in said, 'the sentence is all that is said'
    assert list(labels_in(tmp_path / 'out')) == ['00.png']


def test_of_a_broken_file_the_sentence_is_all_that_is_said(toy, tmp_path, capfd):
    config, weights, images = toy
    source = tmp_path / 'in'
    source.mkdir()
    damaged = bytearray((images / '00.png').read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (source / 'damaged.png').write_bytes(damaged)
    pixels = np.random.default_rng(0).integers(0, 255, (2100, 2100, 3), np.uint8)
    tifffile.imwrite(source / 'whole.tif', pixels, compression='zlib')  # is read by windows
    content = bytearray((source / 'whole.tif').read_bytes())
    (source / 'cut.tif').write_bytes(content[: len(content) // 2])
    start = int.from_bytes(content[4:8], 'little')
    content[start + 2 : start + 60] = b'\xff' * 58  # of the list of tags
    (source / 'tags.tif').write_bytes(content)
    (source / 'whole.tif').unlink()
    assert predict(config, weights, source, images / '00.png', '--out', tmp_path / 'out') == 1
    lines = [one for one in capfd.readouterr().err.splitlines() if not one.startswith('predict: ')]
    for name, line in zip(('cut.tif', 'damaged.png', 'tags.tif'), sorted(lines), strict=True):
        assert line.startswith(f'not predicted: image {source / name} ')
        assert 'replace it by an intact copy' in line


def huge_png() -> bytes:
    """More pixels than OpenCV's decoder takes, in few bytes."""
    header = struct.pack('>IIBBBBB', 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n'
        + png_chunk(b'IHDR', header)
        + png_chunk(b'IDAT', zlib.compress(bytes(99)))
        + png_chunk(b'IEND', b'')
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack('>I', zlib.crc32(kind + content))
    return struct.pack('>I', len(content)) + kind + content + check


def test_what_cannot_be_written_of_one_image_does_not_stop_the_others(toy, tmp_path, capsys):
    config, weights, images = toy
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/b.png').write_bytes((images / '00.png').read_bytes())
    big = Image.open(images / '01.png').resize((200, 150))
    big.save(tmp_path / 'in/a.png')
    out = tmp_path / 'out'
    kinds = ['--save', 'labels', 'probabilities', '--tile', '96x96']
    command = [config, weights, tmp_path / 'in', '--out', out, *kinds]
    for done in ('1 predicted', '0 predicted'):  # what can be made of a.png is made once
        assert predict(*command) == 1
        said = capsys.readouterr()
        assert 'a.png is predicted in tiles, whose scores are not kept' in said.err
        assert done in said.out and '1 could not be predicted' in said.out
    assert list(labels_in(out)) == ['a.png', 'b.png']
    assert [path.name for path in (out / 'probabilities').iterdir()] == ['b.npz']


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(toy, tmp_path, capsys):
    config, weights, images = toy
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'large.png')
    out, before = tmp_path / 'out', resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        status = predict(config, weights, images / '00.png', tmp_path / 'large.png', '--out', out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2 and said.startswith(f'error: cannot write {out / "large.png"}: the disk is')
    records = ('.segfix.json', '.sources.jsonl')
    assert [path.name for path in out.iterdir() if path.name not in records] == ['00.png']


def test_json_says_what_was_written_and_how_many_pixels_each_class_has(toy, tmp_path, capsys):
    config, weights, images = toy
    (tmp_path / 'broken.png').write_bytes(b'x')
    out = tmp_path / 'out'
    words = [images / '00.png', tmp_path / 'broken.png', '--out', out, '--json']
    assert predict(config, weights, *words) == 1
    told = json.loads(capsys.readouterr().out)
    (done,), (failed,) = told['predicted'], told['failed']
    labels = np.asarray(Image.open(done['files']['labels']))
    assert done['size'] == list(labels.shape)
    assert list(done['pixels'].values()) == np.bincount(labels.ravel(), minlength=3).tolist()
    assert failed['source'].endswith('broken.png') and 'decoded' in failed['reason']
    assert predict(config, weights, *words) == 1
    assert json.loads(capsys.readouterr().out)['kept'] == [str(images / '00.png')]


def test_mistakes_cost_one_sentence_and_nothing_is_written(toy, tmp_path, capsys):
    config, weights, images = toy
    out = tmp_path / 'out'
    plain = tmp_path / 'plain.pth'
    torch.save({'state_dict': {'some.weight': torch.ones(2)}}, plain)
    cases = {
        ('hrnet48_cityscape', images): 'near: ',
        (plain, images): 'CONFIG CHECKPOINT',
        (config, weights): 'SOURCE',
        (config, tmp_path / 'no.pth', images): 'no.pth does not exist',
        (config, weights, images, '--tile', '7'): '--tile 7',
        (config, weights, images, '--scales', '1'): '--aug-test',
        (config, weights, images, '--alpha', '2'): '--alpha 2',
        (config, weights, images, '--every', '0'): '--every 0',
        (config, weights, images, '--overlap', '-1', '--tile', '64x64'): '--overlap -1',
        (config, weights, images, '--device', 'gpu'): '--device gpu',
        ('hf://user/name', images): 'hf://user/name',
        (tmp_path, images): 'is a folder',
    }
    for arguments, expected in cases.items():
        assert predict(*arguments, '--out', out) == 2, arguments
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith('error: ') and expected in said, said
        assert not list(out.rglob('*.png')) if out.exists() else True


def test_a_published_file_finds_its_config_by_its_names(tmp_path):
    with published_ocr.shallow_tables():
        path = tmp_path / 'published.pth'
        torch.save(published_ocr.published_weights(published_ocr.filled()), path)
        resolved = resolve(str(path))
    assert resolved.cfg.model.type == 'openseg_plugin.EncoderDecoder'
    assert resolved.cfg.model.decode_head.type == 'openseg_plugin.OCRHead'
    assert 'decode_head.conv_seg.weight' in resolved.weights


@pytest.mark.parametrize('place', ['cache', 'folder of weights get'])
def test_a_name_of_the_model_zoo_is_predicted_and_tested(toy, tmp_path, monkeypatch, place):
    config, weights, images = toy
    entry = replace(entries()[0], name='toy_zoo', config=str(config), file='toy.pth', options={},
                    sha256=None, sha256_start=None, address=None)  # fmt: skip
    monkeypatch.setattr(models, 'entries', lambda: [entry])
    monkeypatch.setattr(models, 'find', lambda name: entry)
    monkeypatch.setenv('OPENSEG_CACHE', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ('cache' if place == 'cache' else 'weights') / 'toy_zoo/toy.pth'
    file.parent.mkdir(parents=True)
    file.write_bytes(weights.read_bytes())
    assert predict('toy_zoo', images, '--out', 'ours') == 0
    words = ['--out', 'test', '--cfg-options', f'experiment_name={tmp_path.name}']
    assert run(run_test, ['toy_zoo', *words, f'visualizer.name={tmp_path.name}']) == 0
    assert predict(config, 'toy_zoo', images, '--out', 'pair') == 0
    ours, expected = labels_in(tmp_path / 'ours'), labels_in(tmp_path / 'test')
    assert len(ours) == 3 and all(np.array_equal(ours[name], expected[name]) for name in ours)
    pair = labels_in(tmp_path / 'pair')
    assert all(np.array_equal(ours[name], pair[name]) for name in ours)
    file.unlink()
    own = str(own_checkpoint(toy, tmp_path / 'own.pth', hook='IterTimerHook'))
    for verb in ('config', 'flops'):  # no weights are needed
        assert openseg([verb, 'toy_zoo']) == openseg([verb, own]) == 0
    assert predict('toy_zoo', images, '--out', 'ours') == 2  # nothing is downloaded without address


def test_processes_share_the_files(toy, tmp_path, capsys, monkeypatch):
    config, weights, images = toy
    for rank in range(2):
        for name, value in (('RANK', rank), ('WORLD_SIZE', 2), ('LOCAL_RANK', rank)):
            monkeypatch.setenv(name, str(value))
        out = tmp_path / 'out'
        assert predict(config, weights, images, '--out', out, '--launcher', 'pytorch') == 0
        assert len(labels_in(out)) == (2, 3)[rank]
    said = capsys.readouterr().out
    assert 'process 0: 2 predicted' in said and 'process 1: 1 predicted' in said


def test_importing_the_package_loads_nothing_heavy():
    code = (
        'import sys, openseg_plugin as p; p.load; '
        "print([m for m in ('torch', 'mmengine', 'mmseg', 'cv2', 'numpy') if m in sys.modules])"
    )
    run_code = subprocess.run(
        [sys.executable, '-c', code], env=environment(), capture_output=True, text=True, check=True
    )
    assert run_code.stdout.strip() == '[]'


def test_labels_refined_by_segfix_are_those_of_the_test_tool(toy, tmp_path):
    config, weights, images = toy
    offsets = tmp_path / 'offsets'
    offsets.mkdir()
    generator = np.random.default_rng(0)
    for path in images.iterdir():
        steps = generator.integers(-1, 2, (36, 48, 2)).astype(np.int8)
        (offsets / path.name).write_bytes(offset_bytes(steps, '.png'))
    plain, refined = tmp_path / 'plain', tmp_path / 'refined'
    assert predict(config, weights, images, '--out', plain) == 0
    assert predict(config, weights, images, '--out', refined, '--segfix', offsets) == 0
    names = [f'experiment_name={tmp_path.name}', f'visualizer.name={tmp_path.name}']
    arguments = [config, weights, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'test']
    options = ['--segfix', str(offsets), '--cfg-options', *names]
    assert run(run_test, [*map(str, arguments), *options]) == 0
    ours, expected = labels_in(refined), labels_in(tmp_path / 'test')
    assert all(np.array_equal(ours[name], expected[name]) for name in expected)
    before = labels_in(plain)
    assert any(not np.array_equal(ours[name], before[name]) for name in ours)


class BreakingOff(http.server.SimpleHTTPRequestHandler):
    """A web server that sends less than it said of files called so."""

    def do_GET(self):
        if 'cut' not in self.path:
            return super().do_GET()
        is_chunked = 'chunk' in self.path
        self.protocol_version = 'HTTP/1.1'
        self.send_response(200)
        self.send_header(*(('Transfer-Encoding', 'chunked') if is_chunked
                           else ('Content-Length', '900')))  # fmt: skip
        self.end_headers()
        self.wfile.write(b'100\r\nshort' if is_chunked else b'short')
        self.close_connection = True


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a web server for a folder."""
    handler = functools.partial(BreakingOff, directory=folder)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_address[1]}'
        finally:
            server.shutdown()
            thread.join()


def test_images_come_from_the_web(toy, tmp_path, capsys):
    config, weights, images = toy
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/00.png').write_bytes((images / '00.png').read_bytes())
    (tmp_path / 'in/huge.png').write_bytes(huge_png())
    out, bad = tmp_path / 'out', ('no.png', 'cut.png', 'cut_chunk.png', 'huge.png')
    with served(tmp_path / 'in') as place:
        addresses = [f'{place}/{name}' for name in (*bad, '00.png')]
        assert predict(config, weights, *addresses, '--out', out) == 1
    said = capsys.readouterr().err
    for name in bad[:3]:
        assert f'{name} cannot be reached' in said
    assert said.count('IncompleteRead') == 2
    assert 'huge.png has more pixels than the decoder takes' in said
    local = openseg_plugin.load(str(config), str(weights)).predict(images / '00.png')
    assert np.array_equal(labels_in(out)['00.png'], local.labels)


@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'color_ignore_orientation'])
@pytest.mark.parametrize('ignore_exif', [False, True])
def test_images_of_the_web_are_read_as_files_are(toy, tmp_path, color_type, ignore_exif):
    config, weights, images = toy
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images / '00.png').save(tmp_path / 'turned.jpg', exif=exif, quality=95)
    step = 'test_dataloader.dataset.pipeline.0.color_type'
    model = openseg_plugin.load(
        str(config), str(weights), ignore_exif=ignore_exif, cfg_options={step: color_type}
    )
    with served(tmp_path) as place:
        found = model.read(f'{place}/turned.jpg')
    assert np.array_equal(found, model.read(str(tmp_path / 'turned.jpg')))
