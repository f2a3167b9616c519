"""``tools/benchmark.py export``: exported files beside torch, as a table and as JSON."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from toy_segmentor import segmentor_config

from benchmarks.__main__ import main
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS


@pytest.fixture
def with_a_small_network(monkeypatch):
    pytest.importorskip('onnxruntime', reason='the extra [export] is not installed')
    pytest.importorskip('openvino', reason='the extra [openvino] is not installed')
    from benchmarks import export

    def network(setting):
        init_default_scope('mmseg')
        config = segmentor_config(num_classes=setting.classes)
        config['backbone'] = dict(type='openseg_plugin.TwoConvs')
        return MODELS.build(ConfigDict(config)).eval()

    monkeypatch.setattr(export, 'NETWORKS', {'small': network})
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_every_target_is_measured_beside_torch(with_a_small_network, capsys):
    arguments = ['--size', '64', '96', '--classes', '5', '--rounds', '1', '--models', 'small']
    assert main(['export', *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line.split(' | ') for line in lines if line.startswith('| small')]
    has_litert, has_nncf = (importlib.util.find_spec(one) for one in ('litert_torch', 'nncf'))
    assert [row[1] for row in table] == [
        *('torch', 'torch folded', 'onnx', 'openvino', 'pt2'),
        *(['litert'] if has_litert else []),
        *('openvino-bf16', 'onnx-int8'),
        *(['openvino-int8'] if has_nncf else []),
    ]
    found = json.loads(lines[-1])
    assert found['setting']['size'] == [64, 96]
    ways = found['results']['small']
    assert ways['torch']['to_eager'] == 1 and ways['torch']['differing'] == 0
    for name in ('torch folded', 'onnx', 'openvino', 'pt2'):
        assert ways[name]['differing'] <= 1 and ways[name]['error'] < 1e-4, name
    assert all(way['milliseconds'] > 0 and way['pixels'] == 64 * 96 for way in ways.values())
    assert ways['torch']['megabytes'] is None and ways['onnx']['megabytes'] > 0


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [(['export', 'metric'], 'runs alone'), (['export', '--models', 'w99'], 'w99')],
)
def test_what_cannot_be_measured_is_named(arguments, text):
    with pytest.raises(ConfigError, match=text):
        main(arguments)


def test_the_package_runs_as_the_script_does():
    words = [sys.executable, '-m', 'benchmarks', 'export', '--models', 'w99']
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 2 and 'w99' in done.stderr
