"""Bad input of train.py and test.py: one sentence, status 2, and nothing there is damaged."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_run
from PIL import Image
from toy_segmentor import config_of_test, segmentor_config

from openseg_plugin.cli import test, train
from openseg_plugin.cli.main import run
from openseg_plugin.registry import MODELS


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr('mmengine.config.config.FormatCode', toy_run.as_it_is, raising=False)


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with data, a config, weights and a checkpoint with a training's state."""
    data = toy_run.write_data(tmp_path / 'data', number=4)
    config_of_test(tmp_path, data)
    save_weights(tmp_path / 'weights.pth', num_classes=3)
    save_weights(tmp_path / 'other.pth', num_classes=5)
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'weights.pth').read_bytes()[:1500])
    (tmp_path / 'text.pth').write_text('not a checkpoint')
    return tmp_path


def save_weights(path: Path, *, num_classes: int) -> None:
    model = MODELS.build(segmentor_config(num_classes=num_classes))
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)


def contents(folder: Path) -> dict[str, str]:
    """Relative path -> hash, logs left out."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob('*')
        if file.is_file() and 'work' not in file.relative_to(folder).parts
    }


def label(place: Path, split: str, values: np.ndarray) -> None:
    Image.fromarray(values.astype(np.uint8)).save(place / f'data/{split}/label/02.png')


def small_label(place: Path, split: str) -> None:
    label(place, split, np.zeros((5, 7)))


def label_outside(place: Path, split: str) -> None:
    values = np.zeros((12, 16))
    values[0, :5] = 9
    label(place, split, values)


def cut_png(place: Path, split: str) -> None:
    path = place / f'data/{split}/image/02.png'
    path.write_bytes(path.read_bytes()[:300])


def cut_label(place: Path, split: str) -> None:
    path = place / f'data/{split}/label/02.png'
    path.write_bytes(path.read_bytes()[:60])


def cut_jpeg(place: Path, split: str) -> None:
    path = place / f'data/{split}/image/02.png'  # OpenCV goes by the contents, not by the name
    Image.open(path).save(place / 'whole.jpg', quality=95)
    whole = (place / 'whole.jpg').read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])


def empty_image(place: Path, split: str) -> None:
    (place / f'data/{split}/image/02.png').write_bytes(b'')


def no_images(place: Path, split: str) -> None:
    shutil.rmtree(place / f'data/{split}/image')
    (place / f'data/{split}/image').mkdir()


def no_label(place: Path, split: str) -> None:
    (place / f'data/{split}/label/02.png').unlink()


def no_root(place: Path, split: str) -> None:
    (place / 'data').rename(place / 'elsewhere')


def nothing(place: Path, split: str) -> None:
    pass


DATA = [
    (no_root, r'data/{split}/image does not exist'),
    (no_images, r'data/{split}/image has no images'),
    (no_label, r'1 of 4 images have no label .*02\.png'),
    (small_label, r'{split}/label/02\.png is 7x5 pixels but its image .*02\.png is 16x12'),
    (label_outside, r'{split}/label/02\.png holds values outside the classes: 9 \(5 pixels\)'),
    (cut_label, r'{split}/label/02\.png'),
    (cut_png, r'{split}/image/02\.png'),
    (cut_jpeg, r'{split}/image/02\.png'),
    (empty_image, r'{split}/image/02\.png is an empty file'),
]
SEVEN_CLASSES = ('model.decode_head.num_classes=7', 'model.decode_head.out_channels=7')
TRAIN_ARGUMENTS = [
    (['{place}/toyy.py'], r'toyy\.py does not exist: did you mean .*toy\.py'),
    (['{place}/toy.py', '--work_dir', 'x'], r'no option --work_dir: did you mean --work-dir'),
    ([], r'arguments are required: CONFIG'),
    (['{place}/toy.py', '--cfg-options', 'x'], r'x is not of the form key=value'),
    (['{place}/toy.py', '--cfg-options', 'train_cfg.max_iters=0'], r'train_cfg\.max_iters is 0'),
    (['{place}/toy.py', '--cfg-options', 'model.type=EncodrDecoder'], r'EncodrDecoder is not in'),
    (['{place}/toy.py', '--cfg-options', 'model.bakbone=1'], r"argument 'bakbone'"),
    (['{place}/toy.py', '--cfg-options', *SEVEN_CLASSES], r'has 7 classes but SegDataset has 3'),
    (['{place}/toy.py', '--seed', '-1'], r'--seed: -1: .* from 0'),
    (['{place}/toy.py', '--launcher', 'pytorch'], r'needs the variable RANK'),
    (['{place}/toy.py', '--resume', '{place}/none.pth'], r'none\.pth: there is no such checkpoint'),
    (['{place}/toy.py', '--resume', '{place}/cut.pth'], r'cut\.pth is truncated or damaged'),
    (['{place}/toy.py', '--resume', '{place}/text.pth'], r'text\.pth is not a checkpoint'),
    (['{place}/toy.py', '--resume', '{place}/weights.pth'], r'weights\.pth holds no training'),
    (['{place}/toy.py', '--cfg-options', 'load_from={place}/cut.pth'], r'cut\.pth is truncated'),
    (
        ['{place}/toy.py', '--cfg-options', 'load_from={place}/none.pth'],
        r'none\.pth does not exist',
    ),
    (
        ['{place}/toy.py', '--cfg-options', 'load_from={place}/other.pth'],
        r'5 classes.*--drop-class',
    ),
]
TEST_ARGUMENTS = [
    (['{place}/toyy.py', '{place}/weights.pth'], r'toyy\.py does not exist: did you mean'),
    (['{place}/toy.py', '{place}/weights.pth', '--augtest'], r'did you mean --aug-test'),
    (['{place}/toy.py', '{place}/none.pth'], r'none\.pth does not exist'),
    (['{place}/toy.py', '{place}/cut.pth'], r'cut\.pth is truncated or damaged'),
    (['{place}/toy.py', '{place}/text.pth'], r'text\.pth is not a checkpoint'),
    (['{place}/toy.py', '{place}/other.pth'], r'other\.pth.* 5 classes'),
]


def check(capsys, place: Path, main: Callable, arguments: list[str], message: str) -> None:
    """Runs ``main``; it must fail with the one sentence and leave all files alone."""
    before = contents(place)
    where = ['--work-dir', str(place / 'work')]
    status = run(main, [a.format(place=place) for a in arguments] + where)
    errors = capsys.readouterr().err
    assert status == 2, errors
    sentences = [line for line in errors.splitlines() if line.startswith('error: ')]
    assert len(sentences) == 1, errors
    assert re.search(message, sentences[0]), sentences[0]
    assert 'Traceback' not in errors
    assert contents(place) == before


def names(case) -> str | None:
    return case.__name__ if callable(case) else None


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize(('damage', 'message'), DATA, ids=names)
def test_train_stops_before_the_first_step_on_bad_data(capsys, place, damage, message, split):
    damage(place, split)
    message = message.format(split=split if damage is not no_root else 'train')
    check(capsys, place, train.main, ['{place}/toy.py'], message)
    assert not list((place / 'work').glob('*.pth'))


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize(('damage', 'message'), [DATA[3], DATA[4], DATA[6], DATA[7]], ids=names)
def test_train_stops_when_it_meets_bad_data_later(capsys, place, damage, message, workers):
    damage(place, 'train')
    options = ['default_hooks.label_check.samples=0', f'train_dataloader.num_workers={workers}']
    arguments = ['{place}/toy.py', '--cfg-options', *options]
    check(capsys, place, train.main, arguments, message.format(split='train'))


@pytest.mark.parametrize(('damage', 'message'), DATA, ids=names)
def test_test_names_what_is_wrong_with_the_data(capsys, place, damage, message):
    damage(place, 'val')
    arguments = ['{place}/toy.py', '{place}/weights.pth']
    check(capsys, place, test.main, arguments, message.format(split='val'))


@pytest.mark.parametrize(('arguments', 'message'), TRAIN_ARGUMENTS, ids=lambda x: str(x)[-40:])
def test_train_names_what_is_wrong_with_its_arguments(capsys, place, arguments, message):
    check(capsys, place, train.main, arguments, message)


@pytest.mark.parametrize(('arguments', 'message'), TEST_ARGUMENTS, ids=lambda x: str(x)[-40:])
def test_test_names_what_is_wrong_with_its_arguments(capsys, place, arguments, message):
    check(capsys, place, test.main, arguments, message)


def test_drop_classifier_takes_weights_of_other_classes(place, capsys):
    arguments = [f'{place}/toy.py', '--work-dir', f'{place}/work', '--drop-classifier']
    assert run(train.main, [*arguments, '--cfg-options', f'load_from={place}/other.pth']) == 0
    assert (place / 'work' / 'iter_8.pth').is_file()


def test_script_prints_one_sentence_and_with_debug_the_traceback(place):
    script = ('tools/train.py', place / 'none.py')
    _, errors = toy_run.start(*script).communicate(timeout=120)
    assert (
        errors == f'error: config {place}/none.py does not exist: give the path of a .py config\n'
    )
    process = toy_run.start(*script, '--debug')
    _, errors = process.communicate(timeout=120)
    assert errors.startswith('Traceback')
    assert process.returncode == 2
