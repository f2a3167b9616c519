"""``run.py`` labels as ``openseg predict`` does, goes on after bad images, and needs no more."""

import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from PIL import Image
from toy_segmentor import image, segmentor_config
from toy_test_set import write_test_set

from openseg_plugin.cli.export import main as export
from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main as predict
from openseg_plugin.export.graph import GraphOptions, InferenceGraph
from openseg_plugin.export.metadata import metadata_of
from openseg_plugin.export.session import ExportedModel
from openseg_plugin.export.targets import write, write_runner
from openseg_plugin.registry import MODELS

pytest.importorskip('onnxruntime', reason='the extra [export] is not installed')
SIZES = [(133, 211), (97, 64), (70, 75)]
BACKBONE = dict(type='openseg_plugin.TwoConvs')
SLIDE = [
    *('--cfg-options', 'model.test_cfg.mode=slide', 'model.test_cfg.crop_size=(40,48)'),
    'model.test_cfg.stride=(24,32)',
]
HEADS = {
    'classes': {},
    'one-channel': dict(num_classes=2, out_channels=1),
    'many-classes': dict(num_classes=300, out_channels=300),
}


@pytest.fixture(scope='module')
def photos(tmp_path_factory) -> Path:
    """Folder of images of several sizes."""
    folder = tmp_path_factory.mktemp('photos')
    (folder / 'sub').mkdir()
    for k, size in enumerate(SIZES):
        Image.fromarray(image(*size)).save(folder / ('sub' if k else '.') / f'{k}.png')
    return folder


