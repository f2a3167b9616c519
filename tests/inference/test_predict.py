"""openseg predict: the labels of a test, what is written, what is kept, mistakes."""

import json
import os
import resource
import shutil
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from PIL import Image
from predictions import labels_in, predict

from openseg_plugin.cli.convert_dataset import main as convert
from openseg_plugin.cli.main import run
from openseg_plugin.cli.test import main as run_test
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.inference import loading
from openseg_plugin.inference.results import Options, refuse_clashes
from openseg_plugin.inference.segmenter import Segmenter
from openseg_plugin.inference.sources import find_sources
from openseg_plugin.inference.video import VideoWriter
from openseg_plugin.segfix.offset_files import offset_bytes

SLIDE = [
    'model.test_cfg.mode=slide',
    'model.test_cfg.crop_size=(24,32)',
    'model.test_cfg.stride=(12,16)',
]


SLIDE_CFG = dict(mode='slide', crop_size=(24, 32), stride=(12, 16))


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


def test_images_of_one_size_are_predicted_together_with_the_results_of_each_alone(
    toy, tmp_path, monkeypatch
):
    config, weights, images = toy
    source = tmp_path / 'in'
    source.mkdir()
    for name, file in (('a', '00'), ('b', '01'), ('d', '02'), ('e', '00'), ('f', '01')):
        shutil.copy(images / f'{file}.png', source / f'{name}.png')
    (source / 'c.png').write_bytes(b'no image')
    Image.open(images / '02.png').resize((37, 29)).save(source / 'g.png')
    kinds = ['--save', 'labels', 'confidence']
    assert predict(config, weights, source, '--out', tmp_path / 'alone', *kinds) == 1
    groups = []
    segment_together = Segmenter.segment_together

    def noting(self, found, **options):
        groups.append([Path(path).stem for path in options['paths']])
        if groups[-1] == ['d', 'e']:
            raise DataError('one of them is at fault')
        return segment_together(self, found, **options)

    monkeypatch.setattr(Segmenter, 'together', 2)
    monkeypatch.setattr(Segmenter, 'segment_together', noting)
    assert predict(config, weights, source, '--out', tmp_path / 'together', *kinds) == 1
    assert groups == [['a', 'b'], ['d', 'e']]
    alone, together = (labels_in(tmp_path / out) for out in ('alone', 'together'))
    assert together.keys() == alone.keys() and len(alone) == 2 * 6
    for name, expected in alone.items():
        rounding = name.startswith('confidence')  # of 255 steps
        assert np.abs(together[name].astype(int) - expected).max() <= rounding, name


def test_a_video_between_images_of_one_size_has_its_turn(toy, tmp_path, monkeypatch, capsys):
    pytest.importorskip('av', reason='the extra [video] is not installed')
    config, weights, images = toy
    source = tmp_path / 'in'
    source.mkdir()
    for name in ('a', 'c', 'd'):
        shutil.copy(images / '00.png', source / f'{name}.png')
    with VideoWriter(source / 'b.mp4', Fraction(25)) as writer:
        writer.write(np.zeros((24, 32, 3), np.uint8))
    monkeypatch.setattr(Segmenter, 'together', 2)
    out = tmp_path / 'out'
    assert predict(config, weights, source, '--out', out, '--save', 'labels', '--json') == 0
    told = json.loads(capsys.readouterr().out)
    assert {Path(one['source']).name for one in told['predicted']} == {
        *('a.png', 'b.mp4', 'c.png', 'd.png')
    }
    assert sorted(labels_in(out)) == ['a.png', 'b/000000.png', 'c.png', 'd.png']


