"""mmseg's own scripts and calls on our configs, unchanged: each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mmseg
import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.stock, pytest.mark.slow]

PROJECT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(mmseg.__file__).parent / '.mim' / 'tools'
NUM_CLASSES = 11
SIDE = 64  # pixels of the square images; crops are padded to the config's 360x480

# method of the config: what makes the rest of its network as small as the head
METHODS = {'ocr': '', 'hmsa': 'scale_attention=dict(in_channels=16, channels=8),'}
CONFIG = """
_base_ = {base}
model = dict(
    backbone=dict(num_modules=(1, 1, 1), num_blocks=1),
    decode_head=dict(channels=16, key_channels=8),
    {more}
)
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2))
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, batch_size=2)
val_dataloader = loader
test_dataloader = loader
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='openseg_plugin.LoadLabels'),
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 1.0)),
    dict(type='openseg_plugin.PackMultiScaleInputs'),
]
"""


def write_camvid(root: Path) -> None:
    """Three images per split in CamVid's layout: bands of color and their labels."""
    generator = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        for kind in ('images', 'labels'):
            (root / 'camvid' / kind / split).mkdir(parents=True)
        for k in range(3):
            bands = generator.integers(0, NUM_CLASSES, SIDE // 8, dtype=np.uint8)
            label = np.repeat(np.repeat(bands, 8)[:, None], SIDE, axis=1)
            image = (label[..., None] * np.uint8([20, 10, 5])).astype(np.uint8)
            Image.fromarray(image).save(root / 'camvid' / 'images' / split / f'{k}.png')
            Image.fromarray(label).save(root / 'camvid' / 'labels' / split / f'{k}.png')


def run_python(folder: Path, *arguments: object) -> str:
    """Standard output of ``python ARGUMENTS`` on the data in ``folder``; shows the errors."""
    paths = os.pathsep.join([str(PROJECT), os.environ.get('PYTHONPATH', '')])
    environment = {
        **os.environ,
        'PYTHONPATH': paths,
        'DATA_ROOT': str(folder),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f'{done.stdout[-2000:]}\n{done.stderr[-4000:]}'
    return done.stdout


@pytest.fixture(scope='module', params=METHODS)
def trained(request, tmp_path_factory) -> Path:
    """Folder with the data, ``tiny.py`` and ``work/iter_2.pth`` that mmseg's train.py made."""
    folder = tmp_path_factory.mktemp('stock')
    write_camvid(folder)
    leaf = f'{request.param}/hrnet18_camvid_20k.py'
    base = repr(str(PROJECT / 'configs' / leaf))
    if request.param == 'ocr':  # the name of the package, as docs/concepts/configs.md says
        base = f"__import__('openseg_plugin') and 'openseg_plugin::{leaf}'"
    text = CONFIG.format(base=base, more=METHODS[request.param])
    (folder / 'tiny.py').write_text(text)
    run_python(folder, SCRIPTS / 'train.py', 'tiny.py', '--work-dir', 'work')
    return folder


def metrics(folder: Path, work_dir: str) -> dict:
    (path,) = (folder / work_dir).glob('*/*.json')
    return json.loads(path.read_text())


def test_train_script_trains_and_resumes(trained):
    assert (trained / 'work' / 'iter_2.pth').is_file()
    options = ['--cfg-options', 'train_cfg.max_iters=3']
    said = run_python(
        trained, SCRIPTS / 'train.py', 'tiny.py', '--work-dir', 'work', '--resume', *options
    )
    assert 'resumed epoch: 0, iter: 2' in said
    assert (trained / 'work' / 'iter_3.pth').is_file()


def test_test_script_writes_metrics_label_maps_and_images(trained):
    outputs = ['--work-dir', 'plain', '--out', 'labels', '--show-dir', 'images']
    outputs += ['--cfg-options', 'default_hooks.visualization.interval=1']
    run_python(trained, SCRIPTS / 'test.py', 'tiny.py', 'work/iter_2.pth', *outputs)
    found = metrics(trained, 'plain')
    assert {'mIoU', 'mAcc', 'aAcc'} <= set(found) and 0 <= found['mIoU'] <= 100
    label = np.asarray(Image.open(trained / 'labels' / '0.png'))
    assert label.shape == (SIDE, SIDE) and label.max() < NUM_CLASSES
    assert len(list(trained.glob('**/vis_image/*.png'))) == 3


def test_test_script_with_tta_uses_our_views(trained):
    run_python(
        trained, SCRIPTS / 'test.py', 'tiny.py', 'work/iter_2.pth', '--work-dir', 'tta', '--tta'
    )
    assert 0 <= metrics(trained, 'tta')['mIoU'] <= 100


CALLS = """
import openseg_plugin  # first, where mmcv has no compiled ops
import numpy as np
from mmseg.apis import MMSegInferencer, inference_model, init_model

image = 'camvid/images/test/0.png'
model = init_model('tiny.py', 'work/iter_2.pth', device='cpu')
by_model = inference_model(model, image).pred_sem_seg.data[0].numpy()
inferencer = MMSegInferencer('tiny.py', 'work/iter_2.pth', device='cpu')
by_inferencer = inferencer(image, out_dir='inferred', pred_out_dir='labels')['predictions']
print(by_model.shape, model.dataset_meta['classes'][:2], np.array_equal(by_model, by_inferencer))
"""


def test_calls_predict_an_image(trained):
    said = run_python(trained, '-c', CALLS)
    assert said.splitlines()[-1] == f"({SIDE}, {SIDE}) ('sky', 'building') True"
    assert (trained / 'inferred' / 'vis' / '0.png').is_file()
