"""layers/direction_field.py: weights of the batch, the network's own mask, nothing left."""

import pytest
import torch
import torch.nn.functional as F

from openseg_plugin.layers.direction_field import rarity_weights, segfix_losses


def test_rarity_weights_are_one_minus_the_fraction():
    target = torch.tensor([0, 0, 0, 1, 255, 255])
    assert rarity_weights(target, 3).tolist() == [0.25, 0.75, 1]


def test_segfix_losses_without_resize_are_weighted_cross_entropies():
    boundary_logits, direction_logits = torch.randn(2, 2, 5, 6), torch.randn(2, 8, 5, 6)
    boundary = torch.randint(0, 2, (2, 5, 6))
    boundary[0, 0] = 255
    directions = torch.randint(0, 8, (2, 5, 6)).masked_fill(boundary == 255, 255)
    ours = segfix_losses(boundary_logits, direction_logits, boundary, directions)
    weights = rarity_weights(boundary, 2)
    assert ours[0].item() == pytest.approx(
        F.cross_entropy(boundary_logits, boundary, weight=weights, ignore_index=255).item()
    )
    own_mask = boundary_logits.softmax(1)[:, 1] > 0.5
    kept = directions.masked_fill(~own_mask, 255)
    weights = rarity_weights(kept, 8)
    assert ours[1].item() == pytest.approx(
        F.cross_entropy(direction_logits, kept, weight=weights, ignore_index=255).item()
    )


@pytest.mark.parametrize('left', ['nothing predicted', 'everything ignored', 'one class only'])
def test_segfix_losses_with_no_pixel_left_are_zero_with_zero_gradients(left):
    boundary_logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
    direction_logits = torch.randn(1, 8, 4, 4, requires_grad=True)
    boundary = torch.ones(1, 7, 7, dtype=torch.uint8)
    directions = torch.full((1, 7, 7), 3, dtype=torch.uint8)
    threshold = 0.5  # a probability of one half is not above it
    if left == 'everything ignored':
        boundary, directions = boundary * 255, torch.full_like(directions, 255)
    if left == 'one class only':
        threshold = 0.4
    losses = segfix_losses(
        boundary_logits, direction_logits, boundary, directions, threshold=threshold
    )
    assert losses[1].item() == 0
    sum(losses).backward()
    assert direction_logits.grad.abs().max() == 0
    assert torch.isfinite(boundary_logits.grad).all()


def test_segfix_losses_take_no_gradient_through_the_mask():
    boundary_logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    direction_logits = torch.randn(1, 8, 4, 4, requires_grad=True)
    target = torch.randint(0, 8, (1, 8, 8))
    _, direction_loss = segfix_losses(
        boundary_logits, direction_logits, target % 2, target, threshold=0
    )
    direction_loss.backward()
    assert boundary_logits.grad is None or boundary_logits.grad.abs().max() == 0
    assert direction_logits.grad.abs().max() > 0
