"""Leaf configs have the numbers that their sources document."""

import re

import pytest
from in_one_test import in_one_test
from leaves import LEAVES, load

from openseg_plugin.config.loading import default_work_dir

# leaf: learning rate, weight decay, crop (H, W), iterations or epochs, OHEM threshold; the authors'
# scripts
PUBLISHED = {
    'ocr/hrnet48_cityscapes_80k.py': (0.01, 5e-4, (512, 1024), 80000, None),
    'ocr/hrnet48_ohem_cityscapes_80k.py': (0.01, 5e-4, (512, 1024), 80000, 0.9),
    'ocr/hrnet48_ssld_cityscapes_40k.py': (0.02, 5e-4, (512, 1024), 40000, None),
    'ocr/hrnet48_cityscapes_40k.py': (0.02, 5e-4, (512, 1024), 40000, None),
    'ocr/hrnet48_ssld_ohem_cityscapes_40k.py': (0.02, 5e-4, (512, 1024), 40000, 0.9),
    'ocr/hrnet48_ssld_cityscapes_trainval_80k.py': (0.02, 5e-4, (512, 1024), 80000, None),
    'ocr/hrnet48_ssld_ohem_cityscapes_trainval_80k.py': (0.02, 5e-4, (512, 1024), 80000, 0.9),
    'ocr/hrnet48_ssld_rmi_cityscapes_trainval_80k.py': (0.02, 5e-4, (512, 1024), 80000, None),
    'ocr/hrnet48_cityscapes_trainval_100k.py': (0.01, 5e-4, (512, 1024), 100000, None),
    'ocr/r101_cityscapes_40k.py': (0.01, 5e-4, (512, 1024), 40000, None),
    'ocr/r101_cityscapes_trainval_120k.py': (0.01, 5e-4, (512, 1024), 120000, 0.7),
    'ocr/r101_cityscapes_coarse_100k.py': (1e-4, 5e-4, (512, 1024), 100000, 0.7),
    'ocr/r101_cityscapes_mapillary_images_50k.py': (1e-4, 5e-4, (512, 1024), 50000, 0.7),
    'ocr/r101_cityscapes_trainval_10k.py': (1e-4, 5e-4, (512, 1024), 10000, 0.7),
    'hmsa/hrnet48_cityscapes_175e.py': (0.005, 1e-4, (1024, 2048), '175e', None),
    'hmsa/hrnet48_cityscapes_autolabelled_175e.py': (0.01, 1e-4, (1024, 2048), '175e', None),
    'hmsa/hrnet48_mapillary_200e.py': (0.005, 1e-4, (1024, 1024), '200e', None),
    'hmsa/wrn38_cityscapes_175e.py': (0.005, 1e-4, (800, 800), '175e', None),
    'ocr/hrnet48_ssld_rmi_cityscapes_40k.py': (0.02, 5e-4, (512, 1024), 40000, None),
    'ocr/hrnet48_pascal_context_60k.py': (0.001, 1e-4, (520, 520), 60000, None),
    'ocr/hrnet48_ssld_rmi_pascal_context_60k.py': (0.001, 1e-4, (520, 520), 60000, None),
    'ocr/r101_pascal_context_30k.py': (0.001, 1e-4, (520, 520), 30000, None),
    'ocr/hrnet48_lip_100k.py': (0.007, 5e-4, (473, 473), 100000, None),
    'ocr/hrnet48_ssld_rmi_lip_100k.py': (0.007, 5e-4, (473, 473), 100000, None),
    'ocr/hrnet48_ohem_coco_stuff10k_60k.py': (0.001, 1e-4, (520, 520), 60000, 0.9),
    'ocr/hrnet48_ssld_rmi_coco_stuff10k_60k.py': (0.001, 1e-4, (520, 520), 60000, None),
    'ocr/hrnet48_ohem_ade20k_150k.py': (0.02, 1e-4, (520, 520), 150000, 0.9),
    'ocr/r101_ohem_ade20k_150k.py': (0.02, 1e-4, (520, 520), 150000, 0.7),
    'ocr/hrnet48_ssld_rmi_ade20k_150k.py': (0.02, 1e-4, (520, 520), 150000, None),
    'ocr/hrnet48_celebamask_150k.py': (0.001, 1e-4, (512, 512), 150000, None),
    'base_oc/r101_cityscapes_40k.py': (0.01, 5e-4, (512, 1024), 40000, None),
    'isa/r101_cityscapes_40k.py': (0.01, 5e-4, (512, 1024), 40000, None),
    'isa/r101_ade20k_150k.py': (0.02, 1e-4, (520, 520), 150000, None),
    'asp_ocr/r101_cityscapes_40k.py': (0.01, 5e-4, (512, 1024), 40000, None),
    'ce2p/r101_asp_ocr_lip_110k.py': (0.007, 5e-4, (473, 473), 110000, None),
    'ocr_b/hrnet48_iabn_mapillary_500k.py': (0.02, 5e-4, (1024, 1024), 500000, 0.9),
    'ocr_b/hrnet48_mapillary_500k.py': (0.02, 5e-4, (1024, 1024), 500000, 0.9),
    'ocr_b/hrnet48_mapillary_cityscapes_trainval_120k.py': (1e-3, 5e-4, (512, 1024), 120000, 0.9),
    'ocr_b/hrnet48_mapillary_cityscapes_coarse_50k.py': (1e-4, 5e-4, (512, 1024), 50000, 0.9),
    'ocr_b/hrnet48_mapillary_cityscapes_trainval_20k.py': (1e-4, 5e-4, (512, 1024), 20000, 0.9),
    'fcn/r101_pytorchcv_jpu_voc_50e.py': (0.008, 1e-4, (480, 480), '50e', None),
    'fcn/r101_pytorchcv_jpu_cityscapes_120e.py': (0.08, 1e-4, (768, 768), '120e', None),
    'pspnet/r101_pytorchcv_dilated_voc_50e.py': (0.004, 1e-4, (480, 480), '50e', None),
}
# dataset: learning rate, its multiple for the heads, weight decay, crop (H, W), images on 4
# GPUs; openseg's table, whatever the network
DATA_SETS = {
    'ade20k': (0.02, 1.0, 1e-4, (520, 520), 16),
    'coco_stuff10k': (0.001, 10.0, 1e-4, (520, 520), 16),
    'lip': (0.007, 1.0, 5e-4, (473, 473), 32),
    'pascal_context': (0.001, 10.0, 1e-4, (520, 520), 16),
    'voc': (0.001, 10.0, 1e-4, (520, 520), 16),
}
CONTEXT_METHODS = ('asp_oc', 'asp_ocr', 'base_oc', 'isa', 'ocr')
CHAINS = (
    ('ocr/r101_cityscapes_trainval_120k.py', 'ocr/r101_cityscapes_coarse_100k.py'),
    ('ocr/r101_cityscapes_coarse_100k.py', 'ocr/r101_cityscapes_trainval_10k.py'),
    (
        'ocr_b/hrnet48_mapillary_500k.py',
        'ocr_b/hrnet48_mapillary_cityscapes_trainval_120k.py',
    ),
    (
        'ocr_b/hrnet48_mapillary_cityscapes_trainval_120k.py',
        'ocr_b/hrnet48_mapillary_cityscapes_coarse_50k.py',
    ),
    (
        'ocr_b/hrnet48_mapillary_cityscapes_coarse_50k.py',
        'ocr_b/hrnet48_mapillary_cityscapes_trainval_20k.py',
    ),
)


