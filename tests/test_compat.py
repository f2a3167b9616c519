"""What compat mends, what it leaves alone, and the sentence for every wrong installation."""

import hashlib
import http.server
import os
import pickle
import pkgutil
import subprocess
import sys
import threading
from functools import partial
from importlib import metadata
from pathlib import Path

import mmengine.runner.checkpoint as mmengine_checkpoint
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from openseg_plugin import checkpoint_loading, compat
from openseg_plugin.engine.cli import run
from openseg_plugin.errors import CheckpointError, DependencyError

PROJECT = Path(compat.__file__).parent.parent
GOOD = dict(torch='2.13.0', mmengine='0.10.7', mmcv='2.1.0', mmseg='1.2.2')


def run_python(code: str, *folders: Path, cwd: Path = PROJECT) -> subprocess.CompletedProcess:
    """``python -c code`` that finds ``folders`` before everything that is installed."""
    paths = os.pathsep.join(map(str, (*folders, PROJECT)))
    environment = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-c', code]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def fake_package(folder: Path, name: str, version: str, *, code: str = '', **modules: str) -> None:
    package = folder / name
    package.mkdir()
    (package / '__init__.py').write_text(code)
    (package / 'version.py').write_text(f"__version__ = '{version}'\n")
    for module, text in modules.items():
        (package / f'{module}.py').write_text(text)


# --- compiled ops


IMPORT_EXT = """
import sys, openseg_plugin, mmcv
try:
    import mmcv._ext as ext
except ModuleNotFoundError:
    print('missing')
else:
    print('stand-in' if type(ext).__name__ == '_MissingOps' else 'own')
"""


@pytest.mark.parametrize(
    ('mmseg', 'has_ops', 'outcome'),
    [
        ('1.2.2', False, 'stand-in'),
        ('1.2.2', True, 'own'),
        ('1.4.2', False, 'missing'),
        ('1.4.2', True, 'own'),
    ],
)
def test_compiled_ops_are_stood_in_for_only_where_mmseg_cannot_do_without(
    tmp_path, mmseg, has_ops, outcome
):
    fake_package(tmp_path, 'mmseg', mmseg)
    fake_package(tmp_path, 'mmcv', '2.1.0', **(dict(_ext='') if has_ops else {}))
    done = run_python(IMPORT_EXT, tmp_path)
    assert done.stdout == f'{outcome}\n', done.stderr


def test_stand_in_when_called_names_the_op():
    ops = compat._MissingOps('mmcv._ext')
    with pytest.raises(NotImplementedError, match=r'"nms_rotated".*compiled mmcv'):
        ops.nms_rotated()
    with pytest.raises(AttributeError):
        _ = ops.__wrapped__  # inspect asks for such names and must get no


def test_mmcv_imported_first_is_mended_too(tmp_path):
    fake_package(tmp_path, 'mmseg', '1.2.2')
    fake_package(tmp_path, 'mmcv', '2.1.0')
    done = run_python('import mmcv; import openseg_plugin, mmcv._ext; print("fine")', tmp_path)
    assert done.stdout == 'fine\n', done.stderr


# --- Python 3.14, setuptools 82, torchvision


def test_find_loader_where_python_dropped_it_is_back():
    code = (
        'import pkgutil; vars(pkgutil).pop("find_loader", None)\n'
        'import openseg_plugin\n'
        'print(pkgutil.find_loader("json") is not None, pkgutil.find_loader("no_such_module"))'
    )
    assert run_python(code).stdout == 'True None\n'


def test_find_loader_where_python_has_it_is_left_alone():
    assert pkgutil.find_loader.__module__ in ('pkgutil', 'openseg_plugin.compat')
    if sys.version_info < (3, 14):
        assert pkgutil.find_loader.__module__ == 'pkgutil'


def test_is_installed_needs_no_pkg_resources():
    from mmengine.utils import get_installed_path, is_installed

    assert is_installed('mmseg') and is_installed('torch')
    assert not is_installed('no_such_package')
    assert Path(get_installed_path('mmseg'), 'apis').is_dir()


def test_own_package_queries_agree_with_the_installed_files():
    assert compat.is_installed('pip') and compat.is_installed('pytest-xdist')
    assert compat.package2module('pytest-xdist') in ('xdist', 'pytest_xdist')
    assert Path(compat.get_installed_path('torch')) == Path(torch.__file__).parent
    with pytest.raises(metadata.PackageNotFoundError):
        compat.get_installed_path('no-such-package')
    with pytest.raises(metadata.PackageNotFoundError):
        compat.package2module('no-such-package')


@pytest.mark.skipif(
    not compat.is_installed('mmsegmentation'), reason='the fork does not find itself by this name'
)
def test_configs_can_inherit_from_mmseg(tmp_path):
    config = tmp_path / 'leaf.py'
    config.write_text("_base_ = ['mmseg::_base_/default_runtime.py']\n")
    assert Config.fromfile(config).default_scope == 'mmseg'


