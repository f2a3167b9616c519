"""Label maps and object masks as the original code refines them, against ours."""

import fixture_files
import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from segfix_fixtures import cases, image, kind_of, load, name_of, unknown_files

from openseg_plugin.segfix.apply import ApplyOptions, apply_masks
from openseg_plugin.segfix.offset_files import read_offsets
from openseg_plugin.segfix.refine import refine_labels, refine_masks
from openseg_plugin.segfix.regions import VOID, class_table
from openseg_plugin.segfix.scores import mask_iou, match_object


def test_stored_files_are_all_known():
    assert unknown_files() == []
    if fixture_files.is_given():
        assert cases('gt') + cases('targets') + cases('refine') + cases('prediction'), (
            'empty folder'
        )


@in_one_test('path', cases('refine'), ids=name_of)
def test_refine_labels_of_a_stored_map_is_identical(path):
    stored = load(path)
    folder, meta, offsets = path.parent, stored.meta, stored.arrays['offset']
    labels, expected = image(folder / meta['input']), image(folder / meta['refined'])
    options = dict(scale=meta['scale'], kind=kind_of(path))
    mat = folder / f'{path.stem}_offset.mat'
    if mat.is_file():
        np.testing.assert_array_equal(read_offsets(mat.read_bytes(), mat.name), offsets)
    if meta['scale'] == int(meta['scale']):
        for order in 'CF':
            steps = np.array(offsets, np.int32, order=order)
            np.testing.assert_array_equal(refine_labels(labels, steps, **options), expected)
        of_tensor = refine_labels(torch.tensor(labels), torch.tensor(offsets), **options)
        np.testing.assert_array_equal(of_tensor, expected)
    blended = refine_labels(labels, offsets, sampling='bilinear', **options)
    # a sum of two numbers over two is rounded as the processor's last digit says
    assert (blended != expected).mean() <= (0 if meta['scale'] == int(meta['scale']) else 1e-3)
    shifted = refine_labels(labels, offsets, sampling='bilinear_shifted', **options)
    stored_fraction = meta['differences']['acF_vs_acT']
    assert (shifted != blended).mean() == pytest.approx(stored_fraction, abs=1e-3)


@in_one_test('path', cases('refine'), ids=name_of)
def test_scores_of_a_stored_map_before_and_after_agree(path):
    meta = load(path).meta
    table = class_table(kind_of(path))
    gt = table[image(path.parent / meta['gt'])]
    for name, when in (('input', 'before'), ('refined', 'after')):
        prediction = table[image(path.parent / meta[name])]
        counted = gt != VOID
        assert (prediction == gt)[counted].mean() == pytest.approx(meta[f'acc_{when}'])
        present = np.unique(gt[counted])
        ious = [mask_iou((prediction == k) & counted, gt == k) for k in present]
        assert np.mean(ious) == pytest.approx(meta[f'miou_{when}'])


@pytest.mark.parametrize('path', cases('instance', '*'), ids=name_of)
def test_apply_masks_of_a_stored_tree_writes_the_expected_files(path, tmp_path):
    stored = load(path / 'info.npz')
    scale = stored.meta['scale']
    apply_masks(path / 'input', path / 'offset', tmp_path, options=ApplyOptions(scale=scale))
    for expected in (path / 'expected').iterdir():
        ours = tmp_path / expected.name
        if expected.suffix == '.txt':
            assert ours.read_bytes() == expected.read_bytes()
        else:
            np.testing.assert_array_equal(image(ours), image(expected))
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith('.')} == {
        p.name for p in (path / 'expected').iterdir()
    }


@pytest.mark.parametrize('path', cases('instance', '*'), ids=name_of)
def test_refine_masks_of_a_stored_tree_gains_what_it_says(path):
    stored = load(path / 'info.npz')
    gt = image(path / 'gt_instanceIds.png')
    before, after = [], []
    for mask_path in sorted((path / 'input').glob('*.png')):
        mask = image(mask_path) > 0
        (lines,) = (text for text in (path / 'input').glob('*.txt') if text.stat().st_size)
        label_id = next(
            int(line.split()[1])
            for line in lines.read_text().splitlines()
            if line.startswith(mask_path.name)
        )
        true = gt == match_object(mask, gt, label_id)
        refined = refine_masks(mask[None], stored.arrays['offset'], scale=stored.meta['scale'])[0]
        before.append(mask_iou(mask, true))
        after.append(mask_iou(refined, true))
    assert len(before) == stored.meta['n_instances']
    assert np.mean(before) == pytest.approx(stored.meta['mean_iou_before'])
    assert np.mean(after) == pytest.approx(stored.meta['mean_iou_after'])
