import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.converters.datasets.core.pairs import edge_map
from openseg_plugin.models.losses.edge import EdgeLoss, edges_of


@in_one_test('width', [1, 3, 5])
@in_one_test('size', [(9, 7), (1, 5), (16, 16)])
def test_edges_are_those_of_the_converted_edge_files(width, size):
    labels = torch.randint(0, 3, (2, *(-(-s // 4) for s in size)))
    labels = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, : size[0], : size[1]]
    labels = labels.masked_fill(torch.rand(labels.shape) < 0.1, 255)
    edges = edges_of(labels, width=width)
    for label, edge in zip(labels, edges):
        expected = torch.from_numpy(edge_map(label.byte().numpy(), width=width) == 255)
        valid = label != 255
        assert torch.equal(edge[valid] == 1, expected[valid])
        assert (edge[~valid] == 255).all()


def test_loss_two_pixels_is_hand_computed():
    # one edge pixel of four: edge weight 3/4, other weight 1/4
    labels = torch.tensor([[[0, 1, 1, 1]]])
    logits = torch.zeros(1, 2, 1, 4)
    logits[0, 1, 0, 0] = 2.0
    hit = torch.nn.functional.softplus(torch.tensor(-2.0))
    miss = torch.log(torch.tensor(2.0))
    expected = (0.75 * hit + 3 * 0.25 * miss) / (0.75 + 3 * 0.25)
    torch.testing.assert_close(EdgeLoss(width=1)(logits, labels), expected)


@pytest.mark.parametrize('label', [0, 255])
def test_labels_without_an_edge_give_a_finite_loss(label):
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = EdgeLoss()(logits, torch.full((1, 4, 4), label))
    loss.backward()
    assert torch.isfinite(loss)
    assert (loss.item() == 0) is (label == 255)


@pytest.mark.parametrize('weight', [0.5, 2.0])
def test_loss_weight_scales_the_loss(weight):
    logits, labels = torch.randn(1, 2, 8, 8), torch.randint(0, 3, (1, 8, 8))
    torch.testing.assert_close(
        EdgeLoss(weight)(logits, labels), weight * EdgeLoss()(logits, labels)
    )