def test_torchvision_of_another_torch_does_not_end_the_run(tmp_path):
    broken = 'raise RuntimeError("operator torchvision::nms does not exist")'
    fake_package(tmp_path, 'torchvision', '0.28.0', code=broken)
    code = (
        'import openseg_plugin\n'
        'from mmengine.utils.dl_utils import collect_env\n'
        'print("TorchVision" in collect_env())'
    )
    done = run_python(code, tmp_path)
    assert done.stdout == 'False\n', done.stderr


# --- checkpoints


class Touch:
    """Pickles to a call that creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def evil(tmp_path):
    """A checkpoint that creates ``proof`` when it is unpickled by the ordinary rules."""
    path, proof = tmp_path / 'evil.pth', tmp_path / 'proof'
    torch.save(dict(state_dict=dict(w=torch.ones(1)), extra=Touch(proof)), path)
    return path, proof


def test_checkpoint_with_training_state_loads_through_mmengine(tmp_path):
    buffer = HistoryBuffer()
    buffer.update(0.5, 2)
    saved = dict(state_dict=dict(w=torch.ones(2)), message_hub=dict(log_scalars=dict(loss=buffer)))
    torch.save(saved, tmp_path / 'iter_1.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'iter_1.pth'), map_location='cpu')
    assert torch.equal(loaded['state_dict']['w'], torch.ones(2))
    assert loaded['message_hub']['log_scalars']['loss'].mean() == buffer.mean()


def test_checkpoint_that_would_run_code_is_refused(evil):
    path, proof = evil
    with pytest.raises(CheckpointError, match=r'nothing was executed.*--trust-checkpoint'):
        CheckpointLoader.load_checkpoint(str(path))
    assert not proof.exists()


def test_checkpoint_that_is_trusted_is_read(evil, monkeypatch):
    path, proof = evil
    monkeypatch.setenv(compat.TRUST_VARIABLE, '0')
    compat.trust_checkpoints(True)
    assert CheckpointLoader.load_checkpoint(str(path))['state_dict']['w'] == 1
    assert proof.exists()
    compat.trust_checkpoints(False)
    assert not compat.checkpoints_are_trusted()


def test_loaders_are_replaced_when_mmengine_was_imported_first():
    code = (
        'from mmengine.runner import CheckpointLoader\n'
        'import openseg_plugin\n'
        'print(CheckpointLoader._get_checkpoint_loader("a/b.pth").__module__)'
    )
    assert run_python(code).stdout == 'openseg_plugin.checkpoint_loading\n'


def test_aliases_download_through_the_safe_loader(monkeypatch):
    seen = []
    monkeypatch.setattr(
        mmengine_checkpoint, 'load_from_http', lambda url, map_location=None: seen.append(url)
    )
    CheckpointLoader.load_checkpoint('open-mmlab://msra/hrnetv2_w48')
    assert len(seen) == 1 and seen[0].startswith('http')
    assert checkpoint_loading.load_from_http.__name__ == 'load_from_http'


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Address of a web server over ``tmp_path/web``."""
    (tmp_path / 'web').mkdir()
    monkeypatch.setenv('no_proxy', '127.0.0.1')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path / 'web'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


def test_download_is_read_safely_and_kept(server, evil, tmp_path):
    torch.save(dict(state_dict=dict(w=torch.ones(1))), tmp_path / 'web' / 'plain.pth')
    evil[0].rename(tmp_path / 'web' / 'evil.pth')
    cache = str(tmp_path / 'cache')
    load = partial(checkpoint_loading.load_from_http, model_dir=cache, progress=False)
    assert load(f'{server}/plain.pth')['state_dict']['w'] == 1
    with pytest.raises(CheckpointError, match='nothing was executed'):
        load(f'{server}/evil.pth')
    (tmp_path / 'web' / 'plain.pth').unlink()
    assert load(f'{server}/plain.pth')['state_dict']['w'] == 1


def test_download_whose_name_states_a_hash_must_have_it(server, tmp_path):
    torch.save(dict(state_dict=dict(w=torch.ones(1))), tmp_path / 'web' / 'x.pth')
    content = (tmp_path / 'web' / 'x.pth').read_bytes()
    right = f'net-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    wrong = 'net-00000000.pth'
    load = partial(checkpoint_loading.load_from_http, model_dir=str(tmp_path), progress=False)
    for name in (right, wrong):
        (tmp_path / 'web' / name).write_bytes(content)
    assert load(f'{server}/{right}')['state_dict']['w'] == 1
    with pytest.raises(CheckpointError, match=r'arrived damaged.*00000000'):
        load(f'{server}/{wrong}')
    assert not (tmp_path / wrong).exists()


def test_download_that_fails_names_the_address(server, tmp_path):
    with pytest.raises(CheckpointError, match=f'{server}/no.pth cannot be downloaded'):
        checkpoint_loading.load_from_http(f'{server}/no.pth', model_dir=str(tmp_path))


def test_pickles_of_the_evil_fixture_do_run_by_the_ordinary_rules(tmp_path):
    pickle.loads(pickle.dumps(Touch(tmp_path / 'proof')))
    assert (tmp_path / 'proof').exists()


# --- wrong installations


