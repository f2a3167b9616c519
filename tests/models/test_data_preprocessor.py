import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.data_preprocessor import SegDataPreProcessor as Stock
from mmseg.structures import SegDataSample

from openseg_plugin.models.data_preprocessor import SegDataPreProcessor

NORM = dict(mean=[10.0, 20.0, 30.0], std=[2.0, 4.0, 5.0])


def batch(*sizes: tuple[int, int], offset: tuple[int, int] | None = None) -> dict:
    samples = []
    for h, w in sizes:
        sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, h, w))))
        if offset is not None:
            sample.set_metainfo(dict(pad_offset=offset))
        samples.append(sample)
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in sizes]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('options', [dict(size=(8, 9)), dict(size_divisor=4)])
@pytest.mark.parametrize('swap', [True, False])
def test_training_without_offsets_equals_mmseg(options, swap):
    data = batch((6, 9), (8, 5))
    ours = SegDataPreProcessor(**NORM, **options, bgr_to_rgb=swap)
    stock = Stock(**NORM, **options, bgr_to_rgb=swap)
    labels = [sample.gt_sem_seg.data.clone() for sample in data['data_samples']]
    got = ours(data, training=True)
    data['data_samples'] = [
        SegDataSample(gt_sem_seg=PixelData(data=label.clone())) for label in labels
    ]
    expected = stock(data, training=True)
    assert torch.equal(got['inputs'], expected['inputs'])
    for mine, theirs in zip(got['data_samples'], expected['data_samples']):
        assert torch.equal(mine.gt_sem_seg.data, theirs.gt_sem_seg.data)
        assert mine.img_shape == tuple(theirs.img_shape)


def test_training_pads_where_the_crop_says_after_normalization():
    data = batch((4, 5), offset=(2, 1))
    image, label = data['inputs'][0].float(), data['data_samples'][0].gt_sem_seg.data.clone()
    out = SegDataPreProcessor(**NORM, size=(8, 9))(data, training=True)
    mean, std = (torch.tensor(NORM[k]).view(3, 1, 1) for k in ('mean', 'std'))
    assert torch.equal(out['inputs'][0, :, 2:6, 1:6], (image - mean) / std)
    assert out['inputs'][0].abs().sum() == out['inputs'][0, :, 2:6, 1:6].abs().sum()
    padded = out['data_samples'][0].gt_sem_seg.data
    assert torch.equal(padded[:, 2:6, 1:6], label)
    assert (padded == 255).sum() == 8 * 9 - 20
    assert out['data_samples'][0].padding_size == (1, 3, 2, 2)


def test_training_with_a_image_larger_than_size_is_refused():
    with pytest.raises(ValueError, match='9x5 pixels does not fit'):
        SegDataPreProcessor(**NORM, size=(8, 8))(batch((9, 5)), training=True)


def test_testing_does_not_pad():
    out = SegDataPreProcessor(**NORM, size=(8, 9))(batch((5, 7)), training=False)
    assert out['inputs'].shape == (1, 3, 5, 7)
