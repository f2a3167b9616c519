"""Training on two scales: every piece of the loss, what it reaches, half precision."""

import torch
import torch.nn.functional as F
from hierarchical_nets import OCR, build, image, recursion, resized, samples, single
from in_one_test import in_one_test


def test_loss_has_all_pieces_with_their_weights():
    scale_loss = dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.05)
    model, inputs, labelled = build(loss_scale=scale_loss), image((48, 64)), samples()
    labels = torch.cat([sample.gt_sem_seg.data for sample in labelled])
    losses = model.loss(inputs, labelled)
    assert set(losses) == {
        'decode.loss_ce',
        'decode.region.loss_ce',
        'decode.acc_seg',
        'coarse.loss_ce',
        'fine.loss_ce',
    }
    with torch.no_grad():
        half = F.interpolate(inputs, scale_factor=0.5, mode='bilinear', align_corners=False)
        coarse = resized(single(model, half)[0], (48, 64))
        joint = recursion(model, inputs, (0.5, 1.0), exact_ratio=False)
    for name, logits, weight in (('decode', joint, 1.0), ('coarse', coarse, 0.05)):
        expected = weight * F.cross_entropy(logits, labels, ignore_index=255)
        torch.testing.assert_close(losses[f'{name}.loss_ce'].detach(), expected)


def test_loss_reaches_every_parameter_and_moves_statistics_of_both_passes():
    model = build(loss_scale=dict(type='openseg_plugin.CrossEntropyLoss')).train()
    losses = model.loss(image((48, 64)), samples())
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    counters = {
        int(value) for name, value in model.named_buffers() if name.endswith('batches_tracked')
    }
    assert counters == {2}


LOSSES = {
    'cross entropy': [dict(type='openseg_plugin.CrossEntropyLoss')],
    'rmi': [dict(type='openseg_plugin.RMILoss')],
    'paddleseg': [
        dict(type='openseg_plugin.DiceLoss'),
        dict(type='openseg_plugin.BootstrappedCrossEntropyLoss', min_kept=100),
    ],
    'others': [
        dict(type='openseg_plugin.ImageWeightedCrossEntropyLoss'),
        dict(type='openseg_plugin.BoundaryRelaxedLoss'),
    ],
}


@in_one_test('kind', LOSSES)
@in_one_test('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_loss_under_autocast_is_float32_and_close(dtype, kind):
    losses = LOSSES[kind]
    head = dict(OCR, loss_decode=losses, loss_region=losses)
    model = build(head, loss_scale=losses).float()
    inputs, labelled = image((48, 64)).float(), samples()
    expected = model.loss(inputs, labelled)
    with torch.autocast('cpu', dtype=dtype):
        found = model.loss(inputs, labelled)
    for name, value in found.items():
        assert value.dtype == torch.float32
        if 'loss' in name:
            torch.testing.assert_close(value, expected[name], rtol=0.05, atol=0.05)
    sum(value for name, value in found.items() if 'loss' in name).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
