"""Every leaf config parses, builds, survives a dump and keeps its name; a leaf of every network
trains an iteration and predicts, and so does every leaf under ``--slow``."""

import itertools
import re
import warnings
from pathlib import Path

import mmseg.models  # noqa: F401  its own warnings come here, before ours are counted
import pytest
import torch
from leaves import CLASSIFIERS, LEAVES, METHODS, by_method, load, representatives
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, METRICS, TRANSFORMS
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from small_models import with_stand_in_backbone

from openseg_plugin.config.loading import default_work_dir
from openseg_plugin.registry import MODELS

SIDE = 64  # pixels of the square test images


def batch(num_classes: int, *, side: int = SIDE) -> dict:
    """Two random images with labels in all classes and some ignored pixels."""
    samples = []
    for _ in range(2):
        label = torch.randint(0, num_classes, (1, side, side))
        label[:, :4] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=label))
        sample.set_metainfo(
            dict(ori_shape=(side, side), img_shape=(side, side), pad_shape=(side, side))
        )
        samples.append(sample)
    images = [torch.randint(0, 256, (3, side, side), dtype=torch.uint8) for _ in range(2)]
    return dict(inputs=images, data_samples=samples)


def test_leaves_are_found():
    assert len(LEAVES) >= 20


@pytest.mark.parametrize('method', METHODS)
def test_whole_model_builds_without_a_warning_and_the_optimizer_takes_all_of_it(method, subtests):
    for leaf in METHODS[method]:
        with subtests.test(leaf=leaf):
            cfg = load(leaf)
            with warnings.catch_warnings():
                warnings.simplefilter('error')
                with torch.device('meta'):
                    model = MODELS.build(cfg.model)
            if leaf in CLASSIFIERS:
                assert model.decode_head.num_classes == cfg.num_classes
            optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
            taken = {id(p) for group in optimizer.param_groups for p in group['params']}
            assert taken == {id(p) for p in model.parameters() if p.requires_grad}
            rates = {group['lr'] for group in optimizer.param_groups}
            assert rates >= {cfg.optim_wrapper.optimizer.lr}


def train_a_step_and_predict(leaf: str) -> None:
    cfg = load(leaf)
    model_cfg = with_stand_in_backbone(cfg.model)
    # the coarsest scale of a multi-scale network is to have 32 pixels
    side = round(max(SIDE, 32 / min(model_cfg.get('scales', [1]))))
    model_cfg.data_preprocessor.size = (side, side)
    if 'size' in (model_cfg.data_preprocessor.get('test_cfg') or {}):  # of whole images
        model_cfg.data_preprocessor.test_cfg.size = (side + 1, side + 1)
    model = MODELS.build(model_cfg)
    data = batch(cfg.num_classes, side=side)
    prepared = model.data_preprocessor(data, training=True)
    losses = model(**prepared, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    head = model.decode_head.named_parameters()
    assert [name for name, p in head if p.requires_grad and p.grad is None] == []
    assert torch.isfinite(total)
    model.eval()
    with torch.no_grad():
        predicted = model.test_step(batch(cfg.num_classes, side=side))
    assert predicted[0].pred_sem_seg.shape == (side, side)
    assert int(predicted[0].pred_sem_seg.data.max()) < cfg.num_classes


@pytest.mark.parametrize('method', by_method(CLASSIFIERS))
def test_leaf_of_every_network_trains_a_step_and_predicts(method, subtests):
    for leaf in representatives(METHODS[method]):
        with subtests.test(leaf=leaf):
            train_a_step_and_predict(leaf)


@pytest.mark.slow
@pytest.mark.parametrize('method', by_method(CLASSIFIERS))
def test_every_other_leaf_trains_a_step_and_predicts(method, subtests):
    for leaf in sorted({*METHODS[method]} - {*representatives(METHODS[method])}):
        with subtests.test(leaf=leaf):
            train_a_step_and_predict(leaf)


def pipelines_of(dataset: ConfigDict) -> list[list[dict]]:
    """The pipelines of a dataset config, through wrappers that join several datasets."""
    if 'datasets' in dataset:
        return [pipeline for part in dataset.datasets for pipeline in pipelines_of(part)]
    if 'dataset' in dataset:  # repeated
        return pipelines_of(dataset.dataset)
    return [dataset.pipeline]


@pytest.mark.parametrize('method', METHODS)
def test_pipelines_metrics_and_tta_build_for_the_classes_of_the_dataset(method, subtests):
    for leaf in METHODS[method]:
        with subtests.test(leaf=leaf):
            cfg = load(leaf)
            loaders = [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]
            pipelines = [p for loader in loaders for p in pipelines_of(loader.dataset)]
            for transform in itertools.chain(*pipelines, cfg.tta_pipeline):
                TRANSFORMS.build(transform)
            for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
                METRICS.build(evaluator)
            assert MMSEG_MODELS.get(cfg.tta_model.type) is not None
            dataset = cfg.val_dataloader.dataset
            metainfo = dataset.get('metainfo') or DATASETS.get(dataset.type).METAINFO
            assert len(metainfo['classes']) == cfg.num_classes
            assert len(metainfo['palette']) == cfg.num_classes
            if cfg.get('class_weight') is not None:
                assert len(cfg.class_weight) == cfg.num_classes


def check_name(leaf: str) -> None:
    cfg = load(leaf)
    stem = Path(leaf).stem
    dataset = cfg.dataset_type.split('.')[-1].removesuffix('Dataset').lower()
    assert dataset in stem.replace('_', '') or (dataset == 'cityscapes' and 'synth' in stem)
    steps = re.search(r'_(\d+)k$', stem)
    if steps:
        assert cfg.train_cfg.max_iters == int(steps.group(1)) * 1000
    if cfg.model.backbone.type.endswith('.TimmBackbone'):
        assert cfg.model.backbone.model_name.endswith(stem.split('_')[0])
        return
    width = cfg.model.backbone.get('width')
    family = 'hrnet2x' if cfg.model.backbone.type.endswith('.HRNet2x') else 'hrnet'
    residual = cfg.model.backbone  # BiSeNet's is inside
    residual = residual.get('context') or residual.get('backbone_cfg') or residual
    if cfg.model.backbone.type.endswith('.WideResNet38'):
        family, width = 'wrn', 38
    assert stem.startswith(f'{family}{width}' if width else f'r{residual.depth}')


@pytest.mark.parametrize('method', METHODS)
def test_names_of_leaves_agree_with_their_contents(method, subtests):
    for leaf in METHODS[method]:
        with subtests.test(leaf=leaf):
            check_name(leaf)


@pytest.mark.slow
@pytest.mark.parametrize('method', METHODS)
def test_leaves_dumped_and_read_again_are_equal(method, subtests, tmp_path):
    for leaf in METHODS[method]:
        with subtests.test(leaf=leaf):
            cfg = load(leaf)
            cfg.dump(tmp_path / 'dumped.py')
            assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


def test_leaves_have_work_folders_of_their_own():
    assert len({default_work_dir(f'configs/{leaf}') for leaf in LEAVES}) == len(LEAVES)
