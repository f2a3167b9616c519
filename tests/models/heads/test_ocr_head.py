import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps, labelled_samples
from random_norms import shuffle_norms

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.object_context import gather_regions
from openseg_plugin.registry import MODELS

HEAD_ARGS = dict(channels=8, key_channels=4)
LOSSES = {'loss_ce', 'region.loss_ce'}
MMSEG_NAMES = (
    ('0.convs.0.', 'region_conv.'),
    ('0.conv_seg.', 'region_seg.'),
    ('1.', ''),
)


class TestOCRHead(HeadContract):
    HEAD = 'OCRHead'
    DEFAULT_ARGS = dict(HEAD_ARGS, in_channels=WIDTHS, region=dict(channels=6, kernel_size=3))
    LOSSES = LOSSES

    @pytest.mark.parametrize('kernel_size', [1, 3])
    def test_weights_and_logits_are_those_of_mmseg(self, kernel_size):
        region = dict(channels=6, kernel_size=kernel_size)
        ours = shuffle_norms(self.build(region=region, align_corners=False)).eval()
        state = ours.state_dict()
        cascade = build_mmseg_cascade(kernel_size).eval()
        cascade.load_state_dict({name: state[ours_name(name)] for name in cascade.state_dict()})
        assert len(state) == len(cascade.state_dict())
        feats = backbone_maps((8, 16))
        region_logits = cascade[0](feats)
        expected = region_logits, cascade[1](feats, region_logits)
        torch.testing.assert_close(ours(feats), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize('conv_bias, number', [('none', 0), ('input', 2), ('all', 9)])
    def test_conv_bias_gives_the_named_convolutions_a_bias(self, conv_bias, number):
        names = {n for n in self.build(conv_bias=conv_bias).state_dict() if n.endswith('conv.bias')}
        assert len(names) == number
        if conv_bias == 'input':
            assert names == {'region_conv.conv.bias', 'bottleneck.conv.bias'}

    def test_one_training_step_runs_every_part_once(self):
        head = self.build()
        head.loss(backbone_maps(), labelled_samples(5), None)
        counts = {n: int(v) for n, v in head.state_dict().items() if 'num_batches' in n}
        assert set(counts.values()) == {1}

    @pytest.mark.parametrize('weight', [0.4, 0.2])
    def test_region_loss_has_its_own_weight(self, weight):
        loss = dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=weight)
        head = self.build(loss_region=loss).eval()
        feats, samples = backbone_maps(), labelled_samples(5)
        region_logits, _ = head(feats)
        twin = self.build(loss_decode=dict(loss, loss_weight=1.0))
        losses = head.loss(feats, samples, None)
        alone = twin.loss_decode(
            torch.nn.functional.interpolate(
                region_logits, (32, 48), mode='bilinear', align_corners=True
            ),
            torch.cat([s.gt_sem_seg.data for s in samples]),
        )
        torch.testing.assert_close(losses['region.loss_ce'], weight * alone)

    def test_default_region_weight_is_that_of_the_paper(self):
        assert self.build().loss_region.loss_weight == 0.4

    def test_one_channel_gathers_a_region_for_each_side(self):
        head = self.build(2, out_channels=1).eval()
        seen = []
        head.object_context_block.register_forward_hook(lambda *args: seen.append(args[1]))
        feats = backbone_maps()
        region_logits, _ = head(feats)
        pixels, regions = seen[0]
        expected = gather_regions(pixels, torch.cat([-region_logits, region_logits], dim=1))
        torch.testing.assert_close(regions, expected)

    def test_object_contextual_features_are_what_the_classifier_sees(self):
        head = self.build().eval()
        feats = backbone_maps((7, 9))
        region_logits, features = head.object_contextual_features(feats)
        assert features.shape == (2, 8, 7, 9)
        torch.testing.assert_close((region_logits, head.conv_seg(features)), head(feats))

    @pytest.mark.parametrize('ratio', [0.0, 1.0])
    def test_dropout_ratio_drops_whole_features_before_the_classifier(self, ratio):
        head = self.build(dropout_ratio=ratio).train()
        bias = head.conv_seg.bias.view(1, -1, 1, 1).expand(2, 5, 8, 12)
        only_bias = torch.allclose(head(backbone_maps())[1], bias)
        assert only_bias is (ratio == 1.0)

    @pytest.mark.parametrize('ratio', [0.0, 1.0])
    def test_region_dropout_ratio_acts_on_the_region_branch(self, ratio):
        head = self.build(region=dict(channels=6, dropout_ratio=ratio)).train()
        bias = head.region_seg.bias.view(1, -1, 1, 1).expand(2, 5, 8, 12)
        only_bias = torch.allclose(head(backbone_maps())[0], bias)
        assert only_bias is (ratio == 1.0)

    def test_unknown_conv_bias_is_refused(self):
        with pytest.raises(ConfigError, match=r'conv_bias=.some.'):
            self.build(conv_bias='some')

    @pytest.mark.parametrize('region', [dict(), dict(channels=6, kernel=3)])
    def test_region_with_missing_or_unknown_entries_is_refused(self, region):
        with pytest.raises(ConfigError, match='needs "channels"'):
            self.build(region=region)


class TestOCRHeadOnTwoMaps(HeadContract):
    """As on a ResNet: regions from one map, pixel features from another."""

    HEAD = 'OCRHead'
    DEFAULT_ARGS = dict(
        HEAD_ARGS,
        in_channels=WIDTHS[0],
        in_index=0,
        region=dict(channels=6, in_index=1, in_channels=WIDTHS[1], kernel_size=3),
    )
    LOSSES = LOSSES


def build_mmseg_cascade(kernel_size):
    """mmseg's two heads of an OCR cascade."""
    common = dict(
        in_channels=WIDTHS,
        in_index=(0, 1, 2, 3),
        input_transform='resize_concat',
        num_classes=5,
        norm_cfg=dict(type='BN'),
        loss_decode=[],
        align_corners=False,
    )
    region = dict(
        type='mmseg.FCNHead',
        channels=6,
        kernel_size=kernel_size,
        num_convs=1,
        concat_input=False,
        **common,
    )
    ocr = dict(type='mmseg.OCRHead', channels=8, ocr_channels=4, **common)
    return torch.nn.ModuleList([MODELS.build(region), MODELS.build(ocr)])


def ours_name(name):
    """Our key name of a key of mmseg's cascade."""
    for theirs, ours in MMSEG_NAMES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise KeyError(name)
