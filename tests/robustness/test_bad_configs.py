"""Wrong types and values in a config are refused before anything is built, with key and value."""

import math
import shutil
from pathlib import Path
from unittest import mock

import mmseg
import numpy as np
import pytest
import toy_run
from mmengine.config import Config
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from PIL import Image
from torch.nn import BatchNorm2d
from torch.utils.data import SequentialSampler
from toy_segmentor import segmentor_config

from openseg_plugin.cli.main import run
from openseg_plugin.cli.train import main
from openseg_plugin.config.check_model import check_single_images
from openseg_plugin.config.options import check_options
from openseg_plugin.config.validation import check_built_hooks, check_testing, check_training
from openseg_plugin.engine.hooks.checkpoint import CheckpointHook
from openseg_plugin.errors import ConfigError
from openseg_plugin.paths import config_path

LEAF = 'ocr/hrnet18_camvid_20k.py'
PACKAGE_CONFIGS = Path(config_path(LEAF)).parents[1]
NO_WHOLE = (0, -1, 1.5, 'two', None, [2], True)
NO_NUMBER = (math.nan, math.inf, -1, 'fast', [0.1])
NO_PAIR = (512, (512,), (0, 512), (512.0, 512.0), 'large', (1, 2, 3))
# key, values that cannot be
CASES = {
    'train_dataloader.batch_size': [v for v in NO_WHOLE if v is not None],
    'val_dataloader.batch_size': [v for v in NO_WHOLE if v is not None],
    'train_dataloader.num_workers': [-1, 1.5, 'two', [2]],
    'val_dataloader.num_workers': [-1, 'auto'],
    'train_dataloader.prefetch_factor': [0, -1, 'two'],
    'train_dataloader.dataset': [None, 'camvid', 7],
    'train_dataloader.dataset.pipeline': ['load', 7, {'type': 'LoadLabels'}],
    'optim_wrapper.optimizer.lr': NO_NUMBER,
    'optim_wrapper.optimizer.momentum': NO_NUMBER,
    'optim_wrapper.optimizer.weight_decay': NO_NUMBER,
    'optim_wrapper.accumulative_counts': [0, -1, 1.5, 'two'],
    'param_scheduler.0.power': ['0.9', -1, [1]],
    'param_scheduler.0.end': ['late', -5],
    'model.data_preprocessor.mean': [[], 'imagenet', [1, 'b', 3], [1, 2, math.nan], 127],
    'model.data_preprocessor.std': [[0, 1, 1], [1, -1, 1], [1, 1], 'unit'],
    'model.data_preprocessor.size': NO_PAIR,
    'model.data_preprocessor.size_divisor': [0, -1, 'two', 1.5],
    'model.test_cfg.mode': ['nothing', None, 1, 'SLIDE'],
    'model.test_cfg': ['whole', 7, [1]],
    'model.decode_head.num_classes': [0, -1, '11', 1.5],
    'model.decode_head.ignore_index': ['void', 1.5],
    'model.decode_head.loss_decode.loss_weight': ['heavy', math.nan, [1]],
    'model.decode_head.loss_decode.class_weight': [
        'no_such_file.npy',
        2,
        ['a'],
        [1, -1],
        [math.nan],
    ],
    'crop_size': NO_PAIR,
    'randomness.seed': [-1, 1.5, 'lucky', 2**32],
    'default_hooks.logger.interval': [0, -2, 'often'],
    'default_hooks.checkpoint.interval': [0, 'often'],
    'default_hooks': [7, 'all'],
    'custom_hooks': [7, 'all'],
}
FLAT = [(key, value) for key, values in CASES.items() for value in values]


def changed(key: str, value: object) -> Config:
    cfg = Config.fromfile(config_path(LEAF))
    *parents, last = key.split('.')
    part = cfg
    for name in parents:
        part = part[int(name)] if name.isdecimal() else part.setdefault(name, {})
    part[last] = value
    return cfg


def test_config_itself_is_right():
    check_training(changed('train_dataloader.batch_size', 1))


@pytest.mark.parametrize('norm', ['SyncBN', 'mmengine.BN', BatchNorm2d])
def test_one_image_is_too_few_for_batch_norm_after_pooling_however_it_is_spelled(norm):
    cfg = Config.fromfile(config_path('pspnet/r101_pytorchcv_jpu_voc_50e.py'))
    cfg.train_dataloader.batch_size = 1
    cfg.model.decode_head.norm_cfg = dict(type='GN', num_groups=8)
    check_single_images(cfg)
    cfg.model.decode_head.norm_cfg = dict(type=norm)
    with pytest.raises(ConfigError, match=r'train_dataloader\.batch_size'):
        check_single_images(cfg)


