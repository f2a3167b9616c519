"""Files that Paddle itself writes, and what its networks give, where Paddle is installed.

Needs ``pip install paddlepaddle``, and for the last test ``paddleseg`` too; see
:mod:`.make_paddleseg`, which stored what the other tests compare with.
"""

import numpy as np
import pytest
import torch
from parity import catalog, make_paddleseg, paddleseg_outputs, stored

from openseg_plugin.converters.checkpoints import convert, read_checkpoint

pytestmark = pytest.mark.slow
NAMES = ('fcn_hrnet_w18', 'danet_resnet50_vd')
TOLERANCE = 1e-5  # of the largest value


@pytest.fixture(scope='module')
def paddle():
    return pytest.importorskip('paddle', reason='paddlepaddle is not installed')


def test_file_of_paddle_save_converts_as_its_arrays_do(paddle, tmp_path):
    for name in NAMES:
        weights = stored.state_dict(stored.read(catalog.files()['paddleseg', name], 'paddleseg'))
        path = tmp_path / f'{name}.pdparams'
        paddle.save({key: paddle.to_tensor(value) for key, value in weights.items()}, str(path))
        found, expected = convert(read_checkpoint(path)), convert(weights)
        assert found.config == expected.config
        assert found.state_dict.keys() == expected.state_dict.keys()
        for key, value in found.state_dict.items():
            assert np.array_equal(value, expected.state_dict[key]), f'{name}: {key}'


def test_network_of_paddleseg_gives_our_outputs(paddle, tmp_path):
    pytest.importorskip('paddleseg.models', reason='paddleseg is not installed')
    before = paddle.get_default_dtype()
    paddle.set_default_dtype('float64')
    try:
        build, run = make_paddleseg.networks()['fcn_hrnet_w18']
        network = build()
        network.eval()
        with paddle.no_grad():
            make_paddleseg.fill(network)
            path = tmp_path / 'model.pdparams'
            paddle.save(network.state_dict(), str(path))
            image = stored.image(make_paddleseg.HRNET[1], 2).astype('float64')
            theirs = run(network, paddle.to_tensor(image))
    finally:
        paddle.set_default_dtype(before)
    ours = paddleseg_outputs.outputs(convert(read_checkpoint(path)), torch.from_numpy(image), {})
    assert stored.error(ours['logits'], theirs['logits']) < TOLERANCE
    assert stored.error(ours['logits_up'][:, ::18], theirs['logits_up_ch18']) < TOLERANCE
