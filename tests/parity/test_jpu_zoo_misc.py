"""pytorch-cv beside its networks: metric, losses, schedule, transform, multi-scale test."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parity import catalogue, stored

from openseg_plugin.datasets.transforms import ShortSideCenterCrop
from openseg_plugin.engine.optim.schedulers import WarmupPolyLR
from openseg_plugin.evaluation.confusion import class_areas, confusion_matrix
from openseg_plugin.evaluation.iou_metric import count_correct, pix_acc_and_miou
from openseg_plugin.evaluation.registered import PixAccMetric
from openseg_plugin.inference.protocol_models import pytorchcv_multi_scale
from openseg_plugin.models.losses import CrossEntropyLoss, OHEMCrossEntropyLoss

TOLERANCE = 1e-5
IGNORE = -1
PAD_VALUE = [-mean / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
each = pytest.mark.parametrize(('family', 'name'), catalogue.params('jpu_zoo misc'))


def fixture_of(family, name):
    return stored.read(catalogue.files()[family, name], family)


def scores(fixture, shift=0):
    """The meta gives the shape (N, K, H, W) in words."""
    shape = re.search(r'image\(\(([\d, ]+)\)', fixture.meta['inputs']['logits']).group(1)
    image = stored.image([int(side) for side in shape.split(',')], fixture.meta['seed'] + shift)
    return torch.from_numpy(2 * image).double().requires_grad_()


def labels(fixture):
    count, classes, height, width = scores(fixture).shape
    seed = fixture.meta['seed']
    return torch.from_numpy(
        stored.labels((count, height, width), classes, seed, ignore_index=IGNORE)
    )


def areas_of(logits, target):
    matrices = [
        confusion_matrix(p, t, num_classes=logits.shape[1], ignore_index=IGNORE)
        for p, t in zip(logits.argmax(1), target)
    ]
    return class_areas(np.sum(matrices, axis=0))


@each
def test_metric_has_the_zoos_counts_and_metrics(family, name):
    fixture = fixture_of(family, name)
    expected, logits, target = fixture.outputs, scores(fixture).detach(), labels(fixture)
    areas = areas_of(logits, target)
    correct = sum(count_correct(x, t, ignore_index=IGNORE) for x, t in zip(logits, target))
    assert [correct, areas[2].sum()] == expected['metric_correct_label'].tolist()
    assert areas[0].tolist() == expected['metric_inter'].tolist()
    assert (areas[1] + areas[2] - areas[0]).tolist() == expected['metric_union'].tolist()
    metrics = pix_acc_and_miou(areas, correct)
    assert metrics['pixAcc'] == pytest.approx(float(expected['metric_pixacc']))
    assert metrics['mIoU'] == pytest.approx(float(expected['metric_miou']))
    ordinary = pix_acc_and_miou(areas, int(areas[0].sum()))['pixAcc']
    assert ordinary == pytest.approx(float(expected['pixacc_without_truncation']))


@each
def test_absent_classes_count_as_zero(family, name):
    fixture = fixture_of(family, name)
    logits, target = scores(fixture).detach(), labels(fixture)
    logits = F.pad(logits, (0, 0, 0, 0, 0, 2), value=-50)  # two classes more
    miou = pix_acc_and_miou(areas_of(logits, target), 0)['mIoU']
    assert miou == pytest.approx(float(fixture.outputs['metric_miou_two_absent_classes']))


@each
@pytest.mark.parametrize('truncate', [True, False])
def test_registered_metric_gives_the_metrics_in_percent(family, name, truncate):
    fixture = fixture_of(family, name)
    metric = PixAccMetric(ignore_index=IGNORE, truncate_scores=truncate, collect_device='cpu')
    images = scores(fixture).detach()
    metric.dataset_meta = {'classes': list(map(str, range(images.shape[1])))}
    for logits, target in zip(images, labels(fixture)):
        sample = {'pred_sem_seg': logits.argmax(0)[None], 'gt_sem_seg': target[None]}
        sample['seg_logits'] = logits
        metric.process({}, [{key: {'data': value} for key, value in sample.items()}])
    accuracy = 'metric_pixacc' if truncate else 'pixacc_without_truncation'
    metrics = metric.evaluate(len(images))
    assert metrics == {
        'pixAcc': pytest.approx(100 * float(fixture.outputs[accuracy]), abs=0.005),
        'mIoU': pytest.approx(100 * float(fixture.outputs['metric_miou']), abs=0.005),
    }


# weights of the losses of the outputs, main first
MIX = {
    'mix_aux02': (1, 0.2),
    'mix_aux05': (1, 0.5),
    'mix_noaux_two': (1, 1),
    'single': (1,),
}


@each
@pytest.mark.parametrize('case', MIX)
def test_mixed_cross_entropy_and_gradient_norms(family, name, case):
    fixture = fixture_of(family, name)
    outputs = [scores(fixture), scores(fixture, 3)][: len(MIX[case])]
    terms = [
        CrossEntropyLoss(loss_weight=weight)(x, labels(fixture), ignore_index=IGNORE)
        for x, weight in zip(outputs, MIX[case])
    ]
    sum(terms).backward()
    assert sum(terms).item() == pytest.approx(
        float(fixture.outputs[f'{case}/value']), rel=TOLERANCE
    )
    norms = [x.grad.norm().item() for x in outputs]
    assert norms == pytest.approx(fixture.outputs[f'{case}/grad'].tolist(), rel=TOLERANCE)


OHEM = {
    'ohem_07_small': (0.7, 100),
    'ohem_01_small': (0.1, 100),
    'ohem_001_half': (0.01, 2240),
    'ohem_minkept_huge': (0.7, 1000000),
}


@each
@pytest.mark.parametrize('case', OHEM)
def test_ohem_value_kept_pixels_and_gradient_norm(family, name, case):
    fixture = fixture_of(family, name)
    thresh, min_kept = OHEM[case]
    logits = scores(fixture)
    loss = OHEMCrossEntropyLoss(thresh, min_kept, inclusive=True, count_first_pixel=False)
    value = loss(logits, labels(fixture), ignore_index=IGNORE)
    value.backward()
    kept = int(logits.grad.abs().sum(1).gt(0).sum())
    assert kept == int(fixture.outputs[f'{case}/kept'])
    assert value.item() == pytest.approx(float(fixture.outputs[f'{case}/value']), rel=TOLERANCE)
    norm = float(fixture.outputs[f'{case}/grad'])
    assert logits.grad.norm().item() == pytest.approx(norm, rel=TOLERANCE)


@each
def test_learning_rates_of_every_step(family, name):
    expected = fixture_of(family, name).outputs['warmup_poly_lr']
    groups = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in (0.01, 0.1)]
    optimizer = torch.optim.SGD(groups, lr=0.01)
    schedule = WarmupPolyLR(
        optimizer, warmup_iters=20, power=0.9, end=len(expected), by_epoch=False
    )
    rates = []
    for _ in expected:
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=1e-12)


def cases(pattern):
    """Parameters (family, name, case) for every output whose name matches; the case is group 1."""
    return [
        pytest.param(*key, match.group(1), id=f'{"/".join(key)}/{match.group(1)}')
        for key in (param.values for param in catalogue.params('jpu_zoo misc'))
        for match in map(re.compile(pattern).fullmatch, fixture_of(*key).outputs)
        if match
    ]


@pytest.mark.parametrize(('family', 'name', 'case'), cases(r'valcrop_(.+)_img_in'))
def test_crop_for_validation_is_the_zoos_pixel_for_pixel(family, name, case):
    expected = fixture_of(family, name).outputs
    results = {
        'img': expected[f'valcrop_{case}_img_in'],
        'gt_seg_map': expected[f'valcrop_{case}_mask_in'],
        'seg_fields': ['gt_seg_map'],
    }
    results = ShortSideCenterCrop(size=48)(results)
    np.testing.assert_array_equal(results['img'], expected[f'valcrop_{case}_img_out'])
    np.testing.assert_array_equal(results['gt_seg_map'], expected[f'valcrop_{case}_mask_out'])


@pytest.mark.parametrize(('family', 'name', 'case'), cases(r'(multieval_.+)'))
def test_multi_scale_evaluator_on_a_toy_network(family, name, case):
    fixture = fixture_of(family, name)
    seed = fixture.meta['seed']
    kernel = torch.from_numpy(0.2 * stored.weight('w', (5, 3, 3, 3), seed=seed)).double()
    inputs = torch.from_numpy(stored.image(fixture.meta['multieval'][case], seed + 7)).double()
    actual = pytorchcv_multi_scale(
        lambda x: F.conv2d(x, kernel, padding=1),
        inputs,
        base_size=40,
        crop_size=32,
        pad_value=PAD_VALUE,
    )
    assert stored.error(actual.numpy(), fixture.outputs[case]) < TOLERANCE