@pytest.mark.parametrize(('key', 'value'), FLAT, ids=lambda part: str(part)[:40])
def test_value_that_cannot_be_is_named_with_its_key(key, value):
    with pytest.raises(ConfigError) as refused:
        check_training(changed(key, value))
    assert key in str(refused.value)


WIDTHS = (0, -8, 2.5, '8', True)
SHARES = (1.5, -0.1, math.nan, 'some', [0.1])
FROM_0 = (-1, 'few', 1.5, math.nan)
# class -> what it needs, option -> values that cannot be
PARTS = {
    ('decode_head', 'ASPOCHead'): dict(
        asp_channels=WIDTHS,
        dilations=[3, (0, 1), ('a',), ()],
        attention=['none', dict(key_channels=0)],
        with_in_conv=['yes', 1],
        dropout_ratio=SHARES,
        norm_cfg=['BN', 7],
        init_cfg=['x', dict(type='Pretrained', checkpoint=7)],
    ),
    ('decode_head', 'ISAHead'): dict(windows=[8, (8, 8), ((0, 8),)], value_bias=['n']),
    ('decode_head', 'PSPHead'): dict(pool_scales=[(), (0, 1), 3], pool_channels=[0, 'x']),
    ('decode_head', 'CCHead'): dict(recurrence=[0, 'two'], in_index=['last', 0.5]),
    ('decode_head', 'OCRHead'): dict(
        region=[7, dict(channels=0)], key_channels=WIDTHS, loss_decode=[[], 'ce', {}, [7]]
    ),
    ('decode_head', 'DeepLabV3Head'): dict(projection_dropout=[2], bottleneck_kernel=[0, 'big']),
    ('backbone', 'HRNet'): dict(
        width=WIDTHS,
        num_modules=[4, ('a',), (0, 1, 1)],
        frozen_stages=['all', 1.5],
        with_cp=['x'],
        wdith=[18],
    ),
    ('backbone', 'ResNet'): dict(depth=['101', None, 50.5], multi_grid=[2, ('a', 1, 1)]),
    ('backbone', 'BiSeNet'): dict(context=[7, {}], context_channels=[8, (8,), (8, 'a')]),
    ('neck', 'JPU'): dict(in_channels=[8, ('a', 8)], dilations=[(), (0, 1)], coarse_first=['x']),
    ('loss', 'OHEMCrossEntropyLoss'): dict(
        thresh=[1.5, -0.5, 'x', math.nan], min_kept=FROM_0, paddleseg=[7], loss_name=[None]
    ),
    ('loss', 'RMILoss'): dict(radius=WIDTHS, pool_size=[0, 'x'], ridge=[-1, 'x', math.nan]),
    ('loss', 'FocalLoss'): dict(gamma=[-1, 'x', math.nan, [2]]),
    ('loss', 'TverskyLoss'): dict(alpha=[-1, math.nan], gamma=[0], smooth=[-5]),
    ('loss', 'BoundaryRelaxedLoss'): dict(border=FROM_0, strict_classes=[7, ('a',)]),
    ('step', 'RandomCrop'): dict(crop_size=[64, (64,), (0, 64), '64', (64.5, 64), None]),
    ('step', 'RandomFlip'): dict(prob=[2, -1, math.nan, None, 'x']),
    ('step', 'RandomResize'): dict(scale_range=[2, (1,), ('a', 'b')], scale_step=[0, -1, 'x']),
    ('step', 'RandomBrightness'): dict(shift=[-1, 1.5, None, 300]),
    ('step', 'ShortSideResize'): dict(length=[0, 'x', None], interpolation=[7]),
    ('step', 'ColorJitter'): dict(brightness=['x', [0.1, 0.2]], hue=[None]),
    ('sampler', 'ClassUniformSampler'): dict(
        fraction=SHARES, tile=WIDTHS, bias=[7, ['a'], [-1, 1]], boost_classes=[7, ['dark']]
    ),
    ('sampler', 'InfiniteSampler'): dict(seed=['x', -1], shuffle=['x']),
    ('hook', 'MaxTimeHook'): dict(seconds=[-1, 'x', math.nan]),
    ('hook', 'EarlyStoppingHook'): dict(patience=WIDTHS, min_delta=['x'], rule=['up']),
    ('hook', 'LabelCheckHook'): dict(samples=FROM_0, seconds=['x', math.nan]),
    ('hook', 'ConfusionHook'): dict(num_images=FROM_0, ignore_index=['x'], priority=['SOON']),
    ('metric', 'IoUMetric'): dict(
        ignore_index=['x', None], nan_to_num=['x'], collect_device=['tpu'], beta=[0, 'x']
    ),
    ('metric', 'TrimapIoU'): dict(widths=[3, (), (0,), ('a',), (1.5,)]),
    ('metric', 'BoundaryIoU'): dict(dilation_ratio=[0, 2, 'x']),
}
PLACES = {
    **dict.fromkeys(('decode_head', 'backbone', 'neck'), 'model.{}'),
    'loss': 'model.decode_head.loss_decode',
    'step': 'train_dataloader.dataset.pipeline.0',
    'sampler': 'train_dataloader.sampler',
    'hook': 'custom_hooks.0',
    'metric': 'val_evaluator',
}
NEEDED = {
    'RandomCrop': dict(crop_size=(64, 64)),
    'ShortSideResize': dict(length=64),
    'MaxTimeHook': dict(seconds=9),
    'BiSeNet': dict(context=dict(type='openseg_plugin.ResNet')),
}


