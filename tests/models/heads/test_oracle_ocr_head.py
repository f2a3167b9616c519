"""OCR from true regions: its five forms on a few pixels."""

import pytest
import torch
from head_contract import WIDTHS, backbone_maps, labelled_samples
from random_norms import shuffle_norms

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS

FORMS = {
    'spatial': ('gt', 'gt', ('object',)),
    'spatial_b': ('gt', 'gt', ('object', 'background')),
    'spatial_c': ('gt', 'gt', ('background',)),
    'gather': ('gt', 'predicted', ('object',)),
    'distribute': ('predicted', 'gt', ('object',)),
}
every_form = pytest.mark.parametrize('form', FORMS.values(), ids=FORMS)


def build(form=FORMS['spatial'], **options):
    gather, distribute, contexts = form
    head = dict(
        type='openseg_plugin.OracleOCRHead',
        num_classes=4,
        in_channels=WIDTHS[0],
        in_index=0,
        channels=8,
        key_channels=4,
        region=dict(channels=6),
        gather=gather,
        distribute=distribute,
        contexts=contexts,
    )
    return shuffle_norms(MODELS.build(head | options))


def labels(size=(32, 48)):
    return torch.randint(0, 4, (2, *size)).index_fill(1, torch.tensor([0, 1]), 255)


@every_form
@pytest.mark.parametrize('size', [(8, 12), (7, 9), (1, 1)])
def test_logits_have_one_channel_per_class(form, size):
    head = build(form).eval()
    with head.shown(labels()):
        region_logits, logits = head(backbone_maps(size))
    assert region_logits.shape == logits.shape == (2, 4, *size)


@every_form
def test_loss_reaches_every_parameter_that_is_trained(form):
    head = build(form)
    samples = labelled_samples(4)
    with head.shown(labels()):
        losses = head.loss(backbone_maps(), samples, None)
    assert set(losses) == {'loss_ce', 'region.loss_ce', 'acc_seg'}
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert (parameter.grad is not None) is parameter.requires_grad, name
    frozen = {name.split('.')[1] for name, p in head.named_parameters() if not p.requires_grad}
    assert frozen == ({'query_project', 'key_project'} if form[1] == 'gt' else set())


@every_form
def test_other_labels_give_other_logits(form):
    head = build(form).eval()
    feats = backbone_maps()
    seen = []
    for shown in (labels(), torch.zeros(2, 32, 48, dtype=torch.long)):
        with head.shown(shown):
            seen.append(head.final_logits(feats))
    assert (seen[0] - seen[1]).abs().max() > 1e-6


def test_labels_are_forgotten_afterwards():
    head = build().eval()
    with head.shown(labels()):
        pass
    with pytest.raises(ConfigError, match=r'model\.type=.*OracleEncoderDecoder'):
        head(backbone_maps())


@pytest.mark.parametrize(
    'form',
    [
        ('predicted', 'predicted', ('object',)),
        ('gt', 'predicted', ('background',)),
        ('gt', 'gt', ()),
        ('guess', 'gt', ('object',)),
    ],
)
def test_options_that_make_none_of_the_forms_are_refused(form):
    with pytest.raises(ConfigError, match='OracleOCRHead got gather='):
        build(form)


def test_one_output_channel_is_refused():
    with pytest.raises(ConfigError, match='out_channels=1'):
        build(num_classes=2, out_channels=1)


@every_form
@pytest.mark.parametrize('num_classes', [2, 4])  # one class is refused
def test_saved_weights_load_strictly_and_predict_the_same_at_the_padded_size(
    form, num_classes, tmp_path
):
    head, other = (build(form, num_classes=num_classes).eval() for _ in range(2))
    torch.save(head.state_dict(), tmp_path / 'head.pth')
    other.load_state_dict(torch.load(tmp_path / 'head.pth', weights_only=True), strict=True)
    meta = dict(img_shape=(5, 5), pad_shape=(29, 35), ori_shape=(64, 64))
    feats, seen, gt = backbone_maps(), [], labels()
    gt = gt.where(gt == 255, gt % num_classes)
    for one in (head, other):
        with one.shown(gt):
            seen.append(one.predict(feats, [meta] * 2, None))
    assert seen[0].shape == (2, num_classes, 29, 35)
    torch.testing.assert_close(seen[1], seen[0])
