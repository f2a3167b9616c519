"""A folder in which the commands of a page run: tiny data, and configs shrunk to an iteration.

The names that pages use for what a reader has (``MY_IMAGES``, ``RAW``, ``CHECKPOINT``, ``$C``,
``best.pth``, ``photos``, ``drive.mp4``) stand for files that are made here.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from fractions import Fraction
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import toy_run
from doc_pages import PROJECT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image, ImageDraw
from shrunk_configs import shrunk, write_weights

from openseg_plugin.cli.main import VERBS, run
from openseg_plugin.inference.video import VideoWriter

SCENES = 'configs/ocr/hrnet18_synth_quickstart.py'
HMSA = 'configs/hmsa/hrnet18_synth_quickstart.py'
SEGFIX = 'configs/segfix/hrnet18s_camvid_1k.py'
WEIGHTS = {SCENES: 'scenes.pth', HMSA: 'hmsa.pth', SEGFIX: 'segfix.pth'}
WORDS = {
    r'\bCONFIG\b': SCENES,
    r'\bCHECKPOINT\b': WEIGHTS[SCENES],
    r'\bSAMPLE\b': 'dornburg_000000_000019_leftImg8bit',
    r'\bIMAGES\b': 'data/synth/val/image',
    r'\bGT\b': 'data/synth/val/label',
    r'iter_(N|40000)\b': 'iter_1',
    r'\$C\b': SCENES,
    r'\$W\b': WEIGHTS[SCENES],
    r'\$HMSA\b': WEIGHTS[HMSA],
    r'\$SEGFIX\b': WEIGHTS[SEGFIX],
}
CLASSES = ('background', 'power line')
SIZE = (48, 64)  # height, width of drawn images
_names = count()


class Sandbox:
    """Runs the commands of one page, one after another.

    Args:
        folder: with everything that :func:`make` puts there; becomes the working folder.
        monkeypatch: pytest's, for variables and the working folder.
    """

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.variables: dict[str, str] = {}
        self.shrunk: set[str] = set(WEIGHTS)
        monkeypatch.chdir(folder)
        monkeypatch.setenv('DATA_ROOT', 'data')

    def run(self, line: str) -> int:
        """Exit status of a command of a page."""
        for pattern, value in WORDS.items():
            line = re.sub(pattern, value, line)
        for name, value in self.variables.items():
            line = line.replace(f'${name}', value)
        words = shlex.split(line.removeprefix('export '), comments=True)
        while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
            name, _, value = words.pop(0).partition('=')
            self.variables[name] = value
            self.monkeypatch.setenv(name, value)
        for config in set(re.findall(r'configs/[\w/]+\.py', line)) - self.shrunk:
            shrunk(PROJECT / config, self.folder / config)
            self.shrunk.add(config)
        if not words:
            return 0
        if words[0] == 'openseg':
            return self._openseg(words[1:])
        return self._process(words)

    def _openseg(self, words: list[str]) -> int:
        module, arguments = verb_of(words)
        if module in {'train', 'test'}:  # mmengine keeps hubs and visualizers for the process
            name = f'page{next(_names)}'
            options = [f'experiment_name={name}', f'visualizer.name={name}']
            if '--cfg-options' in arguments:
                place = arguments.index('--cfg-options') + 1
                arguments = [*arguments[:place], *options, *arguments[place:]]
            else:
                arguments = [*arguments, '--cfg-options', *options]
        with mock.patch('mmengine.config.config.FormatCode', toy_run.as_it_is, create=True):
            try:
                return run(f'openseg_plugin.cli.{module}', arguments)
            except SystemExit as end:  # --help
                return int(end.code or 0)

    def _process(self, words: list[str]) -> int:
        inside = self.folder
        if words[0] == 'python':
            words = [sys.executable, *words[1:]]
        elif words[0] == 'pytest':
            words, inside = [sys.executable, '-m', *words], PROJECT
        environment = toy_run.environment() | {'PYTHON': sys.executable}
        return subprocess.run(words, cwd=inside, env=environment).returncode


def verb_of(words: list[str]) -> tuple[str, list[str]]:
    """Module in ``openseg_plugin.cli`` and arguments of the words behind ``openseg``.

    Raises:
        KeyError: there is no such verb.
    """
    return VERBS[words[0]][0], words[1:]


def make(folder: Path) -> Path:
    """Everything that a page takes for granted, in ``folder``."""
    shutil.copytree(PROJECT / 'configs', folder / 'configs')
    for name in ('tools', 'benchmarks', 'openseg_plugin'):
        (folder / name).symlink_to(PROJECT / name)
    draw = ['--train', '4', '--val', '2', '--size', *map(str, (64, 128)), '--workers', '1']
    assert run('openseg_plugin.cli.synth', [str(folder / 'RAW'), *draw]) == 0
    for name in ('cityscapes', 'synth'):
        target = str(folder / 'data' / name)
        source = str(folder / 'RAW')
        assert run('openseg_plugin.cli.convert_dataset', ['cityscapes', source, target]) == 0
    shutil.copytree(folder / 'data/synth', folder / 'FOLDER')
    write_camvid(folder / 'data/camvid')
    _write_own_data(folder)
    init_default_scope('mmseg')
    for config, name in WEIGHTS.items():
        write_weights(shrunk(PROJECT / config, folder / config), folder / name)
    _write_what_is_predicted(folder)
    return folder


def _write_what_is_predicted(folder: Path) -> None:
    """``best.pth`` with its config inside, ``photos`` and ``drive.mp4``."""
    checkpoint = torch.load(folder / WEIGHTS[SCENES], weights_only=True)
    checkpoint['meta'] = {'cfg': Config.fromfile(folder / SCENES).pretty_text}
    torch.save(checkpoint, folder / 'best.pth')
    shutil.copytree(folder / 'data/synth/val/image', folder / 'photos')
    if find_spec('av') is not None:
        with VideoWriter(folder / 'drive.mp4', Fraction(10)) as video:
            for number in range(3):
                video.write(np.asarray(_drawn(number)[0]))


def write_camvid(folder: Path) -> None:
    """CamVid's layout with one random image per split."""
    generator = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        for kind, top, depth in (('images', 256, (3,)), ('labels', 12, ())):
            (folder / kind / split).mkdir(parents=True)
            values = generator.integers(0, top, (*SIZE, *depth), np.uint8)
            Image.fromarray(values).save(folder / kind / split / f'{split}.png')


