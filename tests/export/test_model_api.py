"""OpenVINO's Model API reads what an exported file says of itself, and gives its labels."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_segmentor import image
from toy_test_set import write_test_set

from openseg_plugin.cli.export import main as export
from openseg_plugin.cli.main import run
from openseg_plugin.export.session import ExportedModel

pytestmark = pytest.mark.slow
PROGRAM = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from model_api.adapters import OpenvinoAdapter, create_core
from model_api.models import SegmentationModel
from model_api.tilers import SemanticSegmentationTiler

# f32 by name: OpenVINO takes bfloat16 by itself on some processors
settings = {'INFERENCE_PRECISION_HINT': 'f32'}
adapter = OpenvinoAdapter(create_core(), sys.argv[2], device='CPU', plugin_config=settings)
model = SegmentationModel.create_model(adapter)
pixels = np.load(sys.argv[3])
tiles = {'tile_size': 128, 'tiles_overlap': 0.25, 'tile_with_full_img': False}
tiler = SemanticSegmentationTiler(model, tiles, execution_mode='sync')
np.savez(sys.argv[4], whole=model(pixels).resultImage, tiled=tiler(pixels).resultImage)
print(json.dumps([type(model).__name__, model.params.labels]))
"""


@pytest.fixture(scope='module')
def package(tmp_path_factory) -> Path:
    """Folder with the package; its dependencies, but for another OpenCV, are those of here."""
    pytest.importorskip('openvino', reason='the extra [openvino] is not installed')
    folder = tmp_path_factory.mktemp('model_api')
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target']
    wanted = [str(folder), 'openvino-model-api==0.4.7']
    if subprocess.run([*command, *wanted], capture_output=True).returncode:
        pytest.skip('pip cannot fetch openvino-model-api, which needs Python 3.11')
    return folder


def test_model_api_and_its_tiler_give_the_labels_of_the_file(package, tmp_path):
    toy = write_test_set(tmp_path, number=2)
    path = tmp_path / 'street.xml'
    options = ['--output', 'probabilities', '--check', 'none']
    assert run(export, [str(one) for one in (*toy, path, *options)]) == 0
    exported, pixels = ExportedModel(path), image(250, 330)
    np.save(tmp_path / 'x.npy', pixels)
    files = [str(package), str(path), str(tmp_path / 'x.npy'), str(tmp_path / 'labels.npz')]
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, *files], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == ['SegmentationModel', list(exported.metadata.classes)]
    with np.load(tmp_path / 'labels.npz') as found:
        assert (found['whole'] == exported.labels(pixels)).mean() >= 0.9999
        assert (found['tiled'] == blended(exported, pixels)).mean() >= 0.9999


def blended(exported: ExportedModel, pixels: np.ndarray) -> np.ndarray:
    """Labels of the mean probabilities of tiles of 128 pixels that share a quarter."""
    height, width = pixels.shape[:2]
    total = np.zeros((len(exported.metadata.classes), height, width))
    count = np.zeros((height, width))
    for top in range(0, height, 96):
        for left in range(0, width, 96):
            place = np.s_[top : top + 128, left : left + 128]
            total[(slice(None), *place)] += exported.run(pixels[place])[0]
            count[place] += 1
    return (total / count).argmax(axis=0)
