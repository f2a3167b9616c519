"""Model folders to and from a hub: a stand-in on loopback keeps and gives what is pushed."""

import base64
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from toy_test_set import write_test_set

import openseg_plugin
from openseg_plugin.cli.browse_dataset import main as browse
from openseg_plugin.cli.config import main as print_config
from openseg_plugin.cli.main import run
from openseg_plugin.cli.weights import main as weights
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.converters.checkpoints.release import pull
from openseg_plugin.converters.checkpoints.stored_config import STORED_CONFIG, as_data
from openseg_plugin.errors import CheckpointError

pytest.importorskip('huggingface_hub', reason='the extra [hub] is not installed')
COMMIT = 'c' * 40


class Hub(BaseHTTPRequestHandler):
    """The few calls of a hub that carry small files: all go inside the commit."""

    files: dict[str, bytes]

    def log_message(self, *_):
        pass

    def answer(self, content: object, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        if self.path.endswith('/repos/create'):
            self.answer({'url': f'http://{self.headers["Host"]}/me/toy', 'id': 'me/toy'})
        elif self.path.endswith('/validate-yaml'):
            self.answer({'errors': [], 'warnings': []})
        elif '/preupload/' in self.path:
            names = [one['path'] for one in json.loads(body)['files']]
            modes = [dict(path=n, uploadMode='regular', shouldIgnore=False) for n in names]
            self.answer({'files': modes})
        elif '/commit/' in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry['key'] == 'file':
                    self.files[entry['value']['path']] = base64.b64decode(entry['value']['content'])
            url = f'http://{self.headers["Host"]}/me/toy/commit/{COMMIT}'
            self.answer({'commitUrl': url, 'commitOid': COMMIT, 'success': True})
        else:
            self.answer({}, 404)

    def do_GET(self):
        if self.path.startswith('/api/models/me/toy'):
            if '/tree/' in self.path:
                self.answer(
                    [
                        dict(type='file', path=n, size=len(c), oid='0' * 40)
                        for n, c in self.files.items()
                    ]
                )
            else:
                names = [{'rfilename': name} for name in self.files]
                self.answer({'id': 'me/toy', 'modelId': 'me/toy', 'sha': COMMIT, 'siblings': names})
            return
        name = self.path.rpartition('/')[2]
        if self.path.startswith('/me/toy/resolve/') and name in self.files:
            self.answer(self.files[name], ETag=f'"{name}1"', X_Repo_Commit=COMMIT)
        else:
            self.answer({'error': 'no'}, 404, X_Error_Code='RepoNotFound')

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch, tmp_path):
    files: dict[str, bytes] = {}
    server = ThreadingHTTPServer(('127.0.0.1', 0), type('Ours', (Hub,), {'files': files}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{server.server_port}')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_DISABLE_XET', True)
    monkeypatch.setenv('HF_TOKEN', 'hf_of_the_test')
    yield files
    server.shutdown()


def call(*arguments: object) -> int:
    return run(weights, [str(argument) for argument in arguments])


def own_checkpoint(folder: Path) -> Path:
    config, path = write_test_set(folder, number=1)
    content = read_checkpoint(str(path))
    content['meta'][STORED_CONFIG] = as_data(Config.fromfile(config).to_dict())
    torch.save(content, folder / 'own.pth')
    return folder / 'own.pth'


def test_folder_is_pushed_pulled_and_predicts_as_the_checkpoint(hub, tmp_path, capsys):
    checkpoint = own_checkpoint(tmp_path)
    folder = tmp_path / 'toy'
    assert call('convert', checkpoint, folder, '--format', 'hub', '--license', 'mit') == 0
    assert call('push', folder, 'me/toy') == 0
    assert set(hub) == {'model.safetensors', 'config.json', 'README.md'}
    card = hub['README.md'].decode()
    assert 'license: mit' in card and 'dark, middle, bright' in card
    assert call('pull', 'hf://me/toy', '--to', tmp_path / 'pulled') == 0
    assert (tmp_path / 'pulled/config.json').read_bytes() == hub['config.json']

    (image,) = (tmp_path / 'data/val/image').iterdir()
    expected = openseg_plugin.load(str(checkpoint)).predict(image)
    for name in ('hf://me/toy', str(folder)):
        found = openseg_plugin.load(name)
        assert found.classes == expected.classes
        assert np.array_equal(found.predict(image).labels, expected.labels), name
    found = openseg_plugin.load(tmp_path / 'toy.py', 'hf://me/toy')
    assert np.array_equal(found.predict(image).labels, expected.labels)
    assert call('convert', 'hf://me/toy', tmp_path / 'back.pth') == 0
    back = read_checkpoint(str(tmp_path / 'back.pth'))['state_dict']
    assert back.keys() == read_checkpoint(str(checkpoint))['state_dict'].keys()
    capsys.readouterr()
    assert run(print_config, ['hf://me/toy', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['test_dataloader'].keys() >= {'dataset'}
    samples = ['--split', 'test', '--num', '1', '--out', str(tmp_path / 'samples')]
    assert run(browse, ['hf://me/toy', *samples]) == 0


def test_what_a_hub_has_not_is_one_sentence(hub, tmp_path, capsys):
    for name, said in (('hf://me/other', 'cannot be had'), ('hf://me', 'give hf://user/name')):
        assert call('pull', name) == 2
        error = capsys.readouterr().err
        assert said in error and error.count('\n') == 1
    hub['pytorch_model.bin'] = b'pickle'
    hub['config.json'] = b'{}'
    with pytest.raises(CheckpointError, match=r'has no model\.safetensors'):
        pull('me/toy', tmp_path / 'pulled')
    assert not (tmp_path / 'pulled' / 'pytorch_model.bin').exists(), 'nothing else is downloaded'
    shutil.rmtree(tmp_path / 'pulled')
    (tmp_path / 'x').mkdir()
    assert call('push', tmp_path / 'x', 'me/toy') == 2
    assert '--format hub' in capsys.readouterr().err
