"""The table of public datasets, tried as a new user: convert, check, train, validate.

Each row is run on the stored raw tree of its dataset, packed under the names that the row gives,
with the commands that it prints. Only networks and crops are made small.
"""

import json
import math
import re
import shlex
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import toy_run
from doc_sandbox import write_camvid
from PIL import Image
from shrunk_configs import shrunk

from openseg_plugin.cli.check_dataset import main as check
from openseg_plugin.cli.convert_dataset import main as convert
from openseg_plugin.converters.datasets import converters

PROJECT = Path(__file__).parents[2]
TREES = PROJECT / 'tests/data/converters'
# for a user's own images, and COCO panoptic, which no config of ours is for
OWN = {name for name, known in converters().items() if known.is_own}
VARIANT = re.compile(r'stock|nvidia|paddleseg|hrnetocr|zoo|trainval|class_uniform|segfix|_\d{3,4}$')
# archive: folder of the stored tree that it is packed from, and what goes into it
PACKED = {
    'leftImg8bit_trainvaltest.zip': ('.', 'leftImg8bit/[tv]*[tnl]/**/*'),
    'gtFine_trainvaltest.zip': ('.', 'gtFine/**/*'),
    'leftImg8bit_trainextra.zip': ('.', 'leftImg8bit/train_extra/**/*'),
    'gtCoarse.zip': ('.', 'gtCoarse/**/*'),
    'refinement_final_v0.zip': ('.', 'refinement_final/**/*'),
    'mapillary-vistas-dataset_public_v1.1.zip': ('.', '**/*'),
    'VOCtrainval_03-May-2010.tar': ('.', 'VOCdevkit/VOC2010/[JI]*/**/*'),
    'trainval_merged.json': ('VOCdevkit/VOC2010', 'trainval_merged.json'),
    'VOCtrainval_11-May-2012.tar': ('.', 'VOCdevkit/**/*'),
    'benchmark.tgz': ('.', 'benchmark_RELEASE/**/*'),
    'ADEChallengeData2016.zip': ('.', '**/*'),
    'cocostuff-10k-v1.1.zip': ('.', '**/*'),
    'train2017.zip': ('images', 'train2017/*'),
    'val2017.zip': ('images', 'val2017/*'),
    'stuffthingmaps_trainval2017.zip': ('annotations', '**/*'),
    'TrainVal_images.zip': ('.', 'TrainVal_images/**/*'),
    'TrainVal_parsing_annotations.zip': ('.', 'TrainVal_parsing_annotations/**/*'),
    'instance-level_human_parsing.tar.gz': ('.', '**/*'),
    'humanparsing': ('.', 'humanparsing/**/*'),
    'CelebAMask-HQ.zip': ('.', '**/*'),
}


@dataclass(frozen=True)
class Row:
    """One row of the table: file names, the conversion's arguments, configs to train."""

    name: str
    raw: tuple[str, ...]
    arguments: tuple[str, ...]
    configs: tuple[str, ...]


def read_rows() -> list[Row]:
    text = (PROJECT / 'docs/data/converters.md').read_text(encoding='utf-8')
    table = re.search(r'## Datasets\n(.*?)\n## ', text, re.S)[1]
    rows = []
    for line in table.splitlines():
        if not line.startswith('|') or 'openseg train' not in line:
            continue
        name, raw, conversion, training = (cell.strip() for cell in line.strip('|').split('|'))
        commands = re.findall(r'`openseg convert-dataset ([^`]+)`', conversion)
        names = [word.rstrip(',') for word in raw.split() if word.rstrip(',') in PACKED]
        if raw.startswith('also'):
            names = [*rows[0].raw, *names]
        configs = re.findall(r'`openseg train (\S+)`', training)
        arguments = shlex.split(commands[0]) if commands else []
        rows.append(Row(name, tuple(names), tuple(arguments), tuple(configs)))
    return rows


