"""Checkpoints as mmengine's own runner writes them: message hub, log buffers, optimizer, resume."""

import numpy as np
import pytest
import torch
import toy_run
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.converters.checkpoints.stored_config import stored_config


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))

    def forward(self, inputs, mode='loss'):
        return {'loss': self.layers(inputs).square().mean()}


def run(work_dir, steps: int, *, resume: bool = False) -> Runner:
    images = torch.randn(8, 3, 4, 4)
    runner = Runner(
        Toy(),
        str(work_dir),
        train_dataloader=DataLoader(images, 2, collate_fn=lambda x: {'inputs': torch.stack(x)}),
        train_cfg={'by_epoch': False, 'max_iters': steps},
        optim_wrapper={'type': 'OptimWrapper', 'optimizer': {'type': 'AdamW', 'lr': 0.01}},
        param_scheduler={'type': 'PolyLR', 'by_epoch': False, 'end': 6},
        default_hooks={
            'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 4},
            'logger': {'type': 'LoggerHook', 'interval': 1},
        },
        resume=resume,
        experiment_name=f'reader_{work_dir.name}_{steps}',
    )
    runner.train()
    return runner


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    run(folder, 4)
    return folder


def assert_same(actual, expected):
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_same(actual[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for ours, theirs in zip(actual, expected):
            assert_same(ours, theirs)
    elif isinstance(expected, HistoryBuffer):
        assert type(actual) is HistoryBuffer
        np.testing.assert_array_equal(actual.data, expected.data)
        for statistic in ('min', 'max', 'mean', 'current'):
            assert actual.statistics(statistic) == expected.statistics(statistic)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(actual, expected)
    else:
        assert type(actual) is type(expected)
        assert actual == expected or (actual != actual and expected != expected)


@pytest.mark.parametrize('is_zip', [True, False])
def test_everything_in_a_training_checkpoint_is_read(work_dir, tmp_path, is_zip):
    expected = torch.load(work_dir / 'iter_4.pth', weights_only=False)
    assert {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers'} <= set(expected)
    assert any(isinstance(x, np.generic) for x in expected['message_hub']['runtime_info'].values())
    path = tmp_path / 'copy.pth'
    torch.save(expected, path, _use_new_zipfile_serialization=is_zip)
    assert_same(read_checkpoint(path), expected)


def test_mmengine_resumes_its_own_checkpoint(work_dir):
    runner = run(work_dir, 6, resume=True)
    assert runner.iter == 6
    losses, _ = runner.message_hub.get_scalar('train/loss').data
    assert len(losses) == 6  # four of them from the file
    optimizer = runner.optim_wrapper.optimizer.state_dict()['state']
    assert all(state['step'] == 6 for state in optimizer.values())


@pytest.mark.parametrize(
    'scheduler',
    [
        dict(type='MultiStepLR', milestones=[1, 3]),  # a Counter
        dict(type='OneCycleLR', eta_max=0.1, total_steps=9),  # a function
        dict(type='MultiStepMomentum', milestones=[1, 3]),
    ],
    ids=lambda scheduler: scheduler['type'],
)
def test_own_training_is_resumed_exactly_and_its_file_is_read(tmp_path, scheduler):
    data = toy_run.write_data(tmp_path / 'data', number=4)
    config = toy_run.toy_config(
        tmp_path, data, param_scheduler=[dict(scheduler, by_epoch=False)],
        train_cfg=dict(max_iters=4, val_interval=4),
    )  # fmt: skip
    assert toy_run.train(config, tmp_path / 'whole') == 0
    middle = tmp_path / 'whole' / 'iter_2.pth'
    assert toy_run.train(config, tmp_path / 'cut', '--resume', str(middle)) == 0
    whole, cut = (toy_run.last_checkpoint(tmp_path / name) for name in ('whole', 'cut'))
    toy_run.assert_same_state(whole, cut)
    assert_same(cut['param_schedulers'], whole['param_schedulers'])
    assert stored_config(whole)['param_scheduler'][0]['type'] == scheduler['type']