@pytest.mark.parametrize(('place', 'kind'), PARTS, ids=lambda part: part)
def test_option_of_our_class_that_cannot_be_is_named_with_its_key(place, kind, subtests):
    key = PLACES[place].format(place)
    part = dict(type=f'openseg_plugin.{kind}', **NEEDED.get(kind, {}))
    if place == 'decode_head':
        part |= dict(in_channels=8, channels=8, num_classes=11)
    for option, values in PARTS[place, kind].items():
        for value in values:
            with subtests.test(f'{option}={value!r}'):
                wrong = {**part, option: value}
                cfg = changed(key.removesuffix('.0'), [wrong] if key.endswith('0') else wrong)
                with pytest.raises(ConfigError) as refused:
                    check_training(cfg)
                assert key in str(refused.value) and option in str(refused.value)


def leaves() -> list[Path]:
    return sorted(p for p in PACKAGE_CONFIGS.glob('*/*.py') if p.parent.name != '_base_')


@pytest.mark.parametrize(
    'step', [9, pytest.param(1, marks=pytest.mark.slow)], ids=['some', 'every']
)
def test_options_of_the_shipped_configs_are_right(step, subtests):
    for path in leaves()[::step]:
        with subtests.test(leaf=f'{path.parent.name}/{path.name}'):
            check_options(Config.fromfile(path))


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [
        ('train_dataloader.drop_last', 7, 'drop_last is 7'),
        ('train_dataloader.shuffle', True, 'leave train_dataloader.shuffle out'),
        ('train_dataloader.droplast', True, 'did you mean drop_last'),
        ('train_dataloader.sampler', {}, 'train_dataloader.sampler is {}'),
        ('train_dataloader.dataset.data_prefix', dict(imgpath='a'), 'did you mean img_path'),
        ('train_cfg.dynamic_intervals', [(1, 0)], 'dynamic_intervals is'),
        ('default_hooks.checkpoint.by_epoch', True, 'would save nothing before the end'),
        ('default_hooks.checkpoint.save_best', 'miou', 'did you mean mIoU'),
        ('optim_wrapper.clip_grad', dict(max_norm='x'), 'clip_grad.max_norm is'),
        ('optim_wrapper.clip_grad', dict(maxnorm=1), 'does not exist, maxnorm'),
        ('optim_wrapper.optimizer', 'SGD', "optimizer is 'SGD'"),
        ('model.test_cfg', dict(mode='whole', with_logit=True), 'did you mean with_logits'),
        ('model.data_preprocessor.test_cfg', dict(sizes=(1, 1)), 'size_divisor, or'),
        ('env_cfg.mp_cfg.mp_start_method', 'threads', 'mp_start_method is'),
        ('randomness.sed', 1, 'randomness has no sed'),
        ('log_level', 'LOUD', 'log_level is'),
        ('auto_scale_lr', dict(enable=True), 'base_batch_size is None'),
        ('custom_hooks', [{}], 'custom_hooks.0 is {}'),
        ('val_evaluator', {}, 'val_evaluator is {}'),
    ],
    ids=str,
)
def test_other_mistakes_are_said_before_the_training(key, value, said):
    with pytest.raises(ConfigError) as refused:
        check_training(changed(key, value))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('train_cfg.max_iters', 8e4),
        ('resume', None),
        ('train_dataloader.shuffle', None),
        pytest.param('train_dataloader.sampler', SequentialSampler(range(4)), id='built sampler'),
        ('train_dataloader.dataset.indices', -10),
        (
            'train_dataloader.dataset',
            dict(
                type='LEVIRCDDataset',
                data_prefix=dict(img_path='A', img_path2='B', seg_map_path='label'),
            ),
        ),
        (
            'train_dataloader.dataset',
            dict(type='NYUDataset', data_prefix=dict(img_path='a', depth_map_path='b')),
        ),
        ('optim_wrapper.clip_grad', dict(max_norm=math.inf)),
        ('default_hooks.timer.priority', 'very_low'),
        ('default_hooks.timer.priority', None),
        ('default_hooks.checkpoint', dict(type='openseg_plugin.CheckpointHook', interval=500)),
        ('train_dataloader.dataset.data_root', Path('data')),
        ('train_dataloader.dataset.data_prefix', dict(img_path=Path('a'), seg_map_path=Path('b'))),
        ('train_dataloader.dataset.ann_file', Path('train.txt')),
        ('work_dir', Path('runs')),
        ('load_from', Path('weights.pth')),
        ('default_hooks.checkpoint.out_dir', Path('runs')),
        ('train_dataloader.drop_last', np.True_),
        ('train_dataloader.sampler.shuffle', np.False_),
        ('model.decode_head.align_corners', np.True_),
        ('model.decode_head.align_corners', 'top_left'),
        ('test_cfg', dict(fp16=np.False_)),
        ('model.decode_head.dropout_ratio', np.float32(0.1)),
        ('model.decode_head.channels', np.int64(512)),
    ],
    ids=str,
)
def test_values_that_mmengine_mmseg_and_numpy_users_give_are_taken(key, value):
    check_training(changed(key, value))