ROWS = read_rows()
# run without --slow: a row of each kind of download (zip, tar, folders, none)
QUICK = ('Cityscapes', 'PASCAL VOC 2012 with SBD', 'ATR', 'CamVid')
TRAINED = [
    pytest.param(row, id=row.name, marks=[] if row.name in QUICK else [pytest.mark.slow])
    for row in ROWS
]


def test_table_has_every_dataset_that_a_converter_makes():
    ours = {
        name
        for name, known in converters().items()
        if known.plan.__module__.startswith('openseg_plugin.')
    }
    assert {row.arguments[0] for row in ROWS if row.arguments} == ours - OWN
    assert all(row.raw for row in ROWS if row.arguments)


def test_table_trains_on_every_base_that_is_no_variant_of_another():
    texts = [(PROJECT / config).read_text() for row in ROWS for config in row.configs]
    trained = {base for text in texts for base in re.findall(r'_base_/datasets/(\w+)\.py', text)}
    files = (PROJECT / 'configs/_base_/datasets').glob('*.py')
    bases = {path.stem for path in files if '$DATA_ROOT' in path.read_text()}
    left = {base for base in bases - trained if not VARIANT.search(base)}
    assert left == {'custom', 'list', 'synth'}


def download(row: Row, folder: Path) -> None:
    """Puts into ``folder`` what the row names, made from the stored tree."""
    tree = TREES / row.arguments[0] / 'raw'
    folder.mkdir()
    for name in row.raw:
        top, pattern = PACKED[name]
        members = {
            path.relative_to(tree / top).as_posix(): path
            for path in sorted((tree / top).glob(pattern))
            if path.is_file() and path.name != '.empty'
        }
        assert members, f'{name}: the stored tree has nothing of it'
        if name.endswith('.zip'):
            with zipfile.ZipFile(folder / name, 'w') as packed:
                for member, path in members.items():
                    packed.write(path, member)
        elif '.t' in name:
            with tarfile.open(folder / name, 'w' if name.endswith('.tar') else 'w:gz') as packed:
                for member, path in members.items():
                    packed.add(path, member)
        else:
            for member, path in members.items():
                (folder / member).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / member)


def make_more_images(folder: Path, number: int) -> None:
    """ATR's stored tree has two images; every 18th is for validation."""
    for path in sorted(folder.rglob('*.*g')):
        for k in range(number // 2 - 1):
            copy = path.with_stem(f'{path.stem}{k}')
            if path.suffix == '.png':
                shutil.copyfile(path, copy)
                continue
            with Image.open(path) as image:
                Image.fromarray(np.asarray(image) // 4 + np.uint8(20 * k)).save(copy)


@pytest.mark.parametrize('row', TRAINED)
def test_row_leads_from_downloads_to_a_validated_step(row, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DATA_ROOT', 'data')
    if not row.arguments:
        write_camvid(tmp_path / 'data/camvid')
    else:
        if 'after the first row' in row.name:
            download(ROWS[0], tmp_path / 'RAW')
            assert convert([*ROWS[0].arguments, '--workers', '1']) == 0
            shutil.rmtree(tmp_path / 'RAW')
        download(row, tmp_path / 'RAW')
        if '--val-fraction' in row.arguments:
            fraction = float(row.arguments[row.arguments.index('--val-fraction') + 1])
            every = math.ceil(1 / fraction) + 1
            make_more_images(tmp_path / 'RAW', every)
        assert convert([*row.arguments, '--workers', '1']) == 0
        assert not (tmp_path / row.arguments[2] / '.raw').exists()
    for config in row.configs:
        assert check([str(PROJECT / config), '--cache', 'cache', '--workers', '1']) == 0
        assert 'raining may start' in capsys.readouterr().out
        small = shrunk(PROJECT / config, tmp_path / Path(config).name)
        assert toy_run.train(small, tmp_path / small.stem) == 0
        (log,) = (tmp_path / small.stem).glob('*/vis_data/scalars.json')
        steps = [json.loads(line) for line in log.read_text().splitlines()]
        assert math.isfinite(next(step['loss'] for step in steps if 'loss' in step))
        assert 0 <= next(step['mIoU'] for step in steps if 'mIoU' in step) <= 100
