"""mmseg's own test script and inference calls on our segmentor and test-time augmentation."""

import subprocess
import sys
from pathlib import Path

import mmseg
import numpy as np
import pytest
import torch
from PIL import Image
from toy_run import environment
from toy_test_set import write_test_set

SCRIPT = Path(mmseg.__file__).parent / '.mim' / 'tools' / 'test.py'
pytestmark = pytest.mark.stock


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_test_set(tmp_path_factory.mktemp('toy'))


@pytest.fixture
def image(files):
    return str(files[0].parent / 'data' / 'val' / 'image' / '00.png')


def stock_test(files, folder, *arguments):
    assert SCRIPT.is_file(), 'the wheel of mmsegmentation has no .mim/tools'
    command = [sys.executable, SCRIPT, *files, '--work-dir', folder, *arguments]
    return subprocess.run(
        list(map(str, command)), env=environment(), cwd=folder, capture_output=True, text=True
    )


@pytest.mark.parametrize('arguments', [(), ('--tta',)])
def test_stock_test_script_evaluates_draws_and_writes_label_maps(files, tmp_path, arguments):
    every_image = ('--cfg-options', 'default_hooks.visualization.interval=1')
    done = stock_test(
        files,
        tmp_path,
        *arguments,
        '--out',
        tmp_path / 'out',
        '--show-dir',
        'shown',
        *every_image,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'mIoU' in done.stdout
    assert len(list((tmp_path / 'out').iterdir())) == 5
    assert len(list(tmp_path.rglob('vis_image/*.png'))) == 5


def test_init_model_and_inference_model_predict_a_file_and_an_array(files, image):
    from mmseg.apis import inference_model, init_model

    model = init_model(str(files[0]), str(files[1]), device='cpu')
    from_file = inference_model(model, image).pred_sem_seg.data
    assert from_file.shape == (1, 36, 48)
    assert from_file.dtype == torch.int64
    bgr = np.asarray(Image.open(image))[..., ::-1].copy()
    from_array = inference_model(model, [bgr, bgr])
    assert all(torch.equal(result.pred_sem_seg.data, from_file) for result in from_array)


def test_inferencer_predicts_and_draws(files, image, tmp_path):
    from mmseg.apis import MMSegInferencer

    inferencer = MMSegInferencer(str(files[0]), str(files[1]), device='cpu')
    results = inferencer([image, image], out_dir=str(tmp_path), return_vis=True)
    assert [p.shape for p in results['predictions']] == [(36, 48)] * 2
    assert results['visualization'][0].shape == (36, 48, 3)
    assert len(list((tmp_path / 'pred').iterdir())) == 2
