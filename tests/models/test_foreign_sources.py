"""Files of every source, each in its authors' container, by the three ways of using a file.

The networks are those of the configs that the converter names, but narrow and (HRNet) shallow.
"""

import os
import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import published_ocr
import pytest
import torch
import toy_run
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.apis import init_model
from PIL import Image

from openseg_plugin.cli import test
from openseg_plugin.cli.main import run
from openseg_plugin.converters.checkpoints import (
    convert,
    hrnet_ocr,
    mmseg,
    networks,
    nvidia,
    openseg,
    paddle_networks,
    paddleseg,
    pytorchcv,
    read_checkpoint,
)
from openseg_plugin.converters.checkpoints.keys import Bias, LayerMapping
from openseg_plugin.converters.checkpoints.reader import NAME_TABLE
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

CLASSES = 3  # of toy_run's data
NORM = ('weight', 'bias', 'running_mean', 'running_var')
NARROW = {
    'backbone.width': 4, 'backbone.num_modules': (1, 1, 1), 'backbone.num_blocks': 1,
    'decode_head.in_channels': [4, 8, 16, 32], 'decode_head.channels': 8,
    'decode_head.key_channels': 4, 'decode_head.region.channels': 6,
}  # fmt: skip
ATTENTION = {'scale_attention.in_channels': 8, 'scale_attention.channels': 4}


@dataclass(frozen=True)
class Case:
    """One network of a source: the config for it, and how its authors name and save it."""

    config: str
    units: Iterable[LayerMapping]
    narrow: dict = field(default_factory=lambda: NARROW)
    prefix: str = ''
    counters: bool = True
    suffix: str = '.pth'


def cases() -> dict[str, Case]:
    """Made late: the tables are shallow only within the fixture."""
    backbone = [*networks.hrnet('backbone.', 'backbone.')]
    shallow = paddle_networks.HRNetKind(4, **published_ocr.SHALLOW)
    scales = nvidia._scale_attention({f'scale_attn.conv{i}.weight': None for i in range(3)})
    return {
        'openseg': Case(
            'ocr/hrnet48_iabn_cityscapes_80k.py',
            [*backbone, *openseg.NETWORKS['hrnet_w48_ocr'].units('')],
            prefix='module.', counters=False,
        ),
        'hrnet_ocr': Case(
            'ocr/hrnet48_hrnetocr_cityscapes_484e.py',
            [*networks.hrnet('', 'backbone.'), *hrnet_ocr._ocr_head()],
            prefix='model.',
        ),
        'nvidia': Case(
            'hmsa/hrnet48_cityscapes_175e.py', [*backbone, *nvidia._ocr_head('ocr.'), *scales],
            narrow=NARROW | ATTENTION, prefix='module.',
        ),
        'paddleseg': Case(
            'ocr/hrnet48_paddleseg_cityscapes_160k.py',
            [*paddle_networks.hrnet('backbone.', 'backbone.', shallow),
             *paddleseg.ocr_head('head.', inner_bias=Bias.KEEP)],
            counters=False, suffix='.pdparams',
        ),
        'pytorchcv': Case(
            'bisenet/r18_pytorchcv_voc_50e.py',
            [*pytorchcv.backbone(ZOO_BACKBONE, is_part=True), *pytorchcv.bisenet()],
            narrow={},
        ),
        'mmseg': Case('ocr/hrnet48_mmseg_cityscapes_160k.py', [*backbone, *mmseg._ocr_head()]),
    }  # fmt: skip


ZOO_BACKBONE = pytorchcv.Backbone(18, 64, is_deep=False)
SOURCES = ['openseg', 'hrnet_ocr', 'nvidia', 'paddleseg', 'pytorchcv', 'mmseg']


@dataclass(frozen=True)
class Published:
    """A file, the config that it is used with, and its weights as the converter has them."""

    file: Path
    config: Path
    weights: dict[str, torch.Tensor]

    def reference(self) -> torch.nn.Module:
        """The model with these weights loaded under its own names."""
        model = MODELS.build(Config.fromfile(self.config).model)
        model.load_state_dict(self.weights, strict=True)
        return model.eval()


@pytest.fixture(scope='module', params=SOURCES)
def published(request, tmp_path_factory):
    with published_ocr.shallow_tables():
        case = cases()[request.param]
        folder = tmp_path_factory.mktemp(request.param)
        model = narrow_model(case)
        weights = their_weights(case, model)
        file = save(weights, folder / f'theirs{case.suffix}')
        data = toy_run.write_data(folder / 'data', number=1, size=(64, 96))
        steps = [*toy_run.LOADING, dict(type='PackSegInputs')]
        config = toy_run.toy_config(
            folder, data, model=model, load_from=str(file),
            test_dataloader=toy_run.loader(data, 'val', steps, batch_size=1),
            test_evaluator=dict(type='openseg_plugin.IoUMetric'),
        )  # fmt: skip
        conversion = convert(read_checkpoint(file))
        assert conversion.source.name == request.param
        converted = {k: torch.as_tensor(v) for k, v in conversion.state_dict.items()}
        yield Published(file, config, converted)


