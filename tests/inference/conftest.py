"""A small test set with a random network, once for the tests of a module."""

import pytest
from toy_test_set import write_test_set


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """Config, checkpoint and images of a random network."""
    folder = tmp_path_factory.mktemp('toy')
    config, weights = write_test_set(folder, number=3)
    return config, weights, folder / 'data/val/image'