class _OfOurs(CheckpointHook):
    """A hook of somebody's own that changes nothing about what is counted."""


class _OfMMEngine(MMEngineCheckpointHook):
    def __init__(self, interval: int = 1, by_epoch: bool = False) -> None:
        super().__init__(interval, by_epoch)


class _CountsEpochs(MMEngineCheckpointHook):
    """Does so as its base does."""


class _SaysNothing(MMEngineCheckpointHook):
    def __init__(self, *, counts_epochs: bool, **options) -> None:
        super().__init__(by_epoch=counts_epochs, **options)


@pytest.mark.parametrize('ending', ['.json', '.txt', '.npy'])
def test_weights_of_classes_in_a_file_are_read_and_counted(tmp_path, ending):
    path = tmp_path / f'weights{ending}'

    def write(weights):
        if ending == '.npy':
            np.save(path, weights)
        else:
            path.write_text(str(weights).strip('[]' if ending == '.txt' else ''))
        return changed('model.decode_head.loss_decode.class_weight', str(path))

    check_training(write([0.5] * 11))
    with pytest.raises(ConfigError, match=r'loss_decode\.class_weight names .* 3 weights.* 11 cl'):
        check_training(write([0.5, 1.0, 2.0]))
    with pytest.raises(ConfigError, match=r'loss_decode\.class_weight: .*the weight -1'):
        check_training(write([-1.0] * 11))


def test_sub_class_of_a_checkpoint_hook_counts_as_its_base_does():
    for kind in (_OfOurs, _OfMMEngine):
        check_training(changed('default_hooks.checkpoint', dict(type=kind, interval=500)))
    with pytest.raises(ConfigError, match='checkpoint counts epochs'):
        check_training(changed('default_hooks.checkpoint', dict(type=_CountsEpochs, interval=500)))
    hook = dict(type=_SaysNothing, interval=500)
    cfg = changed('default_hooks.checkpoint', {**hook, 'counts_epochs': True})
    check_training(cfg)  # the config does not tell; the hook that is built from it does
    check_built_hooks([_SaysNothing(counts_epochs=False, interval=500), _OfOurs(interval=500)], cfg)
    with pytest.raises(ConfigError, match='the hook _SaysNothing counts epochs'):
        check_built_hooks([_SaysNothing(counts_epochs=True, interval=500)], cfg)