@pytest.fixture(scope='module')
def toys(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Config and checkpoint with each head."""
    made = {}
    for name, head in HEADS.items():
        folder = tmp_path_factory.mktemp(name)
        made[name] = write_test_set(folder, number=1, backbone=BACKBONE, head=head)
    return made


@pytest.fixture(scope='module')
def street(toys, tmp_path_factory) -> Path:
    """A file with ``run.py`` beside it."""
    return exported(toys['classes'], tmp_path_factory.mktemp('model') / 'street.onnx')


def exported(toy: tuple[Path, Path], path: Path, *options: object) -> Path:
    words = [*toy, path, '--check', 'none', '--runner', *options]
    assert run(export, [str(word) for word in words]) == 0
    return path


def call(
    model: Path, *words: object, python: Path | str = sys.executable, code: str | None = None
) -> subprocess.CompletedProcess:
    """``run.py`` beside a model; ``code`` runs before it."""
    command = [str(word) for word in (model.parent / 'run.py', *words)]
    if code is not None:
        code += '; import runpy, sys; sys.argv = sys.argv[1:]'
        command = ['-c', f'{code}; runpy.run_path(sys.argv[0], run_name="__main__")', *command]
    done = subprocess.run(
        [str(python), *command], capture_output=True, text=True, cwd=model.parent, env={}
    )
    assert 'Traceback' not in done.stderr, done.stderr
    return done


def labels_in(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.rglob('*.png'))]


@pytest.mark.parametrize(
    ('head', 'options'),
    [
        ('classes', ['--output', 'probabilities']),
        ('classes', ['--output', 'logits', '--input', 'float-nchw', '--channels', 'bgr']),
        ('one-channel', ['--output', 'logits']),
        ('one-channel', ['--output', 'probabilities']),
        ('many-classes', ['--output', 'logits']),
        ('classes', SLIDE),
        ('one-channel', SLIDE),
    ],
    ids=['classes', 'bgr', 'one-channel', 'one-probability', 'many', 'windows', 'one-windows'],
)
def test_labels_are_those_of_predict_whole_and_in_tiles(toys, photos, tmp_path, head, options):
    path = exported(toys[head], tmp_path / 'model/street.onnx', *options)
    for name, tiles, theirs in (
        ('whole', [], ['--tile', 'off']),
        ('tiles', ['--tile', 96], ['--tile', '96x96']),
        ('wide', ['--tile', 64, '--overlap', 20], ['--tile', '64x64', '--overlap', 20]),
        ('cut', ['--tile', 70, '--overlap', 0], ['--tile', '70x70', '--overlap', 0]),
    ):
        ours, expected = tmp_path / f'{name}-ours', tmp_path / name
        done = call(path, photos, '--out', ours, *tiles)
        assert (done.returncode, done.stderr) == (0, '')
        words = [path, photos, '--recursive', '--out', expected, *theirs]
        assert run(predict, [str(word) for word in words]) == 0
        pairs = list(zip(labels_in(ours), labels_in(expected), strict=True))
        assert len(pairs) == len(SIZES) and len(np.unique(pairs[0][1])) > 1
        equal = [ours == theirs for ours, theirs in pairs]
        assert np.mean(np.concatenate([one.ravel() for one in equal])) >= 0.9999


def test_more_classes_than_a_byte_holds_are_written_as_predict_does(toys, photos, tmp_path):
    path = exported(toys['many-classes'], tmp_path / 'model/street.onnx')
    done = call(path, photos / '0.png', '--out', tmp_path / 'out', '--overlay', '--tile', 64)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / 'out/0.png') as labels:
        assert labels.mode == 'I;16'
    assert (tmp_path / 'out/0_overlay.jpg').is_file()


def test_labels_in_tiles_are_those_of_the_tile_in_which_a_pixel_lies_deeper(street, tmp_path):
    pixels = image(128, 208)  # of whole cells, as all tiles
    Image.fromarray(pixels).save(tmp_path / 'x.png')
    expected = ExportedModel(street).labels(pixels)
    assert call(street, tmp_path / 'x.png', '--out', tmp_path / 'out', '--tile', 96).returncode == 0
    (found,) = labels_in(tmp_path / 'out')
    assert (found == expected).mean() > 0.995


def test_file_of_one_size_takes_tiles_of_this_size(toys, tmp_path):
    path = exported(toys['classes'], tmp_path / 'model/street.onnx', '--size', 40, 48)
    pixels, windows = image(136, 208), ExportedModel(path)
    Image.fromarray(pixels).save(tmp_path / 'x.png')
    assert call(path, tmp_path / 'x.png', '--out', tmp_path / 'out', '--tile', 64).returncode == 0
    (found,) = labels_in(tmp_path / 'out')
    assert found.shape == (136, 208)
    assert (found[:32, :40] == windows.labels(pixels[:40, :48])[:32, :40]).all()
    assert (found[-32:, -40:] == windows.labels(pixels[-40:, -48:])[-32:, -40:]).all()


def test_images_that_cannot_be_labelled_are_listed_and_the_others_are(street, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    whole = image(60, 80)
    Image.fromarray(whole).save(folder / 'a.png')
    Image.fromarray(whole[..., 0]).save(folder / 'z.png')
    Image.fromarray(whole[..., 0].astype(np.uint16) * 200).save(folder / 'deep.png')
    Image.fromarray(whole[..., 0].astype(np.float32)).save(folder / 'float.tif')
    Image.fromarray(whole[..., 0].astype(np.int32)).save(folder / 'int.tif')
    Image.fromarray(whole).convert('CMYK').save(folder / 'print.jpg')
    Image.fromarray(whole[:3]).save(folder / 'small.png')
    Image.new('1', (20000, 20000)).save(folder / 'bomb.png')
    (folder / 'cut.png').write_bytes((folder / 'a.png').read_bytes()[:2000])
    (folder / 'text.jpg').write_text('no image')
    done = call(street, folder, '--out', tmp_path / 'out')
    assert done.returncode == 1 and done.stdout.startswith('2 images in ')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['a.png', 'z.png']
    lines = done.stderr.splitlines()
    for name, text in {
        'bomb.png': 'exceeds limit',
        'cut.png': 'truncated',
        'deep.png': 'of mode I;16: save it as 8-bit',
        'float.tif': 'of mode F: save it as 8-bit',
        'int.tif': 'of mode I: save it as 8-bit',
        'print.jpg': 'of mode CMYK: save it as 8-bit',
        'small.png': 'it has 3x80 pixels, the model takes',
        'text.jpg': 'cannot identify',
    }.items():
        (line,) = (one for one in lines if one.startswith(f'failed: {folder / name}: '))
        assert text in line
        lines.remove(line)
    assert not lines


def test_results_never_take_the_place_of_another_or_of_an_image(street, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    Image.fromarray(image(60, 80)).save(folder / 'a.png')
    before = (folder / 'a.png').read_bytes()
    Image.fromarray(image(60, 80)).save(folder / 'a.jpg')
    for words, text in (
        ([folder, '--out', tmp_path / 'out'], 'would both be'),
        ([folder, '--out', folder / 'results'], 'lies in'),
        ([folder / 'a.png', '--out', folder], 'is an image that is read'),
        ([folder / 'b.png', '--out', tmp_path / 'out'], 'does not exist'),
        ([street.parent, '--out', tmp_path / 'out'], 'no images'),
        ([folder / 'a.png', '--out', tmp_path / 'out', '--tile', 20], 'give --tile of 64'),
    ):
        done = call(street, *words)
        assert done.returncode == 1 and done.stderr.startswith('error: '), done.stderr
        assert text in done.stderr and len(done.stderr.splitlines()) == 1
    assert (folder / 'a.png').read_bytes() == before and not (tmp_path / 'out').exists()
    twice = [folder / 'a.png', folder / '.' / 'a.png', '--out', tmp_path / 'out']
    assert call(street, *twice).stdout.startswith('1 images in ')


def test_models_that_cannot_be_run_are_a_sentence(street, photos, tmp_path):
    script = write_runner(tmp_path / 'cut.onnx')
    (tmp_path / 'cut.onnx').write_bytes(street.read_bytes()[:5000])
    (tmp_path / 'other.tflite').write_bytes(b'\x1c\0\0\0TFL3' + bytes(100))
    litert = "import sys; sys.modules['ai_edge_litert'] = type(sys)('ai_edge_litert'); "
    litert += "m = sys.modules['ai_edge_litert.interpreter'] = type(sys)('x'); m.Interpreter = None"
    for model, code, text in (
        ('cut.onnx', None, 'cut.onnx cannot be run ('),
        ('other.tflite', litert, 'other.tflite cannot be run ('),
        ('nothing.onnx', None, 'nothing.onnx holds 0 models'),
        ('run.py', None, 'run.py holds 0 models'),
        (None, None, 'holds 2 models: name one'),
        (street, 'import sys; sys.modules["onnxruntime"] = None', 'pip install onnxruntime'),
    ):
        named = [] if model is None else ['--model', tmp_path / model]
        done = call(script, photos, '--out', tmp_path / 'out', *named, code=code)
        assert done.returncode == 1 and done.stderr.startswith('error: '), done.stderr
        assert text in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / 'out').exists()


def of_channels(number: int, path: Path) -> ExportedModel:
    """A file of a random network for images of so many channels, with ``run.py`` beside it."""
    settings = segmentor_config()
    settings['backbone']['inputs'] = number
    normalization = dict(mean=[100.0] * number, std=[50.0] * number)
    settings['data_preprocessor'] = dict(type='openseg_plugin.SegDataPreProcessor', **normalization)
    init_default_scope('mmseg')
    torch.manual_seed(7)
    model = MODELS.build(ConfigDict(settings)).eval()
    path.parent.mkdir()
    graph = InferenceGraph(model, GraphOptions(size=(60, 80))).eval()
    options = dict(classes='abcde', palette=[(k, k, k) for k in range(5)], config={})
    write(graph, path, metadata_of(graph, checkpoint=None, **options))
    write_runner(path)
    return ExportedModel(path)


def test_gray_models_get_gray_images_and_those_of_more_bands_are_refused(tmp_path):
    gray = of_channels(1, tmp_path / 'gray/model.onnx')
    colors = Image.fromarray(image(60, 80))
    colors.save(tmp_path / 'x.png')
    words = [tmp_path / 'x.png', '--out', tmp_path / 'out', '--overlay']
    assert call(gray.path, *words).returncode == 0
    (found,) = labels_in(tmp_path / 'out')
    expected = gray.labels(np.asarray(colors.convert('L'))[:, :, None])
    assert len(np.unique(expected)) > 1 and (found != expected).sum() <= 2
    with Image.open(tmp_path / 'out/x_overlay.jpg') as overlay:
        assert overlay.mode == 'RGB'
    bands = of_channels(5, tmp_path / 'bands/model.onnx')
    done = call(bands.path, *words)
    assert done.returncode == 1 and 'takes 5 channels: run it with' in done.stderr


def environment(folder: Path, *packages: str) -> Path:
    """Python of an environment with links to so many of the installed packages and no others."""
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path('purelib', vars={'base': str(folder)}))
    for package in packages:
        found = metadata.distribution(package)
        for name in {file.parts[0] for file in found.files or ()} - {'..'}:
            (site / name).symlink_to(Path(str(found.locate_file(name))))
    return folder / 'bin/python'


@pytest.mark.slow
@pytest.mark.parametrize(('package', 'ending'), [('onnxruntime', '.onnx'), ('openvino', '.xml')])
def test_runner_needs_numpy_pillow_and_the_runtime_alone(toys, photos, tmp_path, package, ending):
    pytest.importorskip(package, reason='its extra is not installed')
    path = tmp_path / f'model/street{ending}'
    exported(toys['classes'], path, '--output', 'probabilities')
    python = environment(tmp_path / 'environment', 'numpy', 'pillow', package)
    code = (
        'import pkgutil, sysconfig; site = sysconfig.get_path("purelib"); '
        'print(*(one.name for one in pkgutil.iter_modules([site])))'
    )
    done = subprocess.run([python, '-c', code], capture_output=True, text=True, env={})
    assert set(done.stdout.split()) == {'numpy', 'PIL', package}, done.stderr
    for tiles in ([], ['--tile', 64, '--overlap', 32]):
        out = tmp_path / f'out{len(tiles)}'
        done = call(path, photos, '--out', out, '--overlay', *tiles, python=python)
        assert done.returncode == 0, done.stderr
        assert [one.shape for one in labels_in(out)] == SIZES
        assert len(list(out.rglob('*_overlay.jpg'))) == len(SIZES)
    expected = [ExportedModel(path).labels(image(*size)) for size in SIZES]
    for found, wanted in zip(labels_in(tmp_path / 'out0'), expected):
        assert (found == wanted).mean() >= 0.9999
    damaged = path if package == 'onnxruntime' else path.with_suffix('.bin')
    damaged.write_bytes(damaged.read_bytes()[:100])
    done = call(path, photos, '--out', tmp_path / 'damaged', python=python)
    assert done.returncode == 1 and f'error: {path} cannot be run (' in done.stderr
    assert len(done.stderr.splitlines()) == 1
