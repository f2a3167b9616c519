"""Healthy label sets of drawn street scenes, and how a set is written for the data check.

A set is a folder in the layout ``<split>/{image,label}``. Every sample remembers its true label,
so that what a fix leaves behind can be compared with it.
"""

import dataclasses
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from openseg_plugin.synth.scene import draw_scene

CLASSES = (
    *('road', 'sidewalk', 'building', 'pole', 'traffic sign', 'vegetation', 'sky', 'person'),
    *('car', 'bicycle'),
)
PALETTE = (
    *((128, 64, 128), (244, 35, 232), (70, 70, 70), (153, 153, 153), (220, 220, 0)),
    *((107, 142, 35), (70, 130, 180), (220, 20, 60), (0, 0, 142), (119, 11, 32)),
)
VOID = 255
SIZE = (128, 256)
COUNTS = {'train': 24, 'val': 12}


@dataclass
class Sample:
    """An image (H, W, C) RGB with its label and what the label should be, (H, W) uint8."""

    name: str
    image: np.ndarray
    label: np.ndarray | bytes | None
    truth: np.ndarray | None
    image_bytes: bytes | None = None
    image_ending: str = '.png'
    label_ending: str = '.png'
    palette: list[int] | None = None
    quality: int = 75
    has_image: bool = True


@dataclass
class LabelSet:
    """Splits of samples, and what the check is told about them."""

    splits: dict[str, list[Sample]]
    classes: tuple[str, ...] = CLASSES
    palette: tuple[tuple[int, int, int], ...] = PALETTE
    options: dict = field(default_factory=dict)
    num_classes: int = 0
    is_config: bool = False
    void_ids: tuple[int, ...] = ()

    def all(self) -> list[Sample]:
        return [sample for samples in self.splits.values() for sample in samples]


def street(seed: int = 0, counts: dict[str, int] | None = None) -> LabelSet:
    """A healthy set of drawn street scenes with 10 classes and void."""
    splits = {}
    for number, (split, count) in enumerate((counts or COUNTS).items()):
        splits[split] = [_sample(f'{split}_{k:03d}', (seed, number, k)) for k in range(count)]
    return LabelSet(splits)


def _sample(name: str, seed: tuple[int, int, int]) -> Sample:
    scene = draw_scene(seed, size=SIZE)
    label = np.full(SIZE, VOID, np.uint8)
    for kind, polygon in scene.objects:
        value = CLASSES.index(kind) if kind in CLASSES else VOID
        value = CLASSES.index('car') if kind in ('cargroup', 'truck', 'bus') else value
        cv2.fillPoly(label, [np.round(polygon).astype(np.int32)], int(value))
    return Sample(name, scene.image, label, label)


def fresh(base: LabelSet) -> LabelSet:
    """A copy whose samples and lists may be changed."""
    return dataclasses.replace(
        base,
        splits={
            split: [dataclasses.replace(sample) for sample in samples]
            for split, samples in base.splits.items()
        },
        options=dict(base.options),
    )


def write(labels: LabelSet, root: Path) -> Path:
    """Writes the set below ``root``, with a config beside it; returns the folder."""
    for split, samples in labels.splits.items():
        for kind in ('image', 'label'):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
        for sample in samples:
            if sample.has_image:
                path = root / split / 'image' / f'{sample.name}{sample.image_ending}'
                path.write_bytes(sample.image_bytes or encoded(sample.image, sample.image_ending))
            if sample.label is not None:
                path = root / split / 'label' / f'{sample.name}{sample.label_ending}'
                path.write_bytes(label_bytes(sample))
    return root


def config(labels: LabelSet, root: Path, path: Path) -> Path:
    """A config that reads the set."""
    number = labels.num_classes or len(labels.classes)
    info = f'classes={labels.classes!r}, palette={[list(c) for c in labels.palette]!r}'
    info += f', void_ids={labels.void_ids!r}' if labels.void_ids else ''
    loaders = [
        f"{split}_dataloader = dict(dataset=dict(type='openseg_plugin.CustomDataset', "
        f'data_root={str(root)!r}, metainfo=dict({info}), test_mode={split == "val"}, '
        f'reduce_zero_label={bool(labels.options.get("reduce_zero_label"))}, '
        f"data_prefix=dict(img_path='{split}/image', seg_map_path='{split}/label'), "
        "pipeline=[dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')]))"
        for split in labels.splits
    ]
    model = f"model = dict(type='X', decode_head=dict(type='Y', num_classes={number}))"
    path.write_text('\n'.join(["default_scope = 'mmseg'", *loaders, model]) + '\n')
    return path


def encoded(image: np.ndarray, ending: str) -> bytes:
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        image = image[..., ::-1]
    return cv2.imencode(ending, image)[1].tobytes()


def label_bytes(sample: Sample) -> bytes:
    if isinstance(sample.label, bytes):
        return sample.label
    made = Image.fromarray(sample.label)
    if sample.palette is not None:
        made = made.convert('P') if made.mode != 'L' else made
        made.putpalette(sample.palette)
    stream = io.BytesIO()
    kind = {'.jpg': 'JPEG', '.tif': 'TIFF'}.get(sample.label_ending, 'PNG')
    made.save(stream, kind, **({'quality': sample.quality} if kind == 'JPEG' else {}))
    return stream.getvalue()


def summary(labels: LabelSet, root: Path) -> None:
    """dataset.json of the converter, so that a folder has classes and colors."""
    content = {'format': 1, 'converter': 'masks', 'classes': labels.classes}
    content['palette'] = labels.palette
    (root / 'dataset.json').write_text(json.dumps(content))
