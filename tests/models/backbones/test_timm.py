"""timm's models as backbones: maps, sizes, weights, what stands still, and what is refused.

The models are shrunken by timm's own arguments, so that each is built in a fraction of a second.
"""

import logging
import socket

import pytest
import timm
import torch
from in_one_test import in_one_test
from mmengine.model import ImgDataPreprocessor
from mmengine.runner import load_checkpoint

from openseg_plugin.errors import CheckpointError, ConfigError, DependencyError
from openseg_plugin.models.backbones import TimmBackbone, timm_models
from openseg_plugin.models.backbones.timm_models import normalization, require_preprocessing
from openseg_plugin.models.data_preprocessor import SegDataPreProcessor

SWIN = dict(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), drop_path_rate=0.0)
# name, arguments, strides; a name of ours -> timm's
FAMILIES = {
    'convnext': ('convnext_atto', dict(dims=(4, 8, 12, 16)), (4, 8, 16, 32)),
    'efficientnet': ('tf_efficientnet_lite0', {}, (2, 4, 8, 16, 32)),
    'swin': ('swin_tiny_patch4_window7_224', SWIN, (4, 8, 16, 32)),
    'resnet': ('resnet10t', {}, (2, 4, 8, 16, 32)),
    'hrnet': ('hrnet_w18_small', {}, (2, 4, 8, 16, 32)),
    'vit': ('vit_tiny_patch16_224', dict(depth=3, embed_dim=12), (16, 16, 16)),
    'hybrid': ('vit_tiny_r_s16_p8_224', dict(depth=3, embed_dim=12), (32, 32, 32)),
}


def build(family, **options):
    name, args, _ = FAMILIES[family]
    torch.manual_seed(0)
    return TimmBackbone(name, timm_args=args, **options)


def classifier(family, **options):
    """timm's whole network, whose file users have."""
    name, args, _ = FAMILIES[family]
    torch.manual_seed(1)
    return timm.create_model(name, **args, **options)


def random_norms(model):
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return model


def saved(path, model):
    torch.save({'state_dict': model.state_dict()}, path)
    return dict(type='Pretrained', checkpoint=str(path))


