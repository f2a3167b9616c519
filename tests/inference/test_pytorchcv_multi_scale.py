import pytest
import torch
from mmseg.structures import SegDataSample

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.protocol_models import pytorchcv_multi_scale
from openseg_plugin.registry import MODELS

PAD = (-2.0, -2.0, -2.0)


def colors(x):
    """A network that tells which channel is brightest, at half resolution."""
    return torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True)


@pytest.mark.parametrize('size', [(20, 30), (30, 20), (16, 16)])
def test_result_has_the_size_of_the_image_and_is_positive(size):
    scores = pytorchcv_multi_scale(
        colors, torch.randn(1, 3, *size), base_size=24, crop_size=16, pad_value=PAD
    )
    assert scores.shape == (1, 3, *size)
    assert (scores > 0).all()


def test_symmetric_image_gives_symmetric_scores_on_one_scale():
    half = torch.randn(1, 3, 12, 8)
    image = torch.cat([half, half.flip(3)], dim=3)
    scores = pytorchcv_multi_scale(
        lambda x: x, image, base_size=16, crop_size=16, pad_value=PAD, scales=(1.0,)
    )
    torch.testing.assert_close(scores, (2 * image).exp())
    torch.testing.assert_close(scores, scores.flip(3))


@pytest.mark.parametrize(('flip', 'count'), [(True, 2), (False, 1)])
def test_flip_adds_the_scores_of_the_mirrored_image(flip, count):
    image = torch.randn(1, 3, 16, 16)
    options = dict(base_size=16, crop_size=16, pad_value=PAD, scales=(1.0,), flip=flip)
    scores = pytorchcv_multi_scale(lambda x: x, image, **options)
    torch.testing.assert_close(scores, (count * image).exp())


def tta_model(**options):
    class Segmentor(torch.nn.Module):
        align_corners = True

        def __init__(self):
            super().__init__()
            self.data_preprocessor = MODELS.build(
                dict(
                    type='openseg_plugin.SegDataPreProcessor',
                    mean=[100.0] * 3,
                    std=[50.0] * 3,
                    pad_val=0,
                )
            )

        def encode_decode(self, inputs):
            return inputs

        def test_step(self, data):
            raise NotImplementedError('the wrapper asks for windows')

    options = dict(dict(base_size=24, crop_size=16), **options)
    return MODELS.build(
        dict(type='openseg_plugin.PytorchCVMultiScale', module=Segmentor(), **options)
    )


def test_registered_model_predicts_the_brightest_channel():
    image = torch.full((3, 20, 30), 10, dtype=torch.uint8)
    image[0, :, :15], image[2, :, 15:] = 200, 200
    sample = SegDataSample(metainfo=dict(ori_shape=(20, 30), img_shape=(20, 30)))
    (result,) = tta_model().test_step(dict(inputs=[[image]], data_samples=[[sample]]))
    labels = result.pred_sem_seg.data
    assert labels.shape == (1, 20, 30)
    assert (labels[..., :13] == 0).all()
    assert (labels[..., 17:] == 2).all()


def test_several_views_are_refused_with_the_way_to_go():
    with pytest.raises(ConfigError, match=r'ratios=\(1.0,\)'):
        tta_model().test_step(dict(inputs=[[], []], data_samples=[[], []]))
