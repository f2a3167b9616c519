"""A healthy dataset of a few images, to be damaged by the tests of the data check."""

import shlex
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ('ground', 'wire', 'pole')
PALETTE = ((0, 0, 0), (250, 60, 10), (20, 90, 240))
HEIGHT, WIDTH = 8, 12


def write(folder: Path, *, number: int = 4) -> Path:
    """``folder/{train,val}/{image,label}``: distinct PNG images, labels with all 3 classes."""
    generator = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('image', 'label'):
            (folder / split / kind).mkdir(parents=True)
        for k in range(number):
            image = generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            label = np.zeros((HEIGHT, WIDTH), np.uint8)
            label[:, 4:8], label[:, 8:] = 1, 2
            Image.fromarray(image).save(folder / split / 'image' / f'{k}.png')
            Image.fromarray(label).save(folder / split / 'label' / f'{k}.png')
    return folder


def labels(folder: Path) -> list[Path]:
    return sorted(folder.glob('*/label/*.png'))


def change(folder: Path, make) -> None:
    """Replaces every label by ``make(values)``: an array or an image."""
    for path in labels(folder):
        made = make(np.asarray(Image.open(path)))
        made = made if isinstance(made, Image.Image) else Image.fromarray(made)
        made.save(path)


def config(path: Path, data: Path, *, classes=CLASSES, number: int = 3, dataset: str = '') -> Path:
    """A config that reads the data; ``dataset`` are more arguments of the dataset class."""
    palette = [list(PALETTE[k % 3]) for k in range(len(classes))]
    common = (
        f"type='openseg_plugin.SegDataset', data_root={str(data)!r}, img_suffix='.png', "
        f'metainfo=dict(classes={tuple(classes)!r}, palette={palette!r}), '
        "pipeline=[dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')], "
        f'{dataset}'
    )
    lines = ["default_scope = 'mmseg'"]
    for split in ('train', 'val'):
        prefix = f"dict(img_path='{split}/image', seg_map_path='{split}/label')"
        test = f'test_mode={split == "val"}'
        lines.append(
            f'{split}_dataloader = dict(dataset=dict({common} data_prefix={prefix}, {test}))'
        )
    lines.append(
        f"model = dict(type='X', decode_head=dict(type='Y', num_classes={number}, "
        f"loss_decode=dict(type='Z', class_weight=[1.0] * {number})))"
    )
    path.write_text('\n'.join(lines) + '\n')
    return path


def run_command(text: str, folder: Path) -> None:
    """Runs a command that the data check gave; its cache is below ``folder``."""
    words = shlex.split(text)
    if words[:2] == ['openseg', 'convert-dataset']:
        from openseg_plugin.cli.convert_dataset import main

        assert main(words[2:]) == 0
        return
    assert words[:2] == ['openseg', 'check-dataset'], text
    from openseg_plugin.cli.check_dataset import main as check

    assert check([*words[2:], '--cache', str(folder / 'cache')]) == 0
