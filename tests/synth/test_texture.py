import numpy as np
import pytest

from openseg_plugin.synth.texture import SIDE, on_ground, piece, tile


@pytest.mark.parametrize('cell', [4, 8, 32])
def test_tile_is_normal_noise_that_fits_to_itself(cell):
    noise = tile(cell)
    assert noise.shape == (SIDE, SIDE)
    assert noise.mean() == pytest.approx(0, abs=1e-4) and noise.std() == pytest.approx(1, abs=1e-3)
    inner = np.abs(np.diff(noise, axis=1)).mean()
    seam = np.abs(noise[:, 0] - noise[:, -1]).mean()
    assert seam < 1.5 * inner


@pytest.mark.parametrize('cell', [1.0, 5.0, 60.0])
def test_piece_has_blobs_of_the_size_asked_for(cell):
    noise = piece(np.random.default_rng(0), 300, 300, cell=cell)
    step = max(int(cell), 1)
    near = np.abs(noise[:, : -max(step // 8, 1)] - noise[:, max(step // 8, 1) :]).mean()
    far = np.abs(noise[:, : -3 * step] - noise[:, 3 * step :]).mean()
    assert 0.4 < noise.std() < 1.8
    assert near < far


def test_noise_on_the_ground_stays_with_its_place():
    x = np.array([[1.0, 2.0, 3.0]], np.float32)
    z = np.array([[5.0]], np.float32)
    first, second = on_ground(x, z, meters=0.5), on_ground(x[:, ::-1], z, meters=0.5)
    assert np.allclose(first, second[:, ::-1])
