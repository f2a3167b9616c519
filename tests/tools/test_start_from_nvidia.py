"""The README's start of a training: NVIDIA's Mapillary file, one scale, 65 classes."""

import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import published_hmsa
import published_ocr
import pytest
import torch
import toy_run
from mmengine.config import Config
from mmengine.registry import init_default_scope

from openseg_plugin.cli.convert_dataset import main as convert
from openseg_plugin.cli.synth import main as draw
from openseg_plugin.registry import MODELS

LEAF = 'configs/hmsa/hrnet48_cityscapes_175e.py'
FILE = 'ocrnet.HRNet_industrious-chicken.pth'
MAPILLARY_CLASSES = 65
SKIPPED = 'load_from brings all weights: open-mmlab://msra/hrnetv2_w48 is not read'
CLASSIFIER = [
    f'decode_head.{layer}.{entry}'
    for layer in ('conv_seg', 'region_seg')
    for entry in ('weight', 'bias')
]
ATTENTION = ['scale_attention.convs.0.conv.weight', 'scale_attention.conv_attention.weight']
# smaller crops leave the norms one or two pixels at stride 32 of the reduced copy
SMALL_RUN = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=100',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.sampler.tile=64',
    'train_dataloader.dataset.pipeline.4.crop_size=(128,256)',
    'model.data_preprocessor.size=(128,256)',
    'default_hooks.logger.interval=1',
]


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """``DATA_ROOT`` with a few drawn scenes in the place of Cityscapes."""
    folder = tmp_path_factory.mktemp('start')
    draw([str(folder / 'raw'), '--train', '9', '--val', '1', '--size', '128', '256'])
    convert(['cityscapes', str(folder / 'raw'), str(folder / 'data' / 'cityscapes')])
    return folder / 'data'


def write_file(folder: Path, model: torch.nn.Module) -> Path:
    """What NVIDIA's training saves."""
    checkpoint = {
        'epoch': 174,
        'arch': 'ocrnet.HRNet',
        'num_classes': MAPILLARY_CLASSES,
        'state_dict': published_hmsa.nvidia_weights(model),
    }
    torch.save(checkpoint, folder / FILE)
    return folder / FILE


def readme_command() -> list[str]:
    text = (toy_run.ROOT / 'configs' / 'hmsa' / 'README.md').read_text()
    found = re.search(rf'^(openseg train {LEAF} .*?{FILE})$', text, re.M | re.S)
    return shlex.split(found.group(1).replace('\\\n', ' '))


def require_named(log: str, names: Iterable[str]) -> None:
    """The log says where the weights came from, what was not taken from them, and finite losses."""
    assert 'weights of ocrnet.HRNet of nvidia converted on loading' in log
    (line,) = [one for one in log.splitlines() if 'drop_classifier: kept as initialized' in one]
    assert all(name in line for name in names), line
    assert 'decode_head.bottleneck' not in line and 'backbone' not in line
    losses = [float(value) for value in re.findall(r' loss: (\S+)', log)]
    assert len(losses) == 2 and all(map(math.isfinite, losses)), log[-2000:]


def test_narrow_file_starts_the_recipe_with_all_but_classifier_and_attention(
    tmp_path, data, monkeypatch, capsys
):
    monkeypatch.setenv('DATA_ROOT', str(data))
    monkeypatch.chdir(tmp_path)
    init_default_scope('mmseg')
    single = published_hmsa.filled(single=True, classes=MAPILLARY_CLASSES)
    file = write_file(tmp_path, single)
    options = [
        f'load_from={file}',
        *SMALL_RUN,
        'model.backbone.width=4',
        'model.backbone.num_modules=(1,1,1)',
        'model.backbone.num_blocks=1',
        'model.decode_head.in_channels=(4,8,16,32)',
        'model.decode_head.channels=8',
        'model.decode_head.key_channels=4',
        'model.decode_head.region.channels=6',
        'model.scale_attention.in_channels=8',
        'model.scale_attention.channels=5',
        'optim_wrapper.optimizer.lr=0.0',
    ]
    with published_ocr.shallow_tables():
        config, folder = toy_run.ROOT / LEAF, tmp_path / 'work'
        assert toy_run.train(config, folder, '--drop-classifier', *options) == 0
    assert SKIPPED in capsys.readouterr().out
    (log,) = folder.glob('*/*.log')
    require_named(log.read_text(), [*CLASSIFIER, *ATTENTION])
    trained = toy_run.last_checkpoint(folder)['state_dict']
    for name, value in single.named_parameters():
        assert torch.equal(trained[name], value) is (name not in CLASSIFIER), name


@pytest.mark.slow
def test_command_of_the_readme_starts_from_a_file_of_the_published_size(tmp_path, data):
    init_default_scope('mmseg')
    single = Config.fromfile(toy_run.ROOT / 'configs/hmsa/hrnet48_single_cityscapes_175e.py')
    single.model.backbone.init_cfg = None
    single.model.decode_head.num_classes = MAPILLARY_CLASSES
    write_file(tmp_path, MODELS.build(single.model))
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(toy_run.ROOT / name)
    command = [sys.executable, '-m', 'openseg_plugin', *readme_command()[1:], *SMALL_RUN]
    command += ['default_hooks.checkpoint.save_last=False']
    environment = {**toy_run.environment(), 'DATA_ROOT': str(data), 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert SKIPPED in done.stdout
    (log,) = (tmp_path / 'work_dirs' / 'hmsa').glob('*/*/*.log')
    require_named(log.read_text(), [*CLASSIFIER, *ATTENTION])
    assert os.path.getsize(tmp_path / FILE) > 4 * 70e6  # bytes of 70 million weights