@pytest.mark.parametrize('value', [0, 1, 'yes'])
def test_numbers_are_no_flags_wherever_they_stand(value):
    for key in ('model.decode_head.align_corners', 'train_dataloader.sampler.shuffle'):
        with pytest.raises(ConfigError, match=f'{key} is {value!r}: give True'):
            check_training(changed(key, value))


def test_classes_of_one_name_are_said_once_and_taken():
    cfg = changed('train_dataloader.dataset.metainfo', dict(classes=('box', 'sky', 'box')))
    cfg.val_dataloader.dataset.metainfo = cfg.train_dataloader.dataset.metainfo
    with mock.patch('openseg_plugin.config.check_data.print_log') as said:
        check_training(cfg)
    texts = [call.args[0] for call in said.call_args_list]
    assert ["metainfo.classes names 'box' twice" in text for text in texts].count(True) == 1


@pytest.mark.parametrize(
    'step', [29, pytest.param(1, marks=pytest.mark.slow)], ids=['some', 'every']
)
def test_configs_of_mmseg_are_taken(step, subtests):
    folder = Path(mmseg.__file__).parent / '.mim/configs'
    leaves = sorted(path for path in folder.glob('*/*.py') if path.parent.name != '_base_')
    assert len(leaves) > 600
    for path in leaves[::step]:
        with subtests.test(leaf=f'{path.parent.name}/{path.name}'):
            try:
                cfg = Config.fromfile(path)
            except ImportError:  # mmdet or mmpretrain, which it needs, are not here
                continue
            # some have one image for each of 8 processes, which one process cannot normalize
            cfg.train_dataloader.batch_size = max(2, cfg.train_dataloader.batch_size)
            check_training(cfg)


def test_names_of_other_metrics_may_be_spelled_as_they_like():
    cfg = changed('default_hooks.checkpoint.save_best', 'miou')
    cfg.val_evaluator = dict(type='MetricOfSomebody')
    check_training(cfg)


@pytest.mark.parametrize('check', [check_training, check_testing])
def test_windows_that_leave_gaps_are_refused(check):
    windows = dict(mode='slide', crop_size=(64, 64), stride=(65, 64))
    with pytest.raises(ConfigError, match=r'model\.test_cfg\.stride'):
        check(changed('model.test_cfg', windows))


def test_persistent_workers_without_workers_name_both_keys():
    cfg = changed('train_dataloader.num_workers', 0)
    cfg.train_dataloader.persistent_workers = True
    with pytest.raises(ConfigError, match=r'num_workers is 0 .*persistent_workers=False'):
        check_training(cfg)


def test_palette_of_another_length_is_refused():
    info = dict(classes=('a', 'b'), palette=[[0, 0, 0]])
    with pytest.raises(
        ConfigError, match=r'train_dataloader\.dataset\.metainfo has 2 classes and 1'
    ):
        check_training(changed('train_dataloader.dataset.metainfo', info))


def test_label_that_loss_and_metric_do_not_both_leave_out_is_said_before_the_training():
    for key, value in (
        ('model.decode_head.ignore_index', 254),
        ('val_evaluator.ignore_index', -100),
        ('test_evaluator', [dict(type='mmseg.IoUMetric', ignore_index=99)]),
    ):
        with pytest.raises(ConfigError, match=r'decode_head\.ignore_index is .*_evaluator.* is'):
            check_training(changed(key, value))
    said = []
    with mock.patch(
        'openseg_plugin.config.check_model.print_log', lambda text, *_: said.append(text)
    ):
        check_training(changed('model.decode_head.ignore_index', 0))
        check_training(changed('model.decode_head.loss_decode', dict(type='CrossEntropyLoss')))
    assert sum('val_evaluator.ignore_index is 255' in text for text in said) == 1
    assert sum('seg_pad_val=0' in text for text in said) == 1
    assert sum('wholly ignored has loss 0' in text for text in said) == 1


def test_one_image_for_a_head_that_pools_it_whole_is_refused_before_the_training(monkeypatch):
    for leaf in ('pspnet', 'deeplabv3'):
        file = sorted((PACKAGE_CONFIGS / leaf).glob('*.py'))[0]
        cfg = Config.fromfile(file)
        check_training(cfg)
        cfg.train_dataloader.batch_size = 1
        with pytest.raises(ConfigError, match=r'batch_size is 1 and model\.decode_head is'):
            check_training(cfg)
        monkeypatch.setenv('SLURM_NTASKS', '8')  # SyncBN has the values of all processes
        check_training(cfg)
        monkeypatch.delenv('SLURM_NTASKS')


