"""Training iterations of NVIDIA's networks: every piece of the loss, their sum, and gradients."""

import pytest
import torch
from parity import catalog, nvidia_outputs, reference_run, stored

from openseg_plugin.models.losses import CrossEntropyLoss, RMILoss

# fraction by which a loss or the norm of a gradient may differ: the reference computed in float32
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-2
# batch statistics of the reduced copy are those of 4 numbers at stride 32, and magnify rounding
BATCH_TOLERANCE = 1e-3
PARTS = {
    'ocr.conv3x3_ocr.0': 'decode_head.bottleneck.conv',
    'ocr.ocr_distri_head.object_context_block.f_object.0': (
        'decode_head.object_context_block.key_project.0.conv'
    ),
    'ocr.ocr_distri_head.conv_bn_dropout.0': 'decode_head.object_context_block.bottleneck.conv',
    'ocr.cls_head': 'decode_head.conv_seg',
    'ocr.aux_head.0': 'decode_head.region_conv.conv',
    'ocr.aux_head.2': 'decode_head.region_seg',
    'scale_attn.conv0': 'scale_attention.convs.0.conv',
    'scale_attn.conv1': 'scale_attention.convs.1.conv',
    'scale_attn.conv2': 'scale_attention.conv_attention',
}


def fixtures() -> list:
    """The networks whose training was recorded."""
    return [
        pytest.param(*param.values, id=param.id, marks=[pytest.mark.slow] + list(param.marks))
        if not catalog.fixture_files.is_given()
        else param
        for param in catalog.params('network')
        if param.values[0] == 'nvidia'
        and 'train' in stored.read(catalog.files()[param.values], 'nvidia').meta
    ]


def loss_of(case: str, *, with_rmi: bool | None) -> torch.nn.Module:
    """Criterion of a case; None asks for all of it."""
    if not case.startswith('rmi'):
        return CrossEntropyLoss()
    return RMILoss(1.0, 0.0) if with_rmi is False else RMILoss()


def weight_of(piece: str, case: dict) -> float:
    """Factor of a piece in the sum."""
    if 'aux' in piece:
        return case['ocr_alpha']
    return case['supervised_mscale_wt'] if piece.startswith('pred_') else 1.0


def our_name(theirs: str) -> str:
    """Name of a parameter here."""
    module, _, kind = theirs.rpartition('.')
    return f'{PARTS.get(module, module)}.{kind}'


@pytest.mark.parametrize(('family', 'name'), fixtures())
def test_nvidia_training_losses_and_gradients(family, name):
    fixture = stored.read(catalog.files()[family, name], family)
    given, seed = fixture.meta['train'], fixture.meta['seed'] + 2
    model = reference_run.build(reference_run.converted(fixture))
    shape = given['image_shape']
    classes = fixture.meta['num_classes']
    labels = torch.from_numpy(stored.labels((shape[0], *shape[2:]), classes, seed))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for case, expected in given['cases'].items():
        is_batch = expected['bn'] == 'batch statistics'
        with torch.set_grad_enabled('grad_norms' in expected):
            maps = nvidia_outputs.training_logits(fixture, model, batch_statistics=is_batch)
            pieces = {
                piece: loss_of(case, with_rmi=expected['do_rmi_flags'][piece])(maps[piece], labels)
                for piece in expected['pieces']
            }
        tolerance = BATCH_TOLERANCE if is_batch else LOSS_TOLERANCE
        found = {piece: value.item() for piece, value in pieces.items()}
        assert found == pytest.approx(expected['pieces'], rel=tolerance), case
        total = sum(weight_of(piece, expected) * value for piece, value in pieces.items())
        assert total.item() == pytest.approx(expected['total'], rel=tolerance), case
        if 'grad_norms' in expected:
            model.zero_grad()
            total.backward()
            parameters = dict(model.named_parameters())
            norms = {
                theirs: parameters[our_name(theirs)].grad.norm().item()
                for theirs in expected['grad_norms']
            }
            assert norms == pytest.approx(expected['grad_norms'], rel=GRADIENT_TOLERANCE), case
        model.load_state_dict(before)
