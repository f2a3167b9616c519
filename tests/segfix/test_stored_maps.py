"""Distance and direction maps, targets and losses of the original code, against ours."""

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from segfix_fixtures import cases, image, kind_of, load, name_of

from openseg_plugin.layers.direction_field import (
    angle_to_direction,
    boundary_targets,
    decode_angles,
    direction_to_offset,
    hflip_angles,
    rarity_weights,
    segfix_losses,
)
from openseg_plugin.segfix.offset_files import read_targets
from openseg_plugin.segfix.regions import VOID, class_table, region_map
from openseg_plugin.segfix.targets import distance_and_direction, fields_of_regions

BAND = 5  # pixels; where the direction matters


def assert_fields_agree(depth, direction, stored):
    """Depth equal; direction within one byte on 99 % of the band: it is a cut-off number."""
    np.testing.assert_array_equal(depth, stored['depth'])
    apart = np.abs(direction.astype(int) - stored['dir_deg'])
    apart = np.minimum(apart, 180 - apart)
    assert (apart[stored['depth'] <= BAND] <= 1).mean() >= 0.99
    assert (apart <= 1).mean() >= 0.99


def gt_options(meta):
    options = dict(kernel_size=meta.get('ksize', 5))
    arguments = meta.get('args', [])
    if '--ksize' in arguments:
        options['kernel_size'] = int(arguments[arguments.index('--ksize') + 1])
    if 'taxicab' in (*arguments, meta.get('metric')):
        options['metric'] = 'taxicab'
    return options


@in_one_test('path', cases('gt'), ids=name_of)
def test_distance_and_direction_of_a_stored_label_map_agree(path):
    stored = load(path)
    labels = image(path.parent / stored.meta['input'])
    options = gt_options(stored.meta)
    maps = distance_and_direction(labels, kind_of(path), **options)
    assert_fields_agree(*maps, stored.out)
    of_tensor = distance_and_direction(
        torch.from_numpy(labels.astype(np.int64)), kind_of(path), **options
    )
    for one, other in zip(maps, of_tensor):
        np.testing.assert_array_equal(one, other.numpy())


@in_one_test('path', [path for path in cases('gt') if 'taxicab' not in path.stem], ids=name_of)
def test_fields_of_regions_as_on_a_gpu_agree(path):
    stored = load(path)
    regions = region_map(image(path.parent / stored.meta['input']), kind_of(path))
    kernel_size = gt_options(stored.meta)['kernel_size']
    maps = fields_of_regions(torch.from_numpy(regions), kind_of(path), kernel_size)
    assert_fields_agree(*(one.numpy() for one in maps), stored.out)


@pytest.mark.parametrize('path', cases('gt', '*.mat'), ids=name_of)
def test_read_targets_of_a_published_mat_gives_the_maps(path):
    depth, direction = read_targets(path.read_bytes(), path.name)
    stored = load(path.with_suffix('.npz')).out
    np.testing.assert_array_equal(depth, stored['depth'])
    np.testing.assert_array_equal(direction, stored['dir_deg'])


def stored_targets(path):
    """Label map, depth, angles and settings that a stored target was made of."""
    stored = load(path)
    source = (path.parent / stored.meta['inputs'].split()[0]).resolve()
    labels = class_table(kind_of(source))[image(source)]
    field = load(source.with_suffix('.npz')).out
    settings = dict(
        num_directions=stored.meta['num_classes'],
        align_axis=bool(stored.meta['c4_align_axis']),
        min_distance=stored.meta['min_distance'],
        max_distance=stored.meta['max_distance'],
    )
    return stored, labels, field['depth'], decode_angles(field['dir_deg']), settings


def signed(targets):
    """255 as the -1 of the original."""
    return np.where(targets == 255, -1, targets.astype(int))


@in_one_test('path', cases('targets'), ids=name_of)
def test_boundary_targets_of_stored_maps_agree(path):
    stored, labels, depth, angles, settings = stored_targets(path)
    boundary, directions = boundary_targets(depth, angles, labels, **settings)
    np.testing.assert_array_equal(signed(boundary), stored.out['mask'])
    np.testing.assert_array_equal(signed(directions), stored.out['direction'])
    inside = np.where(boundary == 1, signed(directions), -1)
    np.testing.assert_array_equal(inside, stored.out['direction_in_gt_mask'])
    far = (depth > settings['max_distance']) & (labels != VOID)
    beyond = np.where(far, settings['num_directions'], signed(directions))
    np.testing.assert_array_equal(beyond, stored.out['direction_with_distance'])


@in_one_test('path', cases('targets'), ids=name_of)
def test_direction_to_offset_of_stored_angles_agrees(path):
    stored, _, depth, angles, settings = stored_targets(path)
    low, high = settings.pop('min_distance'), settings.pop('max_distance')
    directions = angle_to_direction(angles, **settings)  # the original moves void pixels too
    offsets = direction_to_offset(directions, (depth >= low) & (depth <= high), **settings)
    np.testing.assert_array_equal(offsets, stored.out['offset_hw'])


@in_one_test('path', cases('targets', 'default_*.npz'), ids=name_of)
def test_hflip_angles_keeping_horizontal_ones_agrees(path):
    stored, labels, _, angles, settings = stored_targets(path)
    flipped = hflip_angles(angles, keep_horizontal=True)
    np.testing.assert_array_equal(flipped, stored.out['angle_after_hflip'])
    directions = angle_to_direction(flipped, num_directions=settings['num_directions'])
    expected = np.where(labels[:, ::-1] == VOID, -1, directions.astype(int))
    np.testing.assert_array_equal(expected, stored.out['direction_after_hflip'])


@in_one_test('path', cases('targets', 'default_*.npz'), ids=name_of)
def test_segfix_losses_of_stored_logits_agree_with_their_gradients(path):
    out = load(path).out
    logits = [
        torch.tensor(out[name], dtype=torch.float64, requires_grad=True)
        for name in ('mask_logits', 'dir_logits')
    ]
    targets = [torch.from_numpy(out[name].astype(np.int64))[None] for name in ('mask', 'direction')]
    settings = load(path).meta['loss']
    losses = segfix_losses(*logits, *targets, threshold=settings['mask_threshold'], ignore_index=-1)
    for loss, name in zip(losses, ('loss_mask', 'loss_direction')):
        assert loss.item() == pytest.approx(float(out[name]), rel=1e-6)
    total = settings['mask_weight'] * losses[0] + settings['direction_weight'] * losses[1]
    assert total.item() == pytest.approx(float(out['loss_total']), rel=1e-6)
    total.backward()
    for one, name in zip(logits, ('grad_mask_logits', 'grad_dir_logits')):
        np.testing.assert_allclose(one.grad, out[name], atol=1e-5 * np.abs(out[name]).max())
    counted = torch.from_numpy(out['loss_direction_target'].astype(np.int64))
    for target, name in ((targets[0], 'mask_weights'), (counted, 'dir_weights')):
        weights = rarity_weights(target, len(out[name]), ignore_index=-1)
        np.testing.assert_allclose(weights, out[name], rtol=1e-6)
