"""What the packages of the targets do to the process that uses them."""

import subprocess
import sys

import pytest

CLOSED_IN_ORDER = """
import gc, os, signal
import openvino
from openvino import opset13
from openseg_plugin.export.targets import openvino_core

def compiled():
    images = opset13.parameter([1, 3, 8, 8])
    model = openvino.Model([opset13.relu(images)], [images], 'any')
    return openvino_core().compile_model(model, 'CPU')

first, second = compiled(), compiled()
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print('heard'))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signals_are_heard_after_two_openvino_models_were_closed():
    pytest.importorskip('openvino', reason='the extra [openvino] is not installed')
    # with faulthandler there is a stack for signals; without, none is replaced
    command = [sys.executable, '-X', 'faulthandler', '-c', CLOSED_IN_ORDER]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (0, 'heard\n'), run.stderr
