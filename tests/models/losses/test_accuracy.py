import pytest
import torch
from mmseg.models.losses import accuracy as mmseg_accuracy

from openseg_plugin.models.losses.base import pixel_accuracy

IGNORE = 255


@pytest.mark.parametrize('classes', [2, 3, 19])
def test_pixel_accuracy_equals_the_top_1_of_mmseg(classes):
    logits = torch.randn(2, classes, 9, 7)
    labels = torch.randint(0, classes, (2, 9, 7))
    labels[0, :3] = IGNORE
    expected = mmseg_accuracy(logits, labels, ignore_index=IGNORE)
    got = pixel_accuracy(logits, labels, ignore_index=IGNORE)
    torch.testing.assert_close(got, expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('threshold, expected', [(0.5, 50.0), (0.2, 75.0), (0.1, 100.0)])
def test_pixel_accuracy_one_channel_compares_the_probability_with_the_threshold(
    threshold, expected
):
    logits = torch.tensor([2.0, -1.0, -1.5, -3.0, 4.0]).view(1, 1, 1, 5)
    labels = torch.tensor([1, 1, 1, 1, IGNORE]).view(1, 1, 5)
    labels[0, 0, 3] = 0  # probabilities .88, .27, .18, .05
    got = pixel_accuracy(logits, labels, threshold=threshold)
    assert got.item() == pytest.approx(expected)


@pytest.mark.parametrize('channels', [1, 3])
def test_pixel_accuracy_without_labels_is_zero(channels):
    labels = torch.full((1, 2, 2), IGNORE)
    assert pixel_accuracy(torch.randn(1, channels, 2, 2), labels).item() == 0


def test_pixel_accuracy_has_no_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    assert not pixel_accuracy(logits, torch.zeros(1, 2, 2, dtype=torch.long)).requires_grad