def test_cascade_around_our_head_is_refused():
    cfg = changed('model.type', 'CascadeEncoderDecoder')
    cfg.model.decode_head = [dict(type='FCNHead'), cfg.model.decode_head]
    with pytest.raises(ConfigError, match=r"model\.decode_head\.1 .*type='EncoderDecoder'"):
        check_training(cfg)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=4)


@pytest.mark.parametrize(
    ('changes', 'status', 'expected'),
    [
        ("train_cfg = dict(max_iters='many')", 2, "train_cfg.max_iters is 'many'"),
        ('train_cfg = dict(val_interval=0)', 2, 'train_cfg.val_interval is 0'),
        ("train_cfg = dict(max_epochs=float('inf'))", 2, 'train_cfg.max_epochs is inf'),
        ("model = dict(type='openseg_plugin.ToyNot')", 2, 'spelling of model.type'),
        (
            "model = dict(type='openseg_plugin.ToyNet', norms=1)",
            2,
            'model gives an option that does not exist, norms',
        ),
        (
            "val_dataloader['sampler']['bogus'] = 1",
            2,
            'val_dataloader.sampler gives an option that does not exist, bogus',
        ),
        # what nobody foresaw keeps its traceback, and names the key all the same
        (
            "log_processor = dict(type='LogProcessor', bogus=1)",
            2,
            'log_processor gives an option that does not exist, bogus',
        ),
        (
            "visualizer = dict(type='SegLocalVisualizer', name='none', vis_backends=[7])",
            1,
            'visualizer of the config could not be built',
        ),
        (
            "custom_hooks = [dict(type='EMAHook', momentum='much')]",
            1,
            'custom_hooks.0 of the config does not work',
        ),
    ],
    ids=str,
)
def test_mistake_that_building_finds_names_its_key(
    data, tmp_path, capsys, changes, status, expected
):
    config = toy_run.toy_config(tmp_path, data, text=changes)
    assert run(main, [str(config), '--work-dir', str(tmp_path / 'work')]) == status
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith('error: ') and expected in last


def test_head_for_other_maps_is_told_the_right_channels(data, tmp_path, capsys):
    for number, (changes, said) in enumerate(
        (
            (dict(in_channels=7), 'give decode_head.in_channels=4'),
            (dict(in_index=5), '2 maps of 4, 6 channels'),
        )
    ):
        model = segmentor_config(num_classes=3, preprocessor=dict(size=(12, 16)))
        model['decode_head'].update(changes)
        config = toy_run.toy_config(tmp_path, data, model=model)
        text = config.read_text().replace("'toy_run']", "'toy_run', 'small_models']")
        config.write_text(text)
        assert run(main, [str(config), '--work-dir', str(tmp_path / f'work{number}')]) == 2
        assert said in capsys.readouterr().err


def test_mistake_of_our_own_code_is_not_called_one_of_the_config(data, tmp_path, capsys):
    text = "model = dict(type='openseg_plugin.WrongInside')"
    config = toy_run.toy_config(tmp_path, data, text=text)
    assert run(main, [str(config), '--work-dir', str(tmp_path / 'work')]) == 1
    errors = capsys.readouterr().err
    assert 'Traceback' in errors
    assert 'option that does not exist' not in errors
    assert errors.strip().splitlines()[-1].startswith('error: model of the config could not be')


def test_validation_in_batches_of_several_sizes_is_refused_before_the_training(
    data, tmp_path, capsys
):
    copy = Path(shutil.copytree(data, tmp_path / 'data'))
    for kind in ('image', 'label'):
        path = copy / 'val' / kind / '02.png'
        Image.open(path).crop((0, 0, 9, 7)).save(path)
    config = toy_run.toy_config(tmp_path, copy)
    options = ['--cfg-options', 'val_dataloader.batch_size=2']
    assert run(main, [str(config), '--work-dir', str(tmp_path / 'work'), *options]) == 2
    message = capsys.readouterr().err
    assert 'val_dataloader.batch_size is 2' in message and 'size_divisor' in message
    assert not list((tmp_path / 'work').glob('*.pth'))