def test_results_of_other_options_are_never_kept_as_those_of_these(toy, tmp_path, capsys):
    config, weights, images = toy
    command = [config, weights, images / '00.png', '--out', tmp_path / 'out']
    assert predict(*command, '--save', 'labels', 'overlay', 'polygons') == 0
    capsys.readouterr()
    for kind, was, options in (
        ('overlay', '0.5', ['--alpha', '0.7']),
        ('polygons', '1.0', ['--tolerance', '2']),
        ('polygons', 'labelme', ['--polygon-format', 'coco']),
        ('labels', 'auto', ['--tile', '64x64']),
        ('labels', 'by default', ['--overlap', '8']),
    ):
        assert predict(*command, *options, '--save', kind) == 2
        said = capsys.readouterr().err
        name = options[0].removeprefix('--').replace('-', '_')
        assert f'made with {name} {was} (now' in said and '--overwrite' in said, said
        if kind != 'labels':  # which do not care
            assert predict(*command, *options) == 0
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
    (tmp_path / 'out/.sources.jsonl').unlink()  # as if each was killed before it was noted
    assert predict(*command) == 0 and '2 predicted' in capsys.readouterr().out


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


@in_one_test(
    ('given', 'kinds', 'match'),
    [
        (
            ['x.png', 'colored/x.png'],
            ['labels', 'colored'],
            'labels of .*/colored/x.png and colored of .*s/x.png would both',
        ),
        (['x.png', 'colored/x.png'], ['labels', 'overlay'], None),
        (['drive.mp4', 'drive/000000.png'], ['labels'], r'o/drive/000000.png, where .*drive.mp4'),
        (['drive.mp4', 'drive/000000.png'], ['overlay'], None),
        (['a.png', 'a.png.mp4'], ['labels'], r'o/a.png, where .*a.png.mp4'),
        (['a.mp4', 'a.part.mp4'], ['overlay'], 'both be written as .*o/a.part.mp4'),
    ],
)
def test_a_result_never_takes_the_place_of_another(tmp_path, given, kinds, match):
    for name in given:
        (tmp_path / 's' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 's' / name).touch()
    sources = find_sources([str(tmp_path / 's')], recursive=True)
    refused = pytest.raises(DataError, match=match) if match else nullcontext()
    with refused:
        of_frames = 'labels' in kinds
        refuse_clashes(sources, Options(kinds), tmp_path / 'o', labels_of_frames=of_frames)


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
    records = ('.options.json', '.sources.jsonl')
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


@pytest.mark.parametrize('options', [['--device', 'cuda'], []])
def test_each_process_of_torchrun_has_a_gpu_of_its_own(toy, tmp_path, monkeypatch, options):
    config, weights, images = toy
    asked = []

    def load(*_, device, **__):
        asked.append(device)
        raise ConfigError('is enough')

    monkeypatch.setattr(loading, 'load', load)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    monkeypatch.setattr(torch.cuda, 'set_device', asked.append)
    for name, value in (('RANK', 5), ('WORLD_SIZE', 8), ('LOCAL_RANK', 1)):
        monkeypatch.setenv(name, str(value))
    command = [config, weights, images, '--out', tmp_path / 'out', '--launcher', 'pytorch']
    assert predict(*command, *options) == 2 and asked == [1, 'cuda:1']


def test_labels_refined_by_segfix_are_those_of_the_test_tool(toy, tmp_path, capsys):
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
    zipped = shutil.make_archive(str(tmp_path / 'offsets'), 'zip', offsets)
    of_zip = [config, weights, images, '--out', tmp_path / 'of_zip', '--segfix', zipped]
    assert predict(*of_zip) == 0
    changed = offsets / path.name
    changed.write_bytes(offset_bytes(-steps, '.png'))
    capsys.readouterr()
    assert predict(config, weights, images, '--out', refined, '--segfix', offsets) == 0
    assert '1 predicted' in (said := capsys.readouterr().out) and '2 were done before' in said
    times = os.stat(zipped)
    shutil.make_archive(str(tmp_path / 'offsets'), 'zip', offsets)
    os.utime(zipped, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert predict(*of_zip) == 2 and 'made with segfix_offsets' in capsys.readouterr().err
