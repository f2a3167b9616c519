import pytest
import torch
from head_contract import WIDTHS, HeadContract, backbone_maps, labelled_samples

from openseg_plugin.errors import ConfigError

REGION = dict(channels=6, kernel_size=3, in_index=2, in_channels=WIDTHS[2])


class TestCE2PHead(HeadContract):
    HEAD = 'CE2PHead'
    DEFAULT_ARGS = dict(
        in_channels=WIDTHS,
        channels=8,
        region=REGION,
        context_channels=8,
        asp_channels=6,
        key_channels=4,
        dilations=(1, 2, 3),
        edge_channels=4,
        narrow_channels=4,
    )
    LOSSES = {'loss_ce', 'decoder.loss_ce', 'region.loss_ce', 'edge.loss_edge'}

    def test_forward_gives_decoder_edge_region_and_final_logits(self):
        head = self.build().eval()
        shapes = [tuple(x.shape) for x in head(backbone_maps())]
        assert shapes == [(2, 5, 8, 12), (2, 2, 8, 12), (2, 5, 2, 3), (2, 5, 8, 12)]

    @pytest.mark.parametrize('context', ['asp_ocr', 'ocr'])
    @pytest.mark.parametrize('conv_bias', [False, True])
    def test_conv_bias_is_that_of_the_context(self, context, conv_bias):
        names = self.build(context=context, conv_bias=conv_bias).state_dict()
        biases = [name for name in names if name.endswith('conv.bias')]
        assert bool(biases) is conv_bias
        assert all(name.startswith('context_block.') for name in biases)

    def test_each_loss_has_its_own_weight(self):
        head = self.build().eval()
        feats, samples = backbone_maps(), labelled_samples(5)
        before = head.loss(feats, samples, None)
        head.loss_edge.loss_weight *= 2
        head.loss_decoder.loss_weight *= 3
        after = head.loss(feats, samples, None)
        torch.testing.assert_close(after['edge.loss_edge'], 2 * before['edge.loss_edge'])
        torch.testing.assert_close(after['decoder.loss_ce'], 3 * before['decoder.loss_ce'])
        torch.testing.assert_close(after['loss_ce'], before['loss_ce'])

    def test_ideal_context_without_labels_is_refused(self):
        head = self.build(context='oracle').eval()
        with pytest.raises(ConfigError, match='OracleEncoderDecoder'):
            head(backbone_maps())

    def test_ideal_context_depends_on_the_labels(self):
        head = self.build(context='oracle').eval()
        feats = backbone_maps()
        seen = []
        for labels in (torch.zeros(2, 32, 48), torch.arange(48).expand(2, 32, 48) % 5):
            with head.shown(labels.long()):
                seen.append(head.final_logits(feats))
        assert (seen[0] - seen[1]).abs().max() > 1e-6

    @pytest.mark.parametrize('wrong', [dict(context='pyramid'), dict(in_channels=WIDTHS[:3])])
    def test_unknown_context_or_wrong_number_of_maps_is_refused(self, wrong):
        with pytest.raises(ConfigError, match='CE2PHead got'):
            self.build(**wrong)


class TestCE2PHeadWithOCR(HeadContract):
    HEAD = 'CE2PHead'
    DEFAULT_ARGS = dict(TestCE2PHead.DEFAULT_ARGS, context='ocr')
    LOSSES = TestCE2PHead.LOSSES
