"""Exported files as MODEL of the tools: the labels of the model, or a sentence."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_test_set import write_test_set

import openseg_plugin
from openseg_plugin.cli.export import main as export
from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main as predict
from openseg_plugin.cli.test import main as run_test
from openseg_plugin.errors import CheckpointError, ConfigError
from openseg_plugin.export import targets
from openseg_plugin.export.check import CheckResult
from openseg_plugin.export.session import ExportedModel
from openseg_plugin.inference.exported import model_to_export
from openseg_plugin.segfix.offset_files import offset_bytes

pytest.importorskip('onnxruntime', reason='the extra [export] is not installed')
SLIDE = [
    'model.test_cfg.mode=slide',
    'model.test_cfg.crop_size=(24,32)',
    'model.test_cfg.stride=(12,16)',
]


def call(main, *arguments: object) -> int:
    return run(main, [str(argument) for argument in arguments])


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """Config, checkpoint and images of a random network."""
    folder = tmp_path_factory.mktemp('toy')
    backbone = dict(type='openseg_plugin.TwoConvs')
    config, weights = write_test_set(folder, number=3, backbone=backbone)
    return config, weights, folder / 'data/val/image'


@pytest.fixture(scope='module')
def exported(toy, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('exported') / 'street.onnx'
    assert call(export, toy[0], toy[1], path, '--size', 36, 48, '--output', 'logits') == 0
    return path


def test_json_says_what_was_written_and_what_the_check_found(toy, tmp_path, capfd):
    path, images = tmp_path / 'street.onnx', toy[2]
    options = ['--check', images.parent, '--json', '--runner']
    assert call(export, toy[0], toy[1], path, *options) == 0
    told = json.loads(capfd.readouterr().out)
    (file,) = told['files']
    content = path.read_bytes()
    assert told['model'] == file['file'] == str(path)
    assert (file['bytes'], file['sha256']) == (len(content), hashlib.sha256(content).hexdigest())
    checked = told['check']
    assert checked == ExportedModel(path).metadata.check
    assert checked['differing'] <= 2 and checked['largest_margin'] < 1e-3
    assert (checked['images'], checked['sizes']) == (5, [[36, 48], [67, 67]])
    assert checked['miou_file'] == pytest.approx(checked['miou_model'], abs=0.01)
    assert Path(told['runner']).is_file() and told['classes'] == list(
        ExportedModel(path).metadata.classes
    )
    # what is refused has its sentence and no result
    wrong = ['--precision', 'fp16', '--json']
    assert call(export, toy[0], toy[1], path, *wrong) == 2
    assert capfd.readouterr().out == ''


def test_file_of_a_network_that_is_not_installed_predicts(toy, exported, tmp_path):
    """A process that does not know the class of the backbone."""
    command = [sys.executable, '-m', 'openseg_plugin', 'predict', exported, toy[2]]
    done = subprocess.run(
        [str(word) for word in [*command, '--out', tmp_path / 'out']],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(Path(openseg_plugin.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert len(labels_in(tmp_path / 'out')) == 3


def test_images_are_read_by_the_step_of_the_test_pipeline(toy):
    options = {'test_dataloader.dataset.pipeline.0.color_type': 'grayscale'}
    source = model_to_export(str(toy[0]), str(toy[1]), options=options)
    assert source.loading == dict(type='LoadImageFromFile', color_type='grayscale')


def labels_in(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.rglob('*.png'))]


def test_predict_and_test_give_the_labels_of_the_model(toy, exported, tmp_path, capsys):
    config, weights, images = toy
    assert call(predict, config, weights, images, '--out', tmp_path / 'model') == 0
    assert call(predict, exported, images, '--out', tmp_path / 'file') == 0
    assert call(predict, exported.parent, images, '--out', tmp_path / 'folder') == 0
    expected = labels_in(tmp_path / 'model')
    assert len(expected) == 3 and len(np.unique(np.stack(expected))) > 1
    for name in ('file', 'folder'):
        found = labels_in(tmp_path / name)
        assert len(found) == 3
        assert np.mean([np.mean(a == b) for a, b in zip(found, expected)]) >= 0.9999

    def metrics(*model: object) -> dict:
        names = [f'experiment_name={tmp_path.name}{len(model)}', f'visualizer.name=v{len(model)}']
        work_dir = tmp_path / f'work{len(model)}'
        options = ['--json', '--work-dir', work_dir, '--cfg-options', *names]
        assert call(run_test, *model, *options) == 0
        return json.loads(capsys.readouterr().out)

    capsys.readouterr()
    found = metrics(exported)
    assert found['mIoU'] == pytest.approx(metrics(config, weights)['mIoU'], abs=0.01)


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_backend_exports_once_and_gives_the_labels_of_the_model(
    toy, tmp_path, monkeypatch, capsys, backend
):
    pytest.importorskip(backend)
    monkeypatch.setenv('OPENSEG_CACHE', str(tmp_path / 'cache'))
    config, weights, images = toy
    by_file, times = ('--backend', backend), []
    # which images a test takes is nothing to the file
    again = (*by_file, '--cfg-options', 'test_dataloader.dataset.indices=[0]')
    for name, options in {'model': (), 'file': by_file, 'again': again}.items():
        assert call(predict, config, weights, images, '--out', tmp_path / name, *options) == 0
        made = sorted((tmp_path / 'cache/exported').glob('[!.]*'))
        times.append([file.stat().st_mtime_ns for file in made])
    assert not times[0] and times[1] and times[2] == times[1]
    for name in ('file', 'again'):
        pairs = zip(labels_in(tmp_path / name), labels_in(tmp_path / 'model'), strict=True)
        assert np.mean([np.mean(a == b) for a, b in pairs]) >= 0.9999
    capsys.readouterr()
    found = []
    augmented = ('--aug-test', '--scales', 1, 1.5)
    for number, options in enumerate(((), by_file, augmented, (*by_file, *augmented))):
        words = ['--json', '--work-dir', tmp_path / f'{number}', *options, '--cfg-options']
        names = [f'experiment_name={backend}{number}', f'visualizer.name={backend}{number}']
        assert call(run_test, config, weights, *words, *names) == 0
        found.append(json.loads(capsys.readouterr().out)['mIoU'])
    assert found[1] == pytest.approx(found[0], abs=0.01)
    assert found[3] == pytest.approx(found[2], abs=0.01)


@pytest.mark.parametrize('way', ['backend', 'file'])
def test_config_that_is_given_stays_in_charge_of_a_test(
    toy, exported, tmp_path, monkeypatch, capsys, way
):
    """Its hooks, its evaluator and the options for it; the config in the file lacks the first."""
    monkeypatch.setenv('OPENSEG_CACHE', str(tmp_path / 'cache'))
    config = tmp_path / 'mine.py'
    config.write_text(
        f'_base_ = [{str(toy[0])!r}]\n'
        "custom_hooks = [dict(type='openseg_plugin.OverlayHook', "
        f'folder={str(tmp_path / "drawn")!r})]\n'
        "test_evaluator = dict(type='openseg_plugin.IoUMetric', "
        f"iou_metrics=['mDice'], output_dir={str(tmp_path / 'maps')!r})\n"
    )
    words = ['--json', '--work-dir', tmp_path / 'work', '--cfg-options']
    words += [f'experiment_name={way}', f'visualizer.name={way}', 'test_evaluator.prefix=mine']
    model = (toy[1], '--backend', 'onnxruntime') if way == 'backend' else (exported,)
    assert call(run_test, config, *model, *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {'mine/aAcc', 'mine/mDice', 'mine/mAcc'}
    assert len(labels_in(tmp_path / 'maps')) == 3
    assert len(list((tmp_path / 'drawn').rglob('*.*'))) == 3


def test_backend_says_what_it_does_not_do(toy, exported, tmp_path, capsys):
    config, weights, images = toy
    model = (config, weights, images, '--out', tmp_path, '--backend', 'onnxruntime')
    for options, text in (
        (('--exact',), '--exact is about torch'),
        (('--precision', 'bf16'), '--precision bf16 is not supported with --backend onnxruntime'),
    ):
        assert call(predict, *model, *options) == 2
        assert text in capsys.readouterr().err
    assert call(predict, exported, images, '--out', tmp_path, '--backend', 'openvino') == 2
    assert 'is an exported file, which names its backend' in capsys.readouterr().err


def test_loaded_in_python_it_gives_classes_labels_and_probabilities(toy, exported):
    image = sorted(toy[2].iterdir())[0]
    file, model = openseg_plugin.load(str(exported)), openseg_plugin.load(*map(str, toy[:2]))
    assert (file.classes, file.palette.tolist()) == (model.classes, model.palette.tolist())
    ours, theirs = file.predict(image), model.predict(image)
    assert (ours.labels == theirs.labels).mean() >= 0.9999
    np.testing.assert_allclose(ours.probabilities(), theirs.probabilities(), atol=1e-4)


def test_model_that_predicts_by_windows_is_joined_outside_of_the_file(toy, tmp_path):
    config, weights, images = toy
    path = tmp_path / 'slide.onnx'
    options = ['--cfg-options', *SLIDE]
    assert call(export, config, weights, path, '--size', 24, 32, *options) == 0
    assert ExportedModel(path).metadata.check['images'] == 3
    about = ExportedModel(path).metadata
    assert (about.window, about.stride, about.output) == ((24, 32), (12, 16), 'logits')
    assert call(predict, config, weights, images, '--out', tmp_path / 'model', *options) == 0
    assert call(predict, path, images, '--out', tmp_path / 'file') == 0
    for ours, theirs in zip(labels_in(tmp_path / 'file'), labels_in(tmp_path / 'model')):
        assert (ours == theirs).mean() >= 0.9999


@pytest.fixture(scope='module')
def of_any_size(toy, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('any') / 'any.onnx'
    assert call(export, toy[0], toy[1], path, '--output', 'logits') == 0
    assert ExportedModel(path).metadata.check['images'] == 5  # two of other sizes
    return path


@pytest.mark.slow
@pytest.mark.parametrize('precision', ['fp32', 'int8'])
def test_file_that_is_right_at_the_size_of_the_test_set_alone_is_refused(
    tmp_path, capsys, monkeypatch, precision
):
    # the sides of its maps are rounded towards 0, as ONNX does by itself
    monkeypatch.setattr(targets, '_floor_division', lambda program: {})
    config, weights = write_test_set(tmp_path, number=2)
    options: list[object] = ['--precision', precision]
    if precision == 'int8':
        options += ['--calibrate', tmp_path / 'data/val']
    assert call(export, config, weights, tmp_path / 'x.onnx', *options) == 1
    said = capsys.readouterr().err
    assert 'the exported file is wrong' in said and 'nothing was written' in said
    assert not (tmp_path / 'x.onnx').exists()


@pytest.mark.parametrize(
    'options',
    [['--aug-test', '--scales', '1', '1.5', '2', '--flip'], ['--segfix', 'offsets'], ['both']],
    ids=['aug-test', 'segfix', 'both'],
)
def test_what_comes_after_the_network_is_done_to_a_file_too(toy, of_any_size, tmp_path, options):
    config, weights, images = toy
    offsets = tmp_path / 'offsets'
    offsets.mkdir()
    for path in images.iterdir():
        steps = np.random.default_rng(0).integers(-2, 3, (36, 48, 2)).astype(np.int8)
        (offsets / path.name).write_bytes(offset_bytes(steps, '.png'))
    if options == ['both']:
        options = ['--aug-test', '--scales', '1', '2', '--segfix', 'offsets']
    options = [str(offsets) if one == 'offsets' else one for one in options]
    assert call(predict, config, weights, images, '--out', tmp_path / 'model', *options) == 0
    assert call(predict, of_any_size, images, '--out', tmp_path / 'file', *options) == 0
    assert call(predict, of_any_size, images, '--out', tmp_path / 'plain') == 0
    names = [f'experiment_name={tmp_path.name}', f'visualizer.name={tmp_path.name}']
    settings = ['--work-dir', tmp_path / 'work', '--cfg-options', *names]
    tested = [of_any_size, *options, '--out', tmp_path / 'tested']
    assert call(run_test, *tested, *settings) == 0
    expected = np.stack(labels_in(tmp_path / 'model'))
    for name in ('file', 'tested'):
        assert (np.stack(labels_in(tmp_path / name)) == expected).mean() >= 0.9999
    assert (np.stack(labels_in(tmp_path / 'plain')) != expected).any()


def test_views_are_merged_by_logits(toy, tmp_path, capsys):
    path = tmp_path / 'street.pt2'
    assert call(export, toy[0], toy[1], path) == 0
    assert call(predict, path, toy[2], '--aug-test', '--out', tmp_path / 'out') == 2
    assert 'export with --output logits' in capsys.readouterr().err


def test_scales_and_flip_in_the_file_are_checked_against_the_model(toy, tmp_path, monkeypatch):
    path = tmp_path / 'street.pt2'
    arguments = [toy[0], toy[1], path, '--size', 36, 48, '--scales', 0.5, 1, '--flip']
    assert call(export, *arguments) == 0
    assert ExportedModel(path).metadata.check['differing'] <= 1
    path.unlink()
    from openseg_plugin.export.graph import InferenceGraph

    monkeypatch.setattr(InferenceGraph, '_probabilities', lambda self, logits: logits)
    assert call(export, *arguments) == 1 and not path.exists()


def test_labels_beside_the_images_of_the_check_count(toy, tmp_path, capsys):
    path, folder = tmp_path / 'street.pt2', toy[2].parent
    arguments = [toy[0], toy[1], path, '--size', 36, 48, '--check']
    assert call(export, *arguments, folder) == 0
    assert ExportedModel(path).metadata.check['miou_file'] > 0
    shutil.copytree(folder, tmp_path / 'val')
    Image.new('L', (5, 5)).save(tmp_path / 'val/label/00.png')
    capsys.readouterr()
    assert call(export, *arguments, tmp_path / 'val') == 2
    assert '00.png has 5x5 pixels' in capsys.readouterr().err
    (tmp_path / 'val/label/00.png').unlink()
    assert call(export, *arguments, tmp_path / 'val') == 2
    assert '00.png is missing' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('precision', 'differing', 'lost', 'margin', 'is_right'),
    [
        ('fp32', 9, 0.0, 0.5, True),
        ('fp32', 11, 0.0, 1e-6, False),  # more than 0.01 % of the labels
        ('fp32', 9, 0.02, 0.5, False),
        ('fp32', 9, 0.02, 1e-4, True),  # where the model itself is undecided
        ('bf16', 9000, 0.5, 0.5, True),
        ('bf16', 9000, 0.51, 0.5, False),
        ('int8', 90000, 1.5, 0.5, True),
        ('int8', 90, 1.51, 0.5, False),
        ('int8', 3000, None, 0.5, True),
        ('int8', 3001, None, 0.5, False),
        ('bf16', 1001, None, 0.5, False),
    ],
)
def test_what_a_file_may_lose(precision, differing, lost, margin, is_right):
    mious = (None, None) if lost is None else (50.0, 50.0 - lost)
    result = CheckResult(8, 100_000, differing, margin, *mious)
    assert result.is_right(precision) == is_right


def test_check_on_the_test_set_counts_its_labels_and_is_kept_in_the_file(exported):
    kept = ExportedModel(exported).metadata.check
    assert kept['images'] == 3 and kept['differing'] <= 1
    assert kept['miou_model'] == pytest.approx(kept['miou_file'], abs=0.01)


def test_what_does_not_fit_is_one_sentence(toy, exported, tmp_path, capsys):
    onnx = pytest.importorskip('onnx')
    model = openseg_plugin.load(str(exported))
    with pytest.raises(ConfigError, match='takes images of 36x48 pixels, got 20x30'):
        model.predict(np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(CheckpointError, match='lack'):
        bare = onnx.load(exported)
        del bare.metadata_props[:]
        onnx.helper.set_model_props(bare, {'openseg_plugin': '{"classes": ["a"]}'})
        onnx.save(bare, tmp_path / 'bare.onnx')
        openseg_plugin.load(str(tmp_path / 'bare.onnx'))
    shutil.copy(exported, tmp_path / 'second.onnx')
    with pytest.raises(CheckpointError, match='holds 2 exported models'):
        openseg_plugin.load(str(tmp_path))
    (tmp_path / 'a.xml').write_text('<net/>')
    with pytest.raises(CheckpointError, match=r'lacks its weights, a\.bin'):
        openseg_plugin.load(str(tmp_path / 'a.xml'))
    (tmp_path / 'a.engine').write_bytes(b'x')
    with pytest.raises(CheckpointError, match='TensorRT'):
        openseg_plugin.load(str(tmp_path / 'a.engine'))
    for options, text in [
        (['--aug-test'], 'takes images of 36x48 pixels, got 18x24'),
        (['--precision', 'bf16'], 'computes as it was exported'),
        (['--show-attention', tmp_path / 'a'], 'gives no attention'),
    ]:
        capsys.readouterr()
        assert call(run_test, exported, *options, '--work-dir', tmp_path / 'work') == 2
        assert text in capsys.readouterr().err
    assert call(predict, exported, toy[2], '--aug-test', '--out', tmp_path / 'out') == 2
    assert capsys.readouterr().err.count('\n') == 1


@pytest.mark.parametrize(('ending', 'package'), [('.onnx', 'onnx'), ('.xml', 'nncf')])
def test_int8_that_loses_too_much_is_refused_and_names_layers(
    toy, tmp_path, capsys, monkeypatch, ending, package
):
    pytest.importorskip(package)
    from openseg_plugin.export import check

    config, weights, images = toy
    path = tmp_path / f'small{ending}'
    arguments = [config, weights, path, '--size', 36, 48, '--precision', 'int8']
    assert call(export, *arguments, '--calibrate', images) == 0
    assert ExportedModel(path).metadata.precision == 'int8'
    path.unlink()
    monkeypatch.setitem(check.MOST_LOST, 'int8', -1.0)  # what nothing reaches
    monkeypatch.setitem(check.MOST_DIFFERING_BY_PRECISION, 'int8', 1e-6)
    assert call(export, *arguments, '--calibrate', images) == 1
    said = capsys.readouterr()
    assert 'left in 32 bits, node_' in said.out
    assert 'int8 may lose' in said.err and '--leave-out node_' in said.err
    assert not path.exists() and not list(tmp_path.glob('.*'))
    assert call(export, *arguments, '--calibrate', tmp_path) == 2
    assert 'has no images' in capsys.readouterr().err


def test_engine_is_built_where_its_tool_is_and_else_the_command_is_said(
    toy, tmp_path, capsys, monkeypatch
):
    arguments = [toy[0], toy[1], tmp_path / 'street.engine', '--size', 36, 48]
    assert call(export, *arguments) == 0
    said = capsys.readouterr().out
    assert f'trtexec --onnx={tmp_path}/street.onnx --saveEngine={tmp_path}/street.engine' in said
    assert (tmp_path / 'street.onnx').is_file() and 'not on the list' not in said
    tool = tmp_path / 'bin' / 'trtexec'
    tool.parent.mkdir()
    tool.write_text(
        '#!/bin/sh\nfor one in "$@"; do case $one in --saveEngine=*) '
        'echo e > "${one#*=}";; esac; done\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv('PATH', str(tool.parent), prepend=':')
    assert call(export, *arguments) == 0
    assert (tmp_path / 'street.engine').read_text() == 'e\n'
    capsys.readouterr()
    assert call(export, *arguments, '--precision', 'fp16', '--json') == 0
    told = json.loads(capsys.readouterr().out)
    assert told['command'].endswith(' --fp16') and told['engine'] == str(arguments[2])
    assert ExportedModel(Path(told['model'])).metadata.precision == 'fp32'


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_openvino_in_fewer_bits_is_checked(toy, tmp_path, precision):
    pytest.importorskip('openvino', reason='the extra [openvino] is not installed')
    path = tmp_path / 'street.xml'
    assert call(export, toy[0], toy[1], path, '--size', 36, 48, '--precision', precision) in (0, 1)
    if path.exists():
        about = ExportedModel(path).metadata
        assert about.precision == precision
        assert about.check['miou_file'] >= about.check['miou_model'] - 0.5


def test_backend_predicts_although_the_test_set_is_broken(toy, tmp_path, monkeypatch):
    config, weights, images = toy
    monkeypatch.setenv('OPENSEG_CACHE', str(tmp_path / 'cache'))
    copied = Path(shutil.copytree(images.parents[2], tmp_path / 'copy'))
    broken = copied / 'data/val/image' / sorted(images.iterdir())[0].name
    broken.write_bytes(broken.read_bytes()[:100])
    text = Path(config).read_text().replace(str(images.parents[2]), str(copied))
    (copied / Path(config).name).write_text(text)
    words = [copied / Path(config).name, weights, images, '--out', tmp_path / 'out']
    assert call(predict, *words, '--backend', 'onnxruntime') == 0
    assert len(labels_in(tmp_path / 'out')) == 3