def test_leaves_have_the_published_numbers(subtests):
    for leaf, published in PUBLISHED.items():
        with subtests.test(leaf=leaf):
            assert numbers_of(leaf) == published


def numbers_of(leaf: str) -> tuple:
    cfg = load(leaf)
    optimizer, loss = cfg.optim_wrapper.optimizer, cfg.model.decode_head.loss_decode
    assert loss.get('min_kept') in (None, 100000)
    assert optimizer.momentum == 0.9
    return (
        optimizer.lr,
        optimizer.weight_decay,
        tuple(cfg.crop_size),
        cfg.train_cfg.get('max_iters') or f'{cfg.train_cfg.max_epochs}e',
        loss.get('thresh'),
    )


def leaves_on(dataset: str, *, methods: tuple[str, ...] = CONTEXT_METHODS) -> list[str]:
    """Leaves of openseg's methods whose name has the dataset, between backbone and schedule."""
    name = re.compile(rf'({"|".join(methods)})/[a-z0-9]+(_[a-z]+)*_{dataset}_\d+k\.py')
    return [leaf for leaf in LEAVES if name.fullmatch(leaf)]


@in_one_test('dataset', DATA_SETS)
def test_every_method_has_a_leaf_for_every_dataset(dataset):
    for method in CONTEXT_METHODS:
        leaves = leaves_on(dataset, methods=(method,))
        backbones = {leaf.split('/')[1].split('_')[0] for leaf in leaves}
        assert backbones >= ({'r101', 'hrnet48'} if method.endswith('ocr') else {'r101'}), method
        assert 'r50' in backbones or dataset != 'ade20k', method


