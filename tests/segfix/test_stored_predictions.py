"""Offsets as the original code makes them from network outputs, against ours."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test
from segfix_fixtures import cases, load, name_of, seeded

from openseg_plugin.segfix.offset_files import read_offsets
from openseg_plugin.segfix.segmentor import (
    network_scores,
    offsets_from_scores,
    sliding_scores,
)


@in_one_test('path', cases('prediction', 'whole_*.npz'), ids=name_of)
@in_one_test('softmax', [True, False])
def test_offsets_from_stored_logits_are_identical(path, softmax):
    stored = load(path)
    logits = (torch.from_numpy(stored.out[name]) for name in ('mask_logits', 'dir_logits'))
    scores = network_scores(*logits, tuple(stored.meta['image_size_hw']), softmax=softmax)
    offsets = offsets_from_scores(*scores)[0].numpy()
    expected = stored.out['offset_fix_size' if softmax else 'offset_diverse_size']
    np.testing.assert_array_equal(offsets, expected)


@pytest.mark.parametrize('path', cases('prediction', '*.mat'), ids=name_of)
def test_read_offsets_of_a_stored_prediction_gives_them(path):
    stored = load(path.with_suffix('.npz')).out
    expected = stored.get('offset_fix_size', stored.get('offset'))
    np.testing.assert_array_equal(read_offsets(path.read_bytes(), path.name), expected)


@pytest.mark.parametrize('path', cases('prediction', 'sliding_*.npz'), ids=name_of)
def test_sliding_offsets_of_the_stored_toy_network_is_identical(path):
    stored = load(path)
    seed, (channels, _, height, width) = stored.meta['seed'], (10, 3, 4, 4)
    spread = np.sqrt(2 / (3 * height * width))
    weight = torch.from_numpy(seeded(seed, 'toy.weight', (channels, 3, 4, 4), spread=spread))
    bias = torch.from_numpy(seeded(seed, 'toy.bias', (channels,), spread=0.1))

    def network(images):
        features = F.conv2d(images, weight, bias, stride=4)
        features = features + 4 * features.mean((2, 3), keepdim=True)
        return 2 * features[:, :2], features[:, 2:]

    sizes, image_seed = re.search(r'image\(\((.+?)\), (\d+)\)', stored.meta['eval_input']).groups()
    shape = tuple(int(size) for size in sizes.split(','))
    images = torch.from_numpy(seeded(int(image_seed), 'image', shape))
    crop_size = tuple(stored.meta['crop_hw'])
    boundary, directions = sliding_scores(network, images, crop_size=crop_size)
    offsets = offsets_from_scores(boundary, directions)
    np.testing.assert_array_equal(offsets, stored.out['offset'])
    np.testing.assert_allclose(boundary, stored.out['mask_prob'], atol=5e-4)  # stored in float16
    np.testing.assert_allclose(directions[0, :, ::4, ::4], stored.out['dir_logits_mean'], atol=1e-4)