def check_with(monkeypatch, *, missing: str = '', numpy: str = '2.4.6', **versions: str) -> None:
    """``compat.check`` where ``missing`` is not installed and others have other versions."""
    find_spec, known = compat.importlib.util.find_spec, {**GOOD, **versions}
    monkeypatch.setattr(
        compat.importlib.util,
        'find_spec',
        lambda name, package=None: None if name == missing else find_spec(name, package),
    )
    monkeypatch.setattr(compat, '_version', lambda package: known[package])
    monkeypatch.setattr(metadata, 'version', lambda name: {'numpy': numpy}[name])
    monkeypatch.setattr(metadata, 'distributions', lambda name: [])
    compat.check.__wrapped__()


@pytest.mark.parametrize(
    'versions',
    [
        dict(),
        dict(mmcv='2.2.0', mmseg='1.4.2', mmengine='0.10.12'),
        dict(torch='2.1.2+cu118', numpy='1.26.4'),
        dict(torch='2.3.0'),
        dict(mmcv=''),
    ],
)
def test_good_combinations_pass(monkeypatch, versions):
    check_with(monkeypatch, **versions)


@pytest.mark.parametrize(
    ('missing', 'command'),
    [
        ('torch', 'pip install torch==2.13.0'),
        ('mmengine', 'pip install mmengine==0.10.7'),
        ('mmcv', 'pip install mmcv-lite==2.1.0'),
        ('mmseg', 'pip install mmsegmentation==1.2.2'),
        ('ftfy', 'pip install ftfy regex'),
        ('regex', 'pip install ftfy regex'),
    ],
)
def test_missing_dependency_is_named_with_its_command(monkeypatch, missing, command):
    with pytest.raises(DependencyError) as caught:
        check_with(monkeypatch, missing=missing)
    assert str(caught.value) == f'{missing} is needed but not installed: {command}'


@pytest.mark.parametrize(
    ('versions', 'sentence'),
    [
        (dict(mmcv='2.2.0'), 'mmcv 2.2.0 .* mmsegmentation 1.2.2 refuses .* mmcv-lite==2.1.0$'),
        (dict(mmcv='1.7.2'), 'mmcv 1.7.2 is installed, but 2.0 or newer, below 3.0 is needed'),
        (dict(mmseg='0.30.0'), 'mmseg 0.30.0 is installed, but 1.2 or newer, below 2.0 is needed'),
        (dict(mmengine='0.7.0'), 'mmengine 0.7.0 .* 0.10 or newer, below 1.0 is needed'),
        (dict(torch='2.0.1'), 'torch 2.0.1 is installed, but 2.1 or newer is needed: pip install'),
        (dict(torch='2.2.2'), 'torch 2.2.2 was built for numpy 1, but numpy 2.4.6 is installed'),
    ],
)
def test_versions_that_do_not_fit_are_refused(monkeypatch, versions, sentence):
    with pytest.raises(DependencyError, match=sentence):
        check_with(monkeypatch, **versions)


def write_distribution(folder: Path, name: str, version: str) -> None:
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


def test_two_packages_over_the_same_files_are_refused(tmp_path, monkeypatch):
    write_distribution(tmp_path, 'mmengine', '0.10.7')
    write_distribution(tmp_path, 'onedl-mmengine', '0.10.12')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    with pytest.raises(DependencyError, match=r'installed over the same files.*pip uninstall'):
        compat._check_together()


def test_wrong_mmcv_reaches_the_user_through_mmseg(tmp_path):
    fake_package(tmp_path, 'mmcv', '2.2.0')
    fake_package(tmp_path, 'mmseg', '1.2.2')
    done = run_python('import openseg_plugin.registry', tmp_path)
    assert done.stderr.splitlines()[-1].startswith(
        'openseg_plugin.errors.DependencyError: mmcv 2.2.0 is installed, but'
    )


def test_tool_with_wrong_mmcv_says_one_sentence(tmp_path):
    fake_package(tmp_path, 'mmcv', '2.2.0')
    fake_package(tmp_path, 'mmseg', '1.2.2', code='raise AssertionError("MMCV==2.2.0 is used")')
    code = "from openseg_plugin.engine.cli import run; exit(run('openseg_plugin.engine.train'))"
    done = run_python(code, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith('error: mmcv 2.2.0 is installed, but mmsegmentation 1.2.2')
    assert done.stderr.count('\n') == 1


def test_tool_whose_import_misses_a_package_says_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / 'some_tool.py').write_text('import no_such_package.part')
    monkeypatch.syspath_prepend(tmp_path)
    assert run('some_tool', []) == 2
    said = 'error: no_such_package is needed but not installed: pip install -r requirements.txt\n'
    assert capsys.readouterr().err == said


def test_version_is_read_without_importing(tmp_path, monkeypatch):
    fake_package(tmp_path, 'explodes', '3.4.5', code='raise RuntimeError')
    fake_package(tmp_path, 'fork', '0')
    (tmp_path / 'fork' / 'version.py').write_text("__version__ = version('pytest')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert compat._version('explodes') == '3.4.5'
    assert compat._version('fork') == pytest.__version__
    assert compat._version('no_such_package') == ''
