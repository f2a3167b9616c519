"""The C++ examples: compiled where their runtime's headers are, with the labels of the file."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_segmentor import image
from toy_test_set import write_test_set

from openseg_plugin.cli.export import main as export
from openseg_plugin.cli.main import run
from openseg_plugin.export.session import ExportedModel

SOURCE = Path(__file__).parents[2] / 'deploy/cpp'
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def build(tmp_path_factory) -> Path:
    """Folder with the programs that can be compiled here."""
    utils = pytest.importorskip('openvino.utils', reason='the extra [openvino] is not installed')
    if shutil.which('cmake') is None:
        pytest.skip('needs cmake and a C++ compiler')
    folder = tmp_path_factory.mktemp('build')
    options = [f'-DOpenVINO_DIR={utils.get_cmake_path()}']
    options += [
        f'-D{name}={os.environ[name]}'
        for name in ('ONNXRUNTIME_ROOT', 'TENSORRT_ROOT')
        if name in os.environ
    ]
    for command in (
        ['cmake', '-S', SOURCE, '-B', folder, '-DCMAKE_CXX_FLAGS=-Werror', *options],
        ['cmake', '--build', folder],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope='module')
def toy(tmp_path_factory) -> tuple[Path, Path]:
    return write_test_set(tmp_path_factory.mktemp('toy'), number=2)


def call(program: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize('channels', ['rgb', 'bgr'])
@pytest.mark.parametrize(('program', 'ending'), [('openvino', '.xml'), ('onnxruntime', '.onnx')])
def test_labels_are_those_of_the_file_at_every_size(
    build, toy, tmp_path, program, ending, channels
):
    pytest.importorskip('onnxruntime', reason='the extra [export] is not installed')
    binary = build / f'{program}_labels'
    if not binary.exists():
        pytest.skip(f'the headers of {program} are not here')
    path = tmp_path / f'street{ending}'
    options = ['--check', 'none', '--channels', channels]
    assert run(export, [str(one) for one in (*toy, path, *options)]) == 0
    exported = ExportedModel(path)
    for size in ((83, 107), (130, 201)):
        pixels = image(*size)
        expected = exported.labels(pixels)
        assert len(np.unique(expected)) > 1
        for kind, out in (('ppm', 'pgm'), ('png', 'png')):
            Image.fromarray(pixels).save(tmp_path / f'x.{kind}')
            done = call(binary, path, tmp_path / f'x.{kind}', tmp_path / f'labels.{out}')
            if kind == 'png' and 'is no 8-bit PPM' in done.stderr:
                continue  # libpng is not here
            assert done.returncode == 0, done.stderr
            found = np.asarray(Image.open(tmp_path / f'labels.{out}'))
            assert found.shape == size
            assert (found == expected).mean() >= 0.9999


def test_what_cannot_be_labelled_is_a_sentence(build, toy, tmp_path):
    program = build / 'openvino_labels'
    path = tmp_path / 'street.xml'
    assert run(export, [str(one) for one in (*toy, path, '--size', 36, 48)]) == 0
    Image.fromarray(image(36, 48)).save(tmp_path / 'x.ppm')
    whole = (tmp_path / 'x.ppm').read_bytes()
    (tmp_path / 'cut.ppm').write_bytes(whole[:-1])
    (tmp_path / 'text.ppm').write_text('no image')
    Image.fromarray(image(45, 61)).save(tmp_path / 'other.ppm')
    for name, text in (
        ('nothing.ppm', 'cannot be opened'),
        ('cut.ppm', 'is cut short'),
        ('text.ppm', 'is no 8-bit PPM'),
        ('other.ppm', 'this one is another'),
    ):
        done = call(program, path, tmp_path / name, tmp_path / 'labels.pgm')
        assert done.returncode == 1 and text in done.stderr, done.stderr
        assert done.stderr.startswith('error: ') and not (tmp_path / 'labels.pgm').exists()
    assert call(program, path).returncode == 2
