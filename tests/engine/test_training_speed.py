"""What makes a training fast changes neither its results nor what is written of it."""

import json
from pathlib import Path
from unittest import mock

import mmseg
import numpy as np
import pytest
import torch
import toy_run
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from torch import nn

from openseg_plugin.config.loading import load_config
from openseg_plugin.engine.hooks.visualization import Visualizer
from openseg_plugin.engine.optim.schedulers import BackboneHeadConstructor
from openseg_plugin.engine.runner.speed import wants_channels_last
from openseg_plugin.errors import ConfigError
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS, OPTIM_WRAPPERS

STOCK = 'ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024.py'
ITERATIONS = 50


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=4)


def networks() -> tuple[nn.Module, nn.Module]:
    """mmseg's OCR on the small HRNet-W18 and ours, with a narrow head, in float64, same weights."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    stock = Config.fromfile(Path(mmseg.__file__).parent / '.mim/configs' / STOCK).model
    stock.pretrained = None
    ours = Config.fromfile(config_path('_base_/models/ocr_hrnet18s_mmseg.py')).model
    ours.backbone.init_cfg = None
    ours.decode_head.num_classes = 19
    for head in (*stock.decode_head, ours.decode_head, ours.decode_head.region):
        head.channels = 64
    pair = [revert_sync_batchnorm(MODELS.build(part)).double() for part in (stock, ours)]
    kind = nn.modules.batchnorm._BatchNorm
    norms = [part for model in pair for part in model.modules() if isinstance(part, kind)]
    for norm in norms:
        norm.momentum = 1
    with torch.no_grad():
        features = pair[0].train().extract_feat(torch.randn(2, 3, 64, 64).double())
        pair[0].decode_head[1](features, pair[0].decode_head[0](features))
    pair[1].load_state_dict(pair[0].state_dict())
    pair[1].train().to(memory_format=torch.channels_last)
    # statistics of few pixels, and large steps, would make any rounding grow in each iteration
    for norm in norms:
        norm.eval()
    return pair[0], pair[1]


def losses(model: nn.Module, wrapper: OptimWrapper, size: tuple[int, int]) -> list[float]:
    """Loss of each iteration on one batch, which can be learned: a class is a color."""
    generator = torch.Generator().manual_seed(1)
    found = []
    blocks = torch.randint(0, 19, (2, 1, 8, 8), generator=generator)
    labels = blocks.repeat_interleave(size[0] // 8, 2).repeat_interleave(size[1] // 8, 3)
    colors = torch.randn((19, 3), generator=generator, dtype=torch.float64)
    images = colors[labels[:, 0]].permute(0, 3, 1, 2)
    for _ in range(ITERATIONS):
        samples = [SegDataSample(metainfo=dict(img_shape=size)) for _ in labels]
        for sample, label in zip(samples, labels):
            sample.gt_sem_seg = PixelData(data=label)
        parsed, _ = model.parse_losses(model.loss(images, samples))
        wrapper.update_params(parsed)
        found.append(parsed.item())
    return found


def test_fifty_iterations_are_those_of_stock_mmseg():
    stock, ours = networks()
    options = dict(type='SGD', lr=5e-7, momentum=0.9, weight_decay=0.0005)
    constructor = BackboneHeadConstructor(dict(type='OptimWrapper', optimizer=options))
    plain = {name: value for name, value in options.items() if name != 'type'}
    size = (32, 32)
    expected = losses(stock, OptimWrapper(torch.optim.SGD(stock.parameters(), **plain)), size)
    assert expected[-1] < 0.9 * expected[0]
    assert losses(ours, constructor(ours), size) == pytest.approx(expected, rel=1e-5)


def test_memory_format_is_chosen_by_the_config_and_the_machine(monkeypatch):
    config = Config(dict(optim_wrapper=dict(type='OptimWrapper')))
    assert wants_channels_last(config) is torch.backends.mkldnn.is_available()
    OPTIM_WRAPPERS.get('OptimWrapper')  # imports, before torch claims to have a GPU
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    assert not wants_channels_last(config)
    assert wants_channels_last(Config(dict(optim_wrapper=dict(type='AmpOptimWrapper'))))
    assert not wants_channels_last(Config(dict(memory_format='contiguous')))
    assert wants_channels_last(Config(dict(memory_format='channels_last')))
    with pytest.raises(ConfigError, match='memory_format'):
        wants_channels_last(Config(dict(memory_format='NHWC')))


@pytest.mark.parametrize('memory_format', ['contiguous', 'channels_last'])
def test_every_value_of_the_log_is_written_whenever_it_is_fetched(data, tmp_path, memory_format):
    config = toy_run.toy_config(tmp_path, data)
    options = [f'memory_format={memory_format}', 'default_hooks.logger.interval=3']
    expected, found = {}, {}
    for kept, work, hook in (
        (expected, 'stock', 'RuntimeInfoHook'),
        (found, 'ours', 'openseg_plugin.RuntimeInfoHook'),
    ):
        options = [*options, f'default_hooks.runtime_info.type={hook}']
        assert toy_run.train(config, tmp_path / work, *options) == 0
        checkpoint = toy_run.last_checkpoint(tmp_path / work)
        scalars = checkpoint['message_hub']['log_scalars']
        kept.update({k: v.data for k, v in scalars.items() if 'loss' in k or 'acc' in k})
        (log,) = (tmp_path / work).glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        kept['log'] = [line['loss'] for line in lines if 'loss' in line]
        is_last = checkpoint['state_dict']['backbone.0.weight'].is_contiguous(
            memory_format=torch.channels_last
        )
        assert is_last is (memory_format == 'channels_last')
    assert len(expected) > 1
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_no_config_goes_through_yapf(data, tmp_path):
    config = toy_run.toy_config(tmp_path, data)
    with mock.patch('mmengine.config.config.FormatCode', side_effect=AssertionError):
        assert toy_run.train(config, tmp_path / 'work') == 0
    (dumped,) = (tmp_path / 'work').glob('*.py')
    again = load_config(str(dumped))
    assert again.train_cfg == load_config(str(config)).train_cfg
    stored = toy_run.last_checkpoint(tmp_path / 'work')['meta']['cfg']
    assert Config.fromstring(stored, '.py').model.type == 'openseg_plugin.ToyNet'


def test_a_visualizer_draws_as_stock_does_and_makes_no_figure_before():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    drawn = []
    for kind in (SegLocalVisualizer, Visualizer):
        visualizer = kind(vis_backends=[dict(type='LocalVisBackend')], save_dir=None)
        assert kind is SegLocalVisualizer or visualizer._figure is None
        visualizer.set_image(image)
        visualizer.draw_lines(np.array([3, 30]), np.array([4, 20]))
        drawn.append((visualizer.get_image(), visualizer.dpi))
    np.testing.assert_array_equal(drawn[1][0], drawn[0][0])
    assert drawn[1][1] == drawn[0][1]
    assert (drawn[0][0] != image).any()


def test_starting_a_training_imports_no_more_than_it_needs(data, tmp_path):
    config = toy_run.toy_config(tmp_path, data)
    code = (
        'import sys\n'
        'from openseg_plugin.cli.main import run\n'
        'from openseg_plugin.cli.train import main\n'
        f'arguments = [{str(config)!r}, "--work-dir", {str(tmp_path / "work")!r}]\n'
        'options = ["train_cfg.max_iters=1", "val_dataloader=None"]\n'
        'options += ["default_hooks.logger.interval=50"]\n'
        'assert run(main, [*arguments, "--cfg-options", *options]) == 0\n'
        'names = ("matplotlib", "scipy.optimize", "pandas", "torchvision", "timm")\n'
        'print([name for name in names if name in sys.modules])\n'
    )
    said, errors = toy_run.start('-c', code).communicate(timeout=300)
    assert said.endswith('[]\n'), errors
