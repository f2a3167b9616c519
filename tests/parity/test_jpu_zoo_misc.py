"""pytorch-cv beside its networks: metric, losses, schedule, transform, multi-scale test."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test
from parity import catalog, recipe_text, stored

from openseg_plugin.datasets.transforms import ShortSideCenterCrop
from openseg_plugin.engine.optim.schedulers import WarmupPolyLR
from openseg_plugin.evaluation.confusion import class_areas, confusion_matrix
from openseg_plugin.evaluation.iou_metric import PixAccMetric, count_correct, pix_acc_and_miou
from openseg_plugin.inference.protocol_models import pytorchcv_multi_scale
from openseg_plugin.models.losses import CrossEntropyLoss, OHEMCrossEntropyLoss

TOLERANCE = 1e-5
IGNORE = -1
PAD_VALUE = [-mean / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
each = pytest.mark.parametrize(('family', 'name'), catalog.params('jpu_zoo misc'))


def fixture_of(family, name):
    return stored.read(catalog.files()[family, name], family)


def cases(pattern):
    """Parameters (family, name, case) for every output whose name matches; the case is group 1."""
    return [
        pytest.param(*key, match.group(1), id=f'{"/".join(key)}/{match.group(1)}')
        for key in (param.values for param in catalog.params('jpu_zoo misc'))
        for match in map(re.compile(pattern).fullmatch, fixture_of(*key).outputs)
        if match
    ]


def scores(fixture, which='logits'):
    made = recipe_text.made(fixture.meta['inputs'][which], seed=fixture.meta['seed'])
    return torch.from_numpy(made).double().requires_grad_()


def labels(fixture):
    words = fixture.meta['inputs']['labels']
    return torch.from_numpy(recipe_text.made(words, seed=fixture.meta['seed']))


def said_of(fixture, start):
    """What the fixture says of the outputs whose name starts so."""
    return next(text for name, text in fixture.meta['outputs'].items() if name.startswith(start))


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


def mixed_weights(case):
    """Weights of the losses of an output, main first: ``mix_aux02`` has an auxiliary of 0.2."""
    if case == 'single':
        return (1,)
    auxiliary = re.fullmatch(r'mix_aux(\d)(\d+)', case)
    assert auxiliary or case == 'mix_noaux_two', f'unknown case {case}'
    return (1, float(f'{auxiliary[1]}.{auxiliary[2]}') if auxiliary else 1)


@in_one_test(('family', 'name', 'case'), cases(r'(mix_.+|single)/value'))
def test_mixed_cross_entropy_and_gradient_norms(family, name, case):
    fixture = fixture_of(family, name)
    weights = mixed_weights(case)
    outputs = [scores(fixture), scores(fixture, 'aux')][: len(weights)]
    terms = [
        CrossEntropyLoss(loss_weight=weight)(x, labels(fixture), ignore_index=IGNORE)
        for x, weight in zip(outputs, weights)
    ]
    sum(terms).backward()
    assert sum(terms).item() == pytest.approx(
        float(fixture.outputs[f'{case}/value']), rel=TOLERANCE
    )
    norms = [x.grad.norm().item() for x in outputs]
    assert norms == pytest.approx(fixture.outputs[f'{case}/grad'].tolist(), rel=TOLERANCE)


@in_one_test(('family', 'name', 'case'), cases(r'(ohem_.+)/value'))
def test_ohem_value_kept_pixels_and_gradient_norm(family, name, case):
    fixture = fixture_of(family, name)
    short = re.escape(case.removeprefix('ohem_'))
    thresh, min_kept = recipe_text.numbers(
        rf'{short} \(([\d.]+), ?([\de]+)', said_of(fixture, 'ohem_')
    )
    logits = scores(fixture)
    loss = OHEMCrossEntropyLoss(thresh, int(min_kept), inclusive=True, count_first_pixel=False)
    value = loss(logits, labels(fixture), ignore_index=IGNORE)
    value.backward()
    kept = int(logits.grad.abs().sum(1).gt(0).sum())
    assert kept == int(fixture.outputs[f'{case}/kept'])
    assert value.item() == pytest.approx(float(fixture.outputs[f'{case}/value']), rel=TOLERANCE)
    norm = float(fixture.outputs[f'{case}/grad'])
    assert logits.grad.norm().item() == pytest.approx(norm, rel=TOLERANCE)


@each
def test_learning_rates_of_every_step(family, name):
    fixture = fixture_of(family, name)
    expected, said = fixture.outputs['warmup_poly_lr'], said_of(fixture, 'warmup_poly_lr')
    rates_at_first = recipe_text.numbers(r'base lrs ([\d.]+) and ([\d.]+\d)', said)
    end, warmup, power = recipe_text.numbers(
        r'T_max (\d+), .*warmup_iters (\d+), power ([\d.]+)', said
    )
    groups = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in rates_at_first]
    optimizer = torch.optim.SGD(groups, lr=rates_at_first[0])
    schedule = WarmupPolyLR(
        optimizer, warmup_iters=int(warmup), power=power, end=int(end), by_epoch=False
    )
    rates = []
    for _ in expected:
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=1e-12)


@in_one_test(('family', 'name', 'case'), cases(r'valcrop_(.+)_img_in'))
def test_crop_for_validation_is_the_zoos_pixel_for_pixel(family, name, case):
    fixture = fixture_of(family, name)
    expected = fixture.outputs
    results = {
        'img': expected[f'valcrop_{case}_img_in'],
        'gt_seg_map': expected[f'valcrop_{case}_mask_in'],
        'seg_fields': ['gt_seg_map'],
    }
    (size,) = recipe_text.numbers(r'crop_size (\d+)', said_of(fixture, 'valcrop_'))
    results = ShortSideCenterCrop(size=int(size))(results)
    np.testing.assert_array_equal(results['img'], expected[f'valcrop_{case}_img_out'])
    np.testing.assert_array_equal(results['gt_seg_map'], expected[f'valcrop_{case}_mask_out'])


@in_one_test(('family', 'name', 'case'), cases(r'(multieval_.+)'))
def test_multi_scale_evaluator_on_a_toy_network(family, name, case):
    fixture = fixture_of(family, name)
    seed, said = fixture.meta['seed'], said_of(fixture, 'multieval_')
    weights = recipe_text.made(re.search(r'conv2d\(x, (.*\)), padding', said).group(1), seed=seed)
    kernel = torch.from_numpy(weights).double()
    base_size, crop_size, shift = recipe_text.numbers(
        r'base_size (\d+), crop_size (\d+),.*image\(shape, seed\+(\d+)\)', said
    )
    image = stored.image(fixture.meta['multieval'][case], seed + int(shift))
    inputs = torch.from_numpy(image).double()
    actual = pytorchcv_multi_scale(
        lambda x: F.conv2d(x, kernel, padding=1),
        inputs,
        base_size=int(base_size),
        crop_size=int(crop_size),
        pad_value=PAD_VALUE,
    )
    assert stored.error(actual.numpy(), fixture.outputs[case]) < TOLERANCE