def narrow_model(case: Case) -> dict:
    """Model of the config, narrow, for the classes of the test data."""
    cfg = Config.fromfile(config_path(case.config))
    cfg.merge_from_dict({f'model.{name}': value for name, value in case.narrow.items()})
    waiting, replaced = (
        [cfg.model],
        {'num_classes': CLASSES, 'class_weight': None, 'init_cfg': None},
    )
    while waiting:
        part = waiting.pop()
        part.update({name: value for name, value in replaced.items() if name in part})
        for value in part.values():
            waiting += [x for x in (value if isinstance(value, list) else [value])
                        if isinstance(x, dict)]  # fmt: skip
    return cfg.model.to_dict()


def their_weights(case: Case, model: dict) -> dict[str, torch.Tensor]:
    """Weights under the source's names in the shapes of ``model``."""
    init_default_scope('mmseg')
    shapes = {k: v.shape for k, v in MODELS.build(Config(dict(m=model)).m).state_dict().items()}
    torch.manual_seed(4)
    theirs = {}
    for unit in case.units:
        width = shapes[f'{unit.target}.weight'][:1]
        wanted = {f'{unit.source}.weight': shapes[f'{unit.target}.weight']}
        if unit.bias in (Bias.KEEP, Bias.FOLD):
            wanted[f'{unit.source}.bias'] = width
        wanted |= {f'{unit.source_norm}.{part}': width for part in NORM if unit.source_norm}
        for name, shape in wanted.items():
            is_positive = len(shape) == 1 and name.endswith(('weight', 'running_var'))
            numbers = 0.2 + torch.rand(shape) if is_positive else 0.3 * torch.randn(shape)
            theirs[case.prefix + name] = numbers
        if unit.source_norm and case.counters:
            theirs[f'{case.prefix}{unit.source_norm}.num_batches_tracked'] = torch.tensor(5)
    return theirs


def save(weights: dict[str, torch.Tensor], path: Path) -> Path:
    """As the authors do."""
    if path.suffix == '.pth':
        torch.save({'state_dict': weights, 'epoch': 3}, path)
        return path
    endings = {'running_mean': '_mean', 'running_var': '_variance'}
    arrays = {}
    for name, value in weights.items():
        module, _, part = name.rpartition('.')
        arrays[f'{module}.{endings.get(part, part)}'] = value.numpy()
    table = {name: f'param_{i}.w_0' for i, name in enumerate(arrays)}
    path.write_bytes(pickle.dumps({**arrays, NAME_TABLE: table}, protocol=4))
    return path


def assert_holds(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    state = model.state_dict()
    assert state.keys() == weights.keys()
    assert [k for k, v in weights.items() if not torch.equal(state[k], v)] == []


def test_load_from_of_a_runner_takes_the_file(published, tmp_path):
    cfg = Config.fromfile(published.config)
    cfg.update(work_dir=str(tmp_path), experiment_name=f'{published.file.parent.name}-load')
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    assert_holds(runner.model, published.weights)


def test_init_model_takes_the_file(published):
    model = init_model(str(published.config), str(published.file), device='cpu')
    assert_holds(model, published.weights)


def test_test_tool_predicts_with_the_file_as_with_the_converted_weights(
    published, tmp_path, capsys
):
    out = tmp_path / 'labels'
    arguments = [str(published.config), str(published.file), '--out', str(out)]
    name = f'experiment_name={published.file.parent.name}-test'
    arguments += ['--work-dir', str(tmp_path / 'work'), '--cfg-options', name]
    assert run(test.main, arguments) == 0, capsys.readouterr().err
    image = np.array(Image.open(published.file.parent / 'data' / 'val' / 'image' / '00.png'))
    inputs = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    sample = published.reference().test_step(dict(inputs=[inputs], data_samples=[blank(inputs)]))[0]
    predicted = np.array(Image.open(out / os.listdir(out)[0]))
    np.testing.assert_array_equal(predicted, sample.pred_sem_seg.data[0].numpy())
    assert len(np.unique(predicted)) > 1


def blank(inputs: torch.Tensor):
    """A sample that says how large its image is."""
    from mmseg.structures import SegDataSample

    size = tuple(inputs.shape[1:])
    return SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size))
