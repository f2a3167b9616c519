"""EfficientNet-Lite files: every entry by its name into timm's network, equal results."""

import pytest
import timm
import torch

from openseg_plugin.converters.checkpoints import convert, identify
from openseg_plugin.errors import CheckpointError
from openseg_plugin.models.backbones import TimmBackbone

NETWORKS = ('lite0', 'lite1', 'lite2')
# layers of a block in the file; the first block of the network lacks the first of them
LAYERS = (('_expand_conv', '_bn0'), ('_depthwise_conv', '_bn1'), ('_project_conv', '_bn2'))
NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')


def published(name, *, seed=0):
    """A file as the package has it: random numbers in the shapes of timm's classifier.

    Written from the two projects' networks and not from the converter's table: both run through the
    same layers, so the file lists them in the order in which timm calls them.
    """
    torch.manual_seed(seed)
    whole = timm.create_model(f'tf_efficientnet_{name}')
    for module in whole.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    calls = []
    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d)
    hooks = [
        module.register_forward_hook(lambda m, *_: calls.append(m))
        for module in whole.modules()
        if isinstance(module, kinds)
    ]
    whole.eval()(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    pairs = list(zip(calls[::2], calls[1::2]))  # convolution, norm
    weights = {}

    def put(conv, norm, modules):
        weights[f'{conv}.weight'] = modules[0].weight.detach().clone()
        state = modules[1].state_dict()
        weights.update({f'{norm}.{key}': state[key].clone() for key in NORM})

    put('_conv_stem', '_bn0', pairs[0])
    for index, (conv, norm) in enumerate(LAYERS[1:]):
        put(f'_blocks.0.{conv}', f'_blocks.0.{norm}', pairs[1 + index])
    middle = pairs[3:-1]
    for number in range(len(middle) // 3):
        for index, (conv, norm) in enumerate(LAYERS):
            block = f'_blocks.{number + 1}'
            put(f'{block}.{conv}', f'{block}.{norm}', middle[3 * number + index])
    put('_conv_head', '_bn1', pairs[-1])
    weights['_fc.weight'] = whole.classifier.weight.detach().clone()
    weights['_fc.bias'] = whole.classifier.bias.detach().clone()
    return weights, whole


@pytest.mark.parametrize('name', NETWORKS)
def test_every_entry_lands_in_timms_network_of_that_name(name):
    weights, whole = published(name)
    source = identify(weights)
    assert (source.name, source.network) == ('efficientnet_lite', name)
    conversion = convert(weights)
    assert conversion.is_backbone and conversion.backbone == f'tf_efficientnet_{name}'
    assert conversion.preprocessing.mean == (127.5,) * 3
    assert len(conversion.dropped) == 1 + len(NORM) + 2
    backbone = TimmBackbone(f'tf_efficientnet_{name}')
    backbone.load_state_dict(conversion.state_dict, strict=True)
    theirs = whole.state_dict()
    for key, value in backbone.timm_model.state_dict().items():
        assert torch.equal(value, theirs[key]), key


def test_file_starts_a_backbone_and_the_order_of_its_entries_is_nothing(tmp_path):
    weights, whole = published('lite0')
    backwards = dict(reversed(weights.items()))
    torch.save(backwards, tmp_path / 'lite0.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'lite0.pth'))
    backbone = TimmBackbone('tf_efficientnet_lite0', in_channels=4, init_cfg=init_cfg)
    backbone.init_weights()
    own, theirs = backbone.timm_model.state_dict(), whole.state_dict()
    assert own.pop('conv_stem.weight').shape[1] == 4
    assert all(torch.equal(value, theirs[key]) for key, value in own.items())


@pytest.mark.parametrize('name', ['_blocks.3._expand_conv.weight', '_bn0.running_var'])
def test_missing_and_unknown_entries_are_listed(name):
    weights, _ = published('lite0')
    del weights[name]
    weights['_blocks.3._swish.weight'] = torch.ones(1)
    with pytest.raises(CheckpointError, match=r'_blocks\.3\._swish') as error:
        convert(weights)
    assert name in str(error.value)


def test_efficientnet_with_squeeze_and_excitation_is_not_taken_for_lite():
    weights, _ = published('lite0')
    weights['_blocks.0._se_reduce.weight'] = torch.ones(8, 32, 1, 1)
    assert identify(weights) is None


@pytest.mark.parametrize(
    ('name', 'into'),
    # timm's network without tf_ has entries of the same names and shapes, but pads otherwise
    [('lite2', 'tf_efficientnet_lite1'), ('lite0', 'efficientnet_lite0')],
)
def test_another_network_is_told_which_one_the_weights_are_of(tmp_path, name, into):
    torch.save(published(name)[0], tmp_path / 'lite.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'lite.pth'))
    said = rf'weights of tf_efficientnet_{name} \(SAME .*127\.5\), not of {into}: set .*model_name'
    with pytest.raises(CheckpointError, match=said):
        TimmBackbone(into, init_cfg=init_cfg).init_weights()
