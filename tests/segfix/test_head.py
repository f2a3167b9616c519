import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from openseg_plugin.segfix.head import SegFixHead

WIDTHS = (4, 6)
SIZE = (16, 24)


def maps(size=(8, 12)) -> list[torch.Tensor]:
    return [torch.randn(2, width, size[0] >> i, size[1] >> i) for i, width in enumerate(WIDTHS)]


def sample(boundary: torch.Tensor, direction: torch.Tensor) -> SegDataSample:
    return SegDataSample(
        gt_boundary=PixelData(data=boundary), gt_direction=PixelData(data=direction)
    )


def samples(directions: int = 8) -> list[SegDataSample]:
    return [
        sample(
            torch.randint(0, 2, (1, *SIZE), dtype=torch.uint8),
            torch.randint(0, directions, (1, *SIZE), dtype=torch.uint8),
        )
        for _ in range(2)
    ]


@pytest.mark.parametrize('directions', [4, 8, 16, 32])
def test_forward_gives_two_and_as_many_channels_as_directions(directions):
    boundary, direction = SegFixHead(WIDTHS, 8, num_directions=directions)(maps())
    assert boundary.shape == (2, 2, 8, 12)
    assert direction.shape == (2, directions, 8, 12)


def test_no_convolution_has_a_bias():
    names = SegFixHead(WIDTHS, 8).state_dict()
    assert not [name for name in names if name.endswith(('conv.bias', 'seg.bias'))]


def test_number_of_classes_in_place_of_directions_is_refused():
    with pytest.raises(ValueError, match='num_directions=19'):
        SegFixHead(WIDTHS, 8, num_directions=19)


def test_loss_reaches_every_parameter_and_reports_percent():
    head = SegFixHead(WIDTHS, 8)
    losses = head.loss(maps(), samples(), None)
    (losses.pop('loss_boundary') + losses.pop('loss_direction')).backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []
    assert all(0 <= value <= 100 for value in losses.values())


@pytest.mark.parametrize(('boundary', 'direction'), [(2.0, 1.0), (1.0, 0.5)])
def test_loss_weights_are_factors(boundary, direction):
    torch.manual_seed(0)
    plain = SegFixHead(WIDTHS, 8)
    weighted = SegFixHead(WIDTHS, 8, boundary_weight=boundary, direction_weight=direction)
    weighted.load_state_dict(plain.state_dict())
    feats, data = maps(), samples()
    first, second = (head.loss(feats, data) for head in (plain, weighted))
    torch.testing.assert_close(second['loss_boundary'], boundary * first['loss_boundary'])
    torch.testing.assert_close(second['loss_direction'], direction * first['loss_direction'])


def test_loss_without_any_boundary_pixel_is_finite_and_so_are_its_gradients():
    head = SegFixHead(WIDTHS, 8)
    logits = [torch.zeros(2, n, 8, 12, requires_grad=True) for n in (2, 8)]
    inside = torch.zeros(2, *SIZE, dtype=torch.uint8)
    losses = head.loss_by_feat(tuple(logits), inside, inside)
    assert losses['loss_direction'] == 0
    (losses['loss_boundary'] + losses['loss_direction']).backward()
    assert all(torch.isfinite(one.grad).all() for one in logits)


def test_loss_where_everything_is_ignored_is_zero():
    losses = SegFixHead(WIDTHS, 8).loss(
        maps(), [sample(*(torch.full((1, *SIZE), 255, dtype=torch.uint8),) * 2)] * 2
    )
    assert set(map(float, losses.values())) == {0.0}


def test_training_learns_boundary_and_direction():
    torch.manual_seed(0)
    head = SegFixHead(WIDTHS, 8)
    feats = maps()
    for one in feats:
        one[..., one.shape[-1] // 2 :] += 3
    boundary = torch.zeros(1, *SIZE, dtype=torch.uint8)
    boundary[..., 12:] = 1
    data = [sample(boundary, 5 * boundary)] * 2
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(40):
        losses = head.loss(feats, data)
        optimizer.zero_grad()
        (losses['loss_boundary'] + losses['loss_direction']).backward()
        optimizer.step()
    assert losses['boundary_f'] > 90
    assert losses['direction'] > 90


@pytest.mark.parametrize('num_directions', [4, 8])
def test_saved_weights_load_strictly_and_give_the_same_logits(num_directions, tmp_path):
    options = dict(channels=8, num_directions=num_directions)
    head, other = (SegFixHead([4, 6], **options) for _ in range(2))
    torch.save(head.state_dict(), tmp_path / 'head.pth')
    other.load_state_dict(torch.load(tmp_path / 'head.pth', weights_only=True), strict=True)
    feats = [torch.randn(2, 4, 7, 9), torch.randn(2, 6, 4, 5)]
    logits = head.eval()(feats)
    assert [x.shape[1] for x in logits] == [2, num_directions]
    torch.testing.assert_close(other.eval()(feats), logits)
