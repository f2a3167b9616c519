"""SegFix on label maps: targets, refinement, and a whole file refined, beside the original's steps.

The original's programs (openseg.pytorch, commit aefc755) do not run on today's numpy and scipy;
its steps are written anew here from what they do: a distance transform and a convolution of the
full map per class; one comparison of the full map per class to turn label ids into train ids and
back; a bilinear sample of the class numbers in between.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.io
import scipy.ndimage
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.core import Case, Difference, Setting, exactly
from benchmarks.inputs import smooth
from openseg_plugin.layers.distance_field import extended_sobel
from openseg_plugin.segfix.offset_files import offset_bytes, offsets_of_targets
from openseg_plugin.segfix.refine import refine_labels
from openseg_plugin.segfix.regions import CITYSCAPES_CLASS_IDS, MIN_PIXELS, VOID
from openseg_plugin.segfix.sources import Offsets
from openseg_plugin.segfix.targets import distance_and_direction
from openseg_plugin.utils.images import label_bytes, read_label

OPERATIONS = ('refine', 'targets', 'apply')
_KIND = 'cityscapes'
_SCALE = 2


def cases(setting: Setting) -> Iterator[Case]:
    """One street-sized map of Cityscapes label ids; offsets are those of its own edges."""
    gt = _label_ids(setting.size)
    labels = np.roll(gt, (2, 3), (0, 1))
    offsets = offsets_of_targets(*distance_and_direction(gt, _KIND)).astype(np.int32)

    yield Case(
        'segfix refine',
        lambda: torch.from_numpy(_refine_stock(labels, offsets)),
        lambda: torch.from_numpy(refine_labels(labels, offsets, scale=_SCALE, kind=_KIND)),
        exactly,
        8.0,
    )
    yield Case(
        'segfix targets',
        lambda: _targets_stock(gt),
        lambda: distance_and_direction(gt, _KIND),
        _same_targets,
        15.0,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'label.png').write_bytes(label_bytes(labels))
        for suffix, gate in (('.mat', 3.0), ('.png', 6.0)):
            place = folder / suffix[1:]
            place.mkdir()
            (place / f'label{suffix}').write_bytes(offset_bytes(offsets, suffix))
            yield Case(
                f'segfix apply {suffix}',
                lambda: _apply_stock(folder),
                lambda place=place: _apply_ours(folder, place),
                lambda stock, ours: exactly(_read(stock), _read(ours)),
                gate,
            )


def _label_ids(size: tuple[int, int]) -> np.ndarray:
    """Blobs of all classes at a quarter of the size, enlarged; some void; edges on 9 %."""
    height, width = (-(-side // 4) for side in size)
    classes = smooth((1, len(CITYSCAPES_CLASS_IDS), height, width), cell=96, noise=0.02).argmax(1)
    ids = np.array(CITYSCAPES_CLASS_IDS, np.uint8)[classes[0].numpy()]
    ids[: height // 20] = 1
    return ids.repeat(4, 0).repeat(4, 1)[: size[0], : size[1]].copy()


def _refine_stock(labels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    train = np.full(labels.shape, VOID, np.int64)
    for number, label_id in enumerate(CITYSCAPES_CLASS_IDS):
        train[labels == label_id] = number
    height, width = labels.shape
    moved = torch.from_numpy(offsets).float() * _SCALE
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    grid = torch.stack(
        [(columns + moved[..., 1]) / (width - 1), (rows + moved[..., 0]) / (height - 1)], dim=-1
    )
    sampled = F.grid_sample(
        torch.from_numpy(train)[None, None].float(),
        grid[None] * 2 - 1,
        padding_mode='border',
        align_corners=True,
    )
    sampled = sampled[0, 0].round().long().numpy()
    refined = np.full(labels.shape, VOID, np.uint8)
    for number, label_id in enumerate(CITYSCAPES_CLASS_IDS):
        refined[sampled == number] = label_id
    return refined


def _targets_stock(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernels = torch.tensor(extended_sobel(5), dtype=torch.float32)[:, None]
    depth = np.zeros(labels.shape, np.float32)
    gradient = np.zeros((2, *labels.shape), np.float32)
    for label_id in CITYSCAPES_CLASS_IDS:
        mask = labels == label_id
        if np.count_nonzero(mask) < MIN_PIXELS:
            continue
        distance = scipy.ndimage.distance_transform_edt(mask).astype(np.float32)
        slopes = F.conv2d(torch.from_numpy(distance)[None, None], kernels, padding=2)[0].numpy()
        depth += distance
        gradient[:, mask] = slopes[:, mask]
    angles = np.degrees(np.arctan2(*gradient))
    return depth.clip(max=250).astype(np.uint8), ((angles + 180) / 2).astype(np.uint8)


def _same_targets(stock: tuple, ours: tuple) -> Difference:
    """Equal depth; a direction byte is a cut-off number and may be one off at its bounds."""
    apart = np.abs(stock[1].astype(int) - ours[1])
    apart = np.minimum(apart, 180 - apart)
    differing = int((stock[0] != ours[0]).sum())
    is_equal = differing == 0 and (apart <= 1).mean() >= 0.999
    return Difference(differing + int((apart > 0).sum()), float(apart.max()), bool(is_equal))


def _apply_stock(folder: Path) -> Path:
    labels = np.array(Image.open(folder / 'label.png'))
    offsets = scipy.io.loadmat(folder / 'mat' / 'label.mat')['mat']
    Image.fromarray(_refine_stock(labels, offsets)).save(folder / 'stock.png')
    return folder / 'stock.png'


def _apply_ours(folder: Path, place: Path) -> Path:
    labels = read_label(folder / 'label.png')
    offsets = Offsets(place).of(PurePosixPath('label.png'), labels.shape)
    refined = refine_labels(labels, offsets, scale=_SCALE, kind=_KIND)
    (folder / 'ours.png').write_bytes(label_bytes(refined))
    return folder / 'ours.png'


def _read(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path)))