def _drawn(number: int) -> tuple[Image.Image, Image.Image, list[list[int]]]:
    """Image, mask (0, 1) and the polygon on both."""
    height, width = SIZE
    noise = np.random.default_rng(number).integers(0, 120, (height, width, 3), np.uint8)
    image, mask = Image.fromarray(noise), Image.new('L', (width, height))
    corners = [[8 + number, 4], [40, 6 + number], [30, 40]]
    flat = [tuple(corner) for corner in corners]
    ImageDraw.Draw(image).polygon(flat, fill=(230, 210, 60))
    ImageDraw.Draw(mask).polygon(flat, fill=1)
    return image, mask, corners


def _write_own_data(folder: Path) -> None:
    """``MY_IMAGES`` (labelme), ``MY_COCO``, ``MY_MASKS`` and ``MY_LISTS`` with the same content."""
    names = ('MY_IMAGES', 'MY_COCO', 'MY_MASKS/images', 'MY_MASKS/labels', 'MY_LISTS')
    for name in names:
        (folder / name).mkdir(parents=True)
    coco: dict = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': CLASSES[1]}]}
    lines = []
    for number in range(20):
        image, mask, corners = _drawn(number)
        name = f'{number:02}'
        for target in ('MY_IMAGES', 'MY_COCO', 'MY_MASKS/images', 'MY_LISTS'):
            image.save(folder / target / f'{name}.png')
        Image.fromarray(np.asarray(mask) * 255).save(folder / 'MY_MASKS/labels' / f'{name}.png')
        mask.save(folder / 'MY_LISTS' / f'{name}_label.png')
        lines.append(f'{name}.png {name}_label.png')
        shape = {'label': CLASSES[1], 'points': corners, 'shape_type': 'polygon'}
        size = {'imageHeight': SIZE[0], 'imageWidth': SIZE[1]}
        labelme = {'shapes': [shape], 'imagePath': f'{name}.png', 'imageData': None, **size}
        (folder / 'MY_IMAGES' / f'{name}.json').write_text(json.dumps(labelme))
        size = {'height': SIZE[0], 'width': SIZE[1]}
        coco['images'].append({'id': number, 'file_name': f'{name}.png', **size})
        polygon = [float(value) for corner in corners for value in corner]
        coco['annotations'].append(
            {'id': number, 'image_id': number, 'category_id': 1, 'segmentation': [polygon],
             'iscrowd': 0, 'area': 1.0, 'bbox': [0, 0, 1, 1]}
        )  # fmt: skip
    (folder / 'MY_COCO' / 'annotations.json').write_text(json.dumps(coco))
    (folder / 'MY_LISTS' / 'train.lst').write_text('\n'.join(lines[:18]) + '\n')
    (folder / 'MY_LISTS' / 'val.lst').write_text('\n'.join(lines[18:]) + '\n')
