"""sdist and wheel hold what they should, and the wheel alone is enough to work with."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
LEAF = 'ocr/hrnet18_synth_quickstart.py'
# what people and tools leave in a checkout
NOT_IN_A_CLONE = {'build', 'data', 'dist', 'shared', 'work_dirs'}
MADE = {'__pycache__', '_build', '_generated', 'generated'}
NEVER = shutil.ignore_patterns('*.egg-info', *MADE)


@pytest.fixture(scope='module')
def dist(tmp_path_factory) -> Path:
    """Folder with the sdist, and with the wheel that is built from the unpacked sdist."""
    folder = tmp_path_factory.mktemp('distribution')
    clone = folder / 'clone'  # the tree may change while the tests run
    shutil.copytree(PROJECT, clone, ignore=not_in_a_clone)
    build('from setuptools import build_meta as b; b.build_sdist("dist")', clone)
    (sdist,) = (clone / 'dist').glob('*.tar.gz')
    with tarfile.open(sdist) as packed:
        # Python before 3.11.4 has no filters
        safely = dict(filter='data') if hasattr(tarfile, 'data_filter') else {}
        packed.extractall(folder / 'unpacked', **safely)
    (source,) = (folder / 'unpacked').iterdir()
    build(f'from setuptools import build_meta as b; b.build_wheel({str(clone / "dist")!r})', source)
    return clone / 'dist'


def not_in_a_clone(folder: str, names: list[str]) -> set[str]:
    ignored = NEVER(folder, names)
    if Path(folder) == PROJECT:
        ignored |= NOT_IN_A_CLONE | {name for name in names if name.startswith('.')}
    return ignored | ({'data'} if Path(folder) == PROJECT / 'tests' else set())


def build(code: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def in_sdist(dist: Path) -> set[str]:
    (sdist,) = dist.glob('*.tar.gz')
    with tarfile.open(sdist) as packed:
        return {member.name.partition('/')[2] for member in packed if member.isfile()}


def in_wheel(dist: Path) -> set[str]:
    (wheel,) = dist.glob('*.whl')
    return set(zipfile.ZipFile(wheel).namelist())


def tracked(folder: str, *endings: str) -> set[str]:
    found = (PROJECT / folder).rglob('*')
    return {
        path.relative_to(PROJECT).as_posix()
        for path in found
        if path.suffix in endings and not MADE & set(path.parts)
    }


def test_sdist_has_tools_configs_documentation_and_no_tests(dist):
    files = in_sdist(dist)
    wanted = tracked('tools', '.py', '.sh') | tracked('configs', '.py', '.md')
    wanted |= tracked('docs', '.py', '.sh', '.md', '.jpg') | tracked('benchmarks', '.py')
    wanted |= {'LICENSE', 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'}
    wanted |= {'CITATION.cff', 'pyproject.toml', 'requirements.txt', 'requirements-dev.txt'}
    wanted |= {'requirements-headless.txt'}
    assert wanted <= files
    assert not {name for name in files if name.startswith(('tests/', '.')) or '/_build/' in name}


def test_wheel_has_every_file_of_the_package_and_every_config(dist):
    files = {name for name in in_wheel(dist) if '.dist-info/' not in name}
    package = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / 'openseg_plugin').rglob('*')
        if path.is_file() and path.suffix != '.pyc'
    }
    configs = {f'openseg_plugin/{name}' for name in tracked('configs', '.py', '.md')}
    assert files == package | configs


def test_version_is_the_same_wherever_it_is_said(dist):
    (wheel,) = dist.glob('*.whl')
    version = wheel.name.split('-')[1]
    assert f'\nversion: {version}\n' in (PROJECT / 'CITATION.cff').read_text(encoding='utf-8')
    assert version in (PROJECT / 'CHANGELOG.md').read_text(encoding='utf-8')


def test_wheel_has_the_license_and_says_that_it_is_typed(dist):
    files = in_wheel(dist)
    assert 'openseg_plugin/py.typed' in files
    assert any(name.endswith('.dist-info/licenses/LICENSE') for name in files)


@pytest.fixture(scope='module')
def installed(dist, tmp_path_factory) -> Path:
    """Folder of the commands of an environment with the wheel and its dependencies alone."""
    folder = tmp_path_factory.mktemp('environment')
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path('purelib', vars={'base': str(folder)}))
    # the dependencies are those of this environment; its own editable install is not seen there
    others = {str(Path(path)) for path in sys.path if Path(path).name.endswith('-packages')}
    (site / 'dependencies.pth').write_text('\n'.join(sorted(others)) + '\n')
    (wheel,) = dist.glob('*.whl')
    options = [
        '--no-deps',
        '--no-index',
        '--quiet',
        '--no-warn-script-location',
        '--ignore-installed',
    ]
    command = [sys.executable, '-m', 'pip', '--python', str(folder / 'bin/python'), 'install']
    done = subprocess.run([*command, *options, str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / 'bin'


def call(installed: Path, *words: str, cwd: Path | str = '/') -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    environment['OMP_NUM_THREADS'] = '1'
    return subprocess.run(
        [str(installed / words[0]), *words[1:]],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_installed_package_is_the_wheel(installed):
    done = call(installed, 'python', '-c', 'import openseg_plugin; print(openseg_plugin.__file__)')
    assert str(installed.parent) in done.stdout, done.stderr


def test_installed_config_is_found_and_read(installed):
    code = (
        'import openseg_plugin\n'
        'from mmengine.config import Config\n'
        'from openseg_plugin.paths import config_path\n'
        f'path = config_path({LEAF!r})\n'
        'print(path, Config.fromfile(path).model.type)'
    )
    path, kind = call(installed, 'python', '-c', code).stdout.split()
    assert Path(path).is_relative_to(installed.parent)
    assert kind == 'openseg_plugin.EncoderDecoder'


def test_installed_command_lists_its_verbs(installed):
    done = call(installed, 'openseg', '--help')
    assert done.returncode == 0, done.stderr
    assert 'convert-dataset' in done.stdout


def test_every_verb_of_the_installed_package_shows_its_help(installed):
    code = (
        'from openseg_plugin.cli.main import VERBS, main\n'
        'for verb in VERBS:\n'
        '    try:\n'
        '        status = main([verb, "--help"])\n'
        '    except SystemExit as end:\n'
        '        status = end.code\n'
        '    assert not status, (verb, status)\n'
    )
    done = call(installed, 'python', '-c', code)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_installed_command_converts_trains_and_tests(installed, tmp_path):
    code = f'from openseg_plugin.paths import config_path; print(config_path({LEAF!r}))'
    config = call(installed, 'python', '-c', code).stdout.strip()
    small = ['train_cfg.max_iters=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=2']
    for words in (
        ['synth', 'raw', '--train', '2', '--val', '1', '--size', '64', '128'],
        ['convert-dataset', 'cityscapes', 'raw', 'data/synth'],
        ['check-dataset', config],
        ['train', config, '--work-dir', 'run', '--cfg-options', *small],
        ['test', config, 'run/iter_1.pth', '--work-dir', 'run', '--report', 'report'],
        ['curves', 'run', '--out', 'curves'],
        ['predict', 'run/iter_1.pth', 'data/synth/val/image', '--out', 'predicted'],
        ['browse-dataset', config, '--num', '1', '--out', 'browse'],
    ):
        done = call(installed, 'openseg', *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    for page in ('report/index.html', 'curves/index.html', 'browse/index.html'):
        assert (tmp_path / page).is_file()
    assert len(list((tmp_path / 'predicted').glob('*.png'))) == 1


@pytest.mark.slow
def test_installed_command_leads_from_polygons_to_a_video(installed, tmp_path):
    code = (
        'import json, os\n'
        'import numpy as np\n'
        'from fractions import Fraction\n'
        'from PIL import Image, ImageDraw\n'
        'from openseg_plugin.inference.video import VideoWriter\n'
        'os.mkdir("mine")\n'
        'with VideoWriter("drive.mp4", Fraction(25)) as video:\n'
        '    for k in range(8):\n'
        '        image = Image.effect_noise((96, 64), 20 + k).convert("RGB")\n'
        '        points = [[8 + k, 8], [60, 8 + k], [40, 50]]\n'
        '        ImageDraw.Draw(image).polygon([tuple(one) for one in points], (240, 200, 40))\n'
        '        image.save(f"mine/{k}.png")\n'
        '        video.write(np.asarray(image))\n'
        '        shapes = [dict(label="sign", points=points, shape_type="polygon")]\n'
        '        size = dict(imageHeight=64, imageWidth=96, imagePath=f"{k}.png", imageData=None)\n'
        '        json.dump(dict(shapes=shapes, **size), open(f"mine/{k}.json", "w"))\n'
    )
    pytest.importorskip('av')
    done = call(installed, 'python', '-c', code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    small = ['train_cfg.max_iters=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=2']
    for words in (
        ['convert-dataset', 'labelme', 'mine', 'data/own', '--val-fraction', '0.25'],
        ['configure', 'data/own', '--out', 'my.py', '--from-scratch'],
        ['check-dataset', 'my.py'],
        ['train', 'my.py', '--work-dir', 'run', '--cfg-options', *small],
        ['predict', 'run/iter_1.pth', 'drive.mp4', '--out', 'video'],
    ):
        done = call(installed, 'openseg', *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if words[0] == 'check-dataset':
            assert 'No findings' in done.stdout
        if words[0] == 'train':
            assert len(done.stdout.partition('iteration 1')[0].splitlines()) <= 30
    assert (tmp_path / 'video/drive.mp4').stat().st_size > 1000