@in_one_test('dataset', DATA_SETS)
def test_leaves_have_the_settings_of_their_dataset(dataset, subtests):
    for leaf in leaves_on(dataset):
        with subtests.test(leaf=leaf):
            cfg = load(leaf)
            optimizer = cfg.optim_wrapper.optimizer
            found = (
                optimizer.lr,
                cfg.optim_wrapper.paramwise_cfg.head_lr_mult,
                optimizer.weight_decay,
                tuple(cfg.crop_size),
                cfg.train_dataloader.batch_size * 4,
            )
            assert found == DATA_SETS[dataset]


PADDED = leaves_on('ade20k') + leaves_on('mapillary', methods=('ocr', 'ocr_b'))
PADDED_AT_SEVERAL_SCALES = leaves_on('pascal_context')


def test_leaves_pad_test_images_where_openseg_does(subtests):
    padding = dict(size_divisor=8)
    for leaf in [*PADDED, *PADDED_AT_SEVERAL_SCALES]:
        with subtests.test(leaf=leaf):
            cfg = load(leaf)
            if leaf in PADDED:
                assert cfg.model.data_preprocessor.test_cfg == padding
            else:
                assert 'test_cfg' not in cfg.model.data_preprocessor
                assert cfg.tta_model.size_divisor == padding['size_divisor']


def test_padded_leaves_are_found():
    assert len(PADDED) >= 10
    assert len(PADDED_AT_SEVERAL_SCALES) >= 9


@pytest.mark.parametrize(
    ('leaf', 'backbone'),
    [
        ('ocr/r50_769_cityscapes_40k.py', dict(depth=50, output_stride=8, multi_grid=(1, 1, 1))),
        ('ocr/r101_769_cityscapes_40k.py', dict(depth=101, output_stride=8, multi_grid=(1, 1, 1))),
        ('ocr/r101_d16_cityscapes_40k.py', dict(depth=101, output_stride=16, multi_grid=(1, 2, 4))),
    ],
)
def test_further_cityscapes_leaf_has_the_documented_backbone_and_crop(leaf, backbone):
    cfg = load(leaf)
    assert {key: cfg.model.backbone[key] for key in backbone} == backbone
    crops = [step for step in cfg.train_dataloader.dataset.pipeline if 'crop_size' in step]
    assert [step.crop_size for step in crops] == [(769, 769)]
    assert cfg.model.data_preprocessor.size == (769, 769)
    views = next(step for step in cfg.tta_pipeline if 'ratios' in step)
    assert (views.ratios == (0.75, 1.0, 1.25)) is ('_d16_' in leaf)


def test_wide_resnet_leaf_has_the_documented_numbers():
    cfg = load('ocr/wrn38_cityscapes_40k.py')
    head = cfg.model.decode_head
    assert cfg.model.data_preprocessor.bgr_to_rgb
    assert cfg.model.data_preprocessor.size == cfg.crop_size == (800, 800)
    assert cfg.train_dataloader.batch_size * 4 == 16
    assert cfg.optim_wrapper.optimizer.lr == 0.002
    assert (head.loss_decode.thresh, head.loss_decode.min_kept) == (0.7, 200000)
    assert head.loss_region.loss_weight == 0.2
    assert 'class_weight' not in {*head.loss_decode, *head.loss_region}


def test_chain_starts_where_the_stage_before_it_ends():
    for first, second in CHAINS:
        steps = load(first).train_cfg.max_iters
        folder = default_work_dir(f'configs/{first}')
        assert load(second).load_from == f'{folder}/iter_{steps}.pth'
