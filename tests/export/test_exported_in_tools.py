"""Exported files as MODEL of the tools: the labels of the model, or a sentence."""

import json
import shutil
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
from openseg_plugin.export.session import ExportedModel

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
    config, weights = write_test_set(folder, number=3)
    return config, weights, folder / 'data/val/image'


@pytest.fixture(scope='module')
def exported(toy, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('exported') / 'street.onnx'
    assert call(export, toy[0], toy[1], path, '--size', 36, 48, '--output', 'logits') == 0
    return path


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
    capsys.readouterr()
    assert call(run_test, exported, '--aug-test') == 2
    assert 'export with --scales and --flip' in capsys.readouterr().err
    assert call(predict, exported, toy[2], '--aug-test', '--out', tmp_path / 'out') == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_int8_that_loses_too_much_is_refused_and_names_layers(toy, tmp_path, capsys, monkeypatch):
    from openseg_plugin.export import check

    config, weights, images = toy
    path = tmp_path / 'small.onnx'
    arguments = [config, weights, path, '--size', 36, 48, '--precision', 'int8']
    assert call(export, *arguments, '--calibrate', images) == 0
    assert ExportedModel(path).metadata.precision == 'int8'
    path.unlink()
    monkeypatch.setitem(check.MOST_LOST, 'int8', -1.0)  # what nothing reaches
    assert call(export, *arguments, '--calibrate', images) == 2
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


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_openvino_in_fewer_bits_is_checked(toy, tmp_path, precision):
    pytest.importorskip('openvino', reason='the extra [openvino] is not installed')
    path = tmp_path / 'street.xml'
    assert call(export, toy[0], toy[1], path, '--size', 36, 48, '--precision', precision) in (0, 2)
    if path.exists():
        about = ExportedModel(path).metadata
        assert about.precision == precision
        assert about.check['miou_file'] >= about.check['miou_model'] - 0.5