@in_one_test('size', [(64, 96), (65, 99), (47, 33)])
@in_one_test('family', FAMILIES)
def test_maps_have_the_stated_channels_and_strides_at_every_size(family, size):
    backbone = build(family).eval()
    assert backbone.out_strides == FAMILIES[family][2]
    maps = backbone(torch.randn(2, 3, *size))
    assert tuple(x.shape[1] for x in maps) == backbone.out_channels
    for x, stride in zip(maps, backbone.out_strides):
        for side, cells in zip(size, x.shape[2:]):
            assert cells in (side // stride, -(-side // stride))
    assert all(torch.isfinite(x).all() for x in maps)


def test_channels_last_maps_of_swin_are_permuted():
    backbone = build('swin').eval()
    image = torch.randn(1, 3, 64, 96)
    theirs = backbone.timm_model(image)
    assert theirs[0].shape == (1, 16, 24, 8)  # timm's own are (N, H, W, C)
    for ours, nhwc in zip(backbone(image), theirs):
        assert torch.equal(ours, nhwc.permute(0, 3, 1, 2))


def test_padding_to_the_stride_changes_nothing_where_none_is_needed():
    backbone = build('hrnet').eval()
    image = torch.randn(1, 3, 64, 96)
    assert all(torch.equal(a, b) for a, b in zip(backbone(image), backbone.timm_model(image)))


@pytest.mark.parametrize(
    ('output_stride', 'strides'), [(8, (2, 4, 8, 8, 8)), (16, (2, 4, 8, 16, 16))]
)
def test_output_stride_dilates_the_last_stages(output_stride, strides):
    backbone = build('resnet', output_stride=output_stride)
    assert backbone.out_strides == strides
    assert [64 // x.shape[2] for x in backbone(torch.randn(2, 3, 64, 64))] == list(strides)


@pytest.mark.parametrize('family', ['efficientnet', 'hrnet'])
def test_out_indices_choose_the_maps(family):
    backbone = build(family, out_indices=(1, 2))
    assert backbone.out_strides == (4, 8)
    maps = backbone(torch.randn(2, 3, 33, 65))
    assert [x.shape[2:] for x in maps] == [(9, 17), (5, 9)]


@in_one_test(
    ('name', 'options', 'said'),
    [
        ('convnext_tinny', {}, 'no model .convnext_tinny.*nearest are .*convnext_tiny'),
        ('resnet50.a1_in2k', {}, r'no weights .a1_in2k.*resnet50\.a1_in1k'),
        ('resnet10t', dict(output_stride=4), 'output_stride=4'),
        ('swin_tiny_patch4_window7_224', dict(output_stride=8), 'has no option output_stride'),
        ('resnet10t', dict(out_indices=(9,)), r'resnet10t cannot be built with .*out_indices'),
        ('resnet10t', dict(img_size=(32, 32)), 'images of every size: leave img_size out'),
        ('cait_xxs24_224', {}, 'one size only: set img_size'),
        ('mixer_s32_224', {}, 'one size only'),
        (
            'maxvit_tiny_tf_224',
            dict(img_size=(65, 65), timm_args=dict(depths=(1,) * 4, embed_dim=(32,) * 4)),
            'cannot take images of 65x65 pixels',
        ),
        ('resnet10t', dict(out_indices=(2, 1)), r'out_indices=\(2, 1\): .* rising order'),
        ('resnet10t', dict(out_indices=(-1, 0)), 'rising order'),
        ('resnet10t', dict(out_indices=()), r'out_indices=\(\): give whole numbers'),
        ('resnet10t', dict(out_indices=3), 'out_indices=3: give whole numbers'),
        ('resnet10t', dict(in_channels=0), 'in_channels=0: give a whole number of 1'),
        ('cait_xxs24_224', dict(img_size=224), r'img_size=224: give two .*\(height, width\)'),
        (None, {}, 'model_name is None: give the name of a model'),
        ('resnet10t', dict(timm_args=[1]), r'timm_args=\[1\]: give a dict'),
        ('resnet10t', dict(timm_args=dict(in_chans=4)), 'in_chans in timm_args.* by in_channels'),
        ('resnet10t', dict(timm_args=dict(out_indices=(1,))), 'out_indices in timm_args'),
        ('resnet10t', dict(timm_args=dict(pretrained=True)), 'pretrained in timm_args'),
        ('resnet10t', dict(timm_args=dict(features_only=True)), 'features_only in timm_args'),
        ('resnet10t', dict(frozen_stages=6), 'frozen_stages=6, but can freeze 1 to 5'),
        ('resnet10t', dict(pretrained=True, init_cfg=dict(type='Pretrained')), 'and an init_cfg'),
    ],
)
def test_what_timm_cannot_do_is_said_in_a_sentence(name, options, said):
    with pytest.raises(ConfigError, match=said):
        TimmBackbone(name, **options)


def test_missing_timm_is_said_with_the_command(monkeypatch):
    from openseg_plugin.compat import torchvision as module

    monkeypatch.setattr(module.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(DependencyError, match='pip install timm'):
        TimmBackbone('resnet10t')


def test_model_of_one_size_takes_it_and_refuses_others():
    backbone = TimmBackbone(
        'maxvit_tiny_tf_224',
        img_size=(64, 64),
        timm_args=dict(depths=(1,) * 4, embed_dim=(32,) * 4),
    )
    assert backbone(torch.randn(2, 3, 64, 64))[-1].shape[1] == backbone.out_channels[-1]
    with pytest.raises(ConfigError, match=r'64x64 .*65x64'):
        backbone(torch.randn(2, 3, 65, 64))


@pytest.mark.parametrize('family', ['convnext', 'efficientnet', 'swin', 'vit'])
def test_weights_of_a_file_under_timms_names_are_those_of_its_classifier(family, tmp_path):
    whole = random_norms(classifier(family)).eval()
    backbone = build(family, init_cfg=saved(tmp_path / 'timm.pth', whole))
    backbone.init_weights()
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        theirs = whole.forward_intermediates(image, intermediates_only=True)
        ours = backbone.eval()(image)
    torch.testing.assert_close(ours[-1], theirs[-1], rtol=1e-4, atol=1e-4)


def test_file_of_three_channels_starts_a_backbone_of_five(tmp_path):
    whole = classifier('resnet')
    init_cfg = saved(tmp_path / 'timm.pth', whole)
    backbone = build('resnet', in_channels=5, init_cfg=init_cfg)
    backbone.init_weights()
    first = backbone.timm_model.conv1[0].weight
    torch.testing.assert_close(first[:, 3], whole.conv1[0].weight[:, 0] * 3 / 5)
    assert backbone(torch.randn(2, 5, 32, 32))[0].shape[0] == 2


@pytest.mark.parametrize(
    ('of', 'into', 'said'),
    [
        ('resnet18', 'resnet34', r'80 entries are missing: layer1\.2'),
        ('resnet34', 'resnet18', r'80 entries are not known: layer1\.2'),
        ('tf_efficientnet_lite2', 'tf_efficientnet_lite1', r'blocks\.2\.0.* is 48x144x1x1 in the'),
        ('resnet10t', 'convnext_atto', "do not fit timm's convnext_atto"),
    ],
)
def test_weights_of_another_depth_or_width_are_refused(of, into, said, tmp_path):
    init_cfg = saved(tmp_path / 'timm.pth', timm.create_model(of))
    backbone = TimmBackbone(into, init_cfg=init_cfg)
    with pytest.raises(CheckpointError, match=said):
        backbone.init_weights()


def test_file_of_timms_own_model_of_maps_fills_the_backbone(tmp_path):
    theirs = random_norms(classifier('convnext', features_only=True))
    assert 'stem_0.weight' in theirs.state_dict()  # the classifier calls it stem.0
    backbone = build('convnext', init_cfg=saved(tmp_path / 'maps.pth', theirs))
    backbone.init_weights()
    state = backbone.timm_model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in theirs.state_dict().items())


def test_own_checkpoint_loads_strictly_and_alone(tmp_path):
    trained = random_norms(build('efficientnet'))
    torch.save({'state_dict': trained.state_dict()}, tmp_path / 'backbone.pth')
    whole = {f'backbone.{name}': value for name, value in trained.state_dict().items()}
    torch.save({'state_dict': {**whole, 'decode_head.x': torch.ones(1)}}, tmp_path / 'model.pth')
    for name in ('backbone.pth', 'model.pth'):
        fresh = build('efficientnet')
        load_checkpoint(fresh, str(tmp_path / name), strict=True)
        state = fresh.state_dict()
        assert all(torch.equal(state[key], value) for key, value in trained.state_dict().items())


def test_pretrained_without_a_network_is_said_when_the_training_starts(monkeypatch, caplog):
    def refuse(*arguments, **options):
        logging.getLogger('huggingface_hub.utils._http').warning('Retrying in 8s [Retry 4/5].')
        raise socket.gaierror(-2, 'Name or service not known')

    monkeypatch.setattr('timm.models._builder.load_pretrained', refuse)
    monkeypatch.setattr(timm_models, 'is_reachable', lambda host: True)
    backbone = TimmBackbone('resnet10t', pretrained=True)  # building needs no network
    with pytest.raises(CheckpointError, match=r'resnet10t .*FILE'):
        backbone.init_weights()
    assert 'Retry' not in caplog.text


def test_server_that_does_not_answer_is_said_at_once_unless_the_weights_are_cached(monkeypatch):
    asked, tried = [], []
    monkeypatch.setattr(timm_models, 'is_reachable', lambda host: asked.append(host))
    monkeypatch.setattr('timm.models._builder.load_pretrained', lambda *a, **k: tried.append(k))
    with pytest.raises(CheckpointError, match=r'huggingface\.co does not answer.*FILE'):
        TimmBackbone('resnet10t', pretrained=True).init_weights()
    assert asked == ['huggingface.co'] and not tried
    monkeypatch.setattr('huggingface_hub.constants.ENDPOINT', 'https://mirror.example:8443')
    assert timm_models.weights_host('resnet10t') == 'mirror.example:8443'
    monkeypatch.setattr(timm_models, 'is_cached', lambda name: True)
    TimmBackbone('resnet10t', pretrained=True).init_weights()
    assert len(asked) == 1 and tried


def test_pretrained_takes_timms_weights_once(monkeypatch):
    def fill(model, **options):
        for value in model.parameters():
            value.data.fill_(0.25)

    monkeypatch.setattr('timm.models._builder.load_pretrained', fill)
    monkeypatch.setattr(timm_models, 'is_reachable', lambda host: True)
    backbone = TimmBackbone('resnet10t', pretrained=True)
    assert not (backbone.timm_model.conv1[0].weight == 0.25).all()
    backbone.init_weights()
    assert all((value == 0.25).all() for value in backbone.parameters())


@pytest.mark.parametrize(('number', 'frozen'), [(1, 'stages_0'), (3, 'stages_2')])
def test_frozen_stages_keep_all_that_makes_the_finest_maps(number, frozen):
    backbone = build('convnext', frozen_stages=number).train()
    sum(x.sum() for x in backbone(torch.randn(2, 3, 64, 64))).backward()
    learn = [name for name, p in backbone.named_parameters() if p.grad is not None]
    assert min(learn).startswith(f'timm_model.stages_{number}')
    assert not any(p.requires_grad for p in getattr(backbone.timm_model, frozen).parameters())


def test_frozen_stages_keep_their_statistics_and_norm_eval_all():
    backbone = build('resnet', frozen_stages=2).train()
    before = {name: b.clone() for name, b in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 64, 64))
    moved = {n for n, b in backbone.named_buffers() if not torch.equal(b, before[n])}
    assert moved and {name.split('.')[1] for name in moved} == {'layer2', 'layer3', 'layer4'}
    backbone = build('resnet', norm_eval=True).train()
    before = {name: b.clone() for name, b in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(b, before[name]) for name, b in backbone.named_buffers())


def test_frozen_transformer_keeps_its_embeddings():
    backbone = build('vit', frozen_stages=1)
    names = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert {'timm_model.model.pos_embed', 'timm_model.model.patch_embed.proj.weight'} <= names
    assert 'timm_model.model.blocks.2.mlp.fc1.weight' not in names


@pytest.mark.parametrize('family', ['efficientnet', 'convnext', 'swin', 'vit'])
def test_with_cp_gives_the_same_gradients_and_moves_statistics_once(family):
    image = torch.randn(2, 3, 64, 64)
    plain, saving = build(family).train(), build(family, with_cp=True).train()
    for backbone in (plain, saving):
        for _ in range(2):  # as HMSA: two passes, then one backward pass
            maps = [backbone(image), backbone(image * 0.5)]
            sum(x.square().mean() for found in maps for x in found).backward()
    theirs = dict(saving.named_parameters())
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(theirs[name].grad, parameter.grad, rtol=1e-3, atol=1e-5)
    for (name, mine), other in zip(plain.named_buffers(), saving.buffers()):
        torch.testing.assert_close(other, mine, msg=name)


def preprocessor(**changed):
    options = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)
    return SegDataPreProcessor(**{**options, **changed})


