"""What every decode head of ours must do; a test class derives and names the head."""

import pytest
import torch
from in_one_test import in_one_test
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS

WIDTHS = (4, 6, 8, 10)
IGNORE = 255


def backbone_maps(size=(8, 12), batch=2) -> list[Tensor]:
    """Four random maps with ``WIDTHS`` channels, each half as large as the one before it."""
    return [
        torch.randn(batch, width, -(-size[0] // 2**i), -(-size[1] // 2**i))
        for i, width in enumerate(WIDTHS)
    ]


def labelled_samples(classes: int, size=(32, 48), batch=2) -> list[SegDataSample]:
    """Samples with random labels, the upper rows ignored, and the metainfo that mmseg packs."""
    samples = []
    for _ in range(batch):
        labels = torch.randint(0, classes, (1, *size))
        labels[:, :4] = IGNORE
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_shape=size, pad_shape=size, ori_shape=size))
        samples.append(sample)
    return samples


def mmseg_head(kind: str, *, like: torch.nn.Module, **args) -> torch.nn.Module:
    """mmseg's head ``kind`` on all maps, with the weights of our head ``like``, for evaluation."""
    head = dict(
        type=f'mmseg.{kind}',
        in_channels=WIDTHS,
        in_index=(0, 1, 2, 3),
        input_transform='resize_concat',
        num_classes=5,
        norm_cfg=dict(type='BN'),
        loss_decode=[],
    )
    built = MODELS.build(head | args).eval()
    built.load_state_dict(like.state_dict())
    return built


@pytest.mark.filterwarnings('error::UserWarning')
class HeadContract:
    """Derive and set ``HEAD`` (registered name), ``DEFAULT_ARGS`` and ``LOSSES`` (log keys)."""

    HEAD: str
    DEFAULT_ARGS: dict
    LOSSES: set[str]

    @classmethod
    def build(cls, num_classes=5, **args):
        head = dict(type=f'openseg_plugin.{cls.HEAD}', num_classes=num_classes)
        return MODELS.build(dict(head, **dict(cls.DEFAULT_ARGS, **args)))

    binary = in_one_test(
        'classes',
        [
            dict(num_classes=1),
            dict(num_classes=2, out_channels=1),
            dict(num_classes=2),
            dict(num_classes=5),
        ],
        ids=['1', '2-with-1-channel', '2', '5'],
    )

    @binary
    @in_one_test('size', [(8, 12), (7, 9), (1, 1)])
    def test_final_logits_have_one_channel_per_class_at_the_size_of_the_first_map(
        self, classes, size
    ):
        head = self.build(**classes).eval()
        channels = classes.get('out_channels', classes['num_classes'])
        outputs = head(backbone_maps(size))
        logits = head.final_logits(backbone_maps(size))
        assert logits.shape == self.logits_shape(channels, size)
        assert (outputs if isinstance(outputs, Tensor) else outputs[-1]).shape == logits.shape

    def logits_shape(self, channels, size):
        """Shape of the final logits; a head that reads another map overrides this."""
        return (2, channels, *size)

    @binary
    @in_one_test('size', [(32, 48), (29, 35)])
    def test_predict_gives_logits_at_the_padded_size(self, classes, size):
        head = self.build(**classes).eval()
        meta = dict(img_shape=(5, 5), pad_shape=size, ori_shape=(64, 64))
        logits = head.predict(backbone_maps(), [meta] * 2, None)
        assert logits.shape[2:] == size
        expected = torch.nn.functional.interpolate(
            logits, size, mode='bilinear', align_corners=head.align_corners
        )
        torch.testing.assert_close(logits, expected)

    def test_predict_gives_logits_at_the_size_of_a_window(self):
        meta = dict(img_shape=torch.Size((20, 30)), pad_shape=(32, 48))
        assert self.build().eval().predict(backbone_maps(), [meta]).shape[2:] == (20, 30)

    @binary
    def test_loss_is_finite_and_reaches_every_parameter(self, classes):
        head = self.build(**classes)
        losses = head.loss(backbone_maps(), labelled_samples(max(2, classes['num_classes'])), None)
        assert set(losses) == self.LOSSES | {'acc_seg'}
        assert 0 <= losses.pop('acc_seg') <= 100
        sum(losses.values()).backward()
        for name, parameter in head.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name

    @binary
    def test_loss_under_bfloat16_autocast_is_close_to_that_of_float32(self, classes):
        head = self.build(**classes, dropout_ratio=0.0).eval()
        feats, samples = backbone_maps(), labelled_samples(2)
        expected = head.loss(feats, samples, None)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            losses = head.loss(feats, samples, None)
        assert losses['loss_ce'].dtype == torch.float32
        torch.testing.assert_close(losses['loss_ce'], expected['loss_ce'], rtol=0.05, atol=0.05)

    @binary
    def test_training_lowers_the_loss_and_learns_two_halves(self, classes):
        torch.manual_seed(1)
        head = self.build(**classes, dropout_ratio=0.0)
        feats = backbone_maps()
        for maps in feats:
            maps[..., maps.shape[-1] // 2 :] += 3
        samples = labelled_samples(2)
        for sample in samples:
            sample.gt_sem_seg.data[..., :24] = 0
            sample.gt_sem_seg.data[..., 24:] = 1
        optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
        for _ in range(30):
            losses = head.loss(feats, samples, None)
            accuracy = losses.pop('acc_seg')
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        assert accuracy > 90

    def test_loss_without_any_label_is_zero(self):
        samples = labelled_samples(5)
        for sample in samples:
            sample.gt_sem_seg.data[:] = IGNORE
        losses = self.build().loss(backbone_maps(), samples, None)
        assert {k: v.item() for k, v in losses.items()} == dict.fromkeys(losses, 0.0)

    def test_several_losses_of_one_name_are_added(self):
        loss = dict(type='openseg_plugin.CrossEntropyLoss')
        args = dict(dropout_ratio=0.0)
        feats, samples = backbone_maps(), labelled_samples(5)
        head = self.build(loss_decode=loss, **args)
        twice = self.build(loss_decode=[loss, loss], **args)
        twice.load_state_dict(head.state_dict())
        single, double = (h.loss(feats, samples, None)['loss_ce'] for h in (head, twice))
        torch.testing.assert_close(double, 2 * single)

    @binary
    def test_saved_weights_load_strictly_and_give_the_same_logits(self, classes, tmp_path):
        head = self.build(**classes)
        head.loss(backbone_maps(), labelled_samples(2), None)  # moves the running statistics
        torch.save(head.state_dict(), tmp_path / 'head.pth')
        other = self.build(**classes)
        other.load_state_dict(torch.load(tmp_path / 'head.pth', weights_only=True), strict=True)
        feats = backbone_maps((7, 9))
        expected = head.eval().final_logits(feats)
        torch.testing.assert_close(other.eval().final_logits(feats), expected)

    def test_leaky_relu_is_used_by_every_activation(self):
        head = self.build(act_cfg=dict(type='LeakyReLU', negative_slope=0.01))
        kinds = {type(m) for m in head.modules() if 'ReLU' in type(m).__name__}
        assert kinds == {torch.nn.LeakyReLU}

    def test_init_weights_draws_classifiers_small_and_keeps_batch_norm_neutral(self):
        head = self.build(num_classes=200)
        head.init_weights()
        classifiers = [m for n, m in head.named_modules() if n.endswith('_seg')]
        assert classifiers
        for classifier in classifiers:
            assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.2)
        for module in head.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert torch.equal(module.weight, torch.ones_like(module.weight))

    @in_one_test('out_channels, num_classes', [(1, 5), (3, 5), (2, 1)])
    def test_out_channels_that_do_not_suit_are_refused(self, out_channels, num_classes):
        with pytest.raises(ConfigError, match=f'out_channels={out_channels}'):
            self.build(num_classes, out_channels=out_channels)

    def test_pixel_sampler_is_refused_with_the_way_to_go(self):
        with pytest.raises(ConfigError, match='OHEMCrossEntropyLoss'):
            self.build(sampler=dict(type='mmseg.OHEMPixelSampler', thresh=0.7))

    def test_unknown_option_is_refused(self):
        with pytest.raises(ConfigError, match='color'):
            self.build(color='red')