def test_normalization_is_that_of_the_weights():
    assert normalization('tf_efficientnet_lite0') == dict(
        mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True
    )
    found = normalization('resnet10t')
    assert found['mean'] == pytest.approx([123.675, 116.28, 103.53])


@pytest.mark.parametrize(
    ('changed', 'said'),
    [
        (dict(mean=[123.675, 116.28, 103.53]), r'data_preprocessor\.mean is \[123\.675'),
        (dict(std=[58.395, 57.12, 57.375]), r'data_preprocessor\.std is .*\[127\.5, 127\.5'),
        (dict(bgr_to_rgb=False), r'data_preprocessor\.bgr_to_rgb is False'),
        (dict(mean=None, std=None), r'data_preprocessor\.mean is None'),
    ],
)
def test_preprocessing_that_contradicts_the_weights_is_refused_by_its_key(changed, said):
    name, wrong = 'tf_efficientnet_lite0', preprocessor(**changed)
    require_preprocessing(name, preprocessor())
    with pytest.raises(ConfigError, match=said):
        require_preprocessing(name, wrong)
    init_cfg = dict(type='Pretrained', checkpoint='weights.pth')
    with pytest.raises(ConfigError, match=said):
        TimmBackbone(name, init_cfg=init_cfg).check_preprocessing(wrong)
    # nothing is known about these
    TimmBackbone(name).check_preprocessing(wrong)
    TimmBackbone(name, init_cfg=init_cfg, check_preprocessing=False).check_preprocessing(wrong)
    TimmBackbone(name, init_cfg=init_cfg, in_channels=4).check_preprocessing(wrong)
    require_preprocessing(name, torch.nn.Identity())


def test_preprocessor_of_mmengine_is_checked_too():
    wrong = ImgDataPreprocessor(mean=[0.0] * 3, std=[1.0] * 3, bgr_to_rgb=True)
    with pytest.raises(ConfigError, match='mean is'):
        require_preprocessing('resnet10t', wrong)
