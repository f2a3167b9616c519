import json

import numpy as np
import pytest
from PIL import Image

from openseg_plugin.cli.main import run
from openseg_plugin.cli.synth import main
from openseg_plugin.converters.datasets import convert
from openseg_plugin.datasets.classes import CITYSCAPES_LABELS
from openseg_plugin.errors import DataError
from openseg_plugin.synth.dataset import Settings, write_dataset

SETTINGS = Settings(seed=1, height=72, width=144)
KINDS = ('color.png', 'instanceIds.png', 'labelIds.png', 'polygons.json')


def draw(root, train: int = 2, val: int = 1, settings: Settings = SETTINGS) -> int:
    counts = {'train': train, 'val': val}
    return write_dataset(root, settings, counts=counts, workers=1, show=False)


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp('raw')
    assert draw(root) == 3
    return root


def annotation(raw, kind: str) -> np.ndarray:
    name = f'gtFine/train/aurach/aurach_000000_000019_gtFine_{kind}'
    with Image.open(raw / name) as image:
        return np.asarray(image).astype(np.int64)


def test_dataset_has_the_layout_of_the_release(raw):
    found = {str(path.relative_to(raw)) for path in raw.rglob('*') if path.is_file()}
    scenes = [('train', 'aurach', 0), ('train', 'birkenfeld', 1), ('val', 'dornburg', 0)]
    expected = {'scenes.json'}
    for split, city, index in scenes:
        stem = f'{city}_{index:06d}_000019'
        expected.add(f'leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png')
        expected |= {f'gtFine/{split}/{city}/{stem}_gtFine_{kind}' for kind in KINDS}
    assert found == expected


def test_dataset_images_have_the_modes_of_the_release(raw):
    modes = {}
    for kind in KINDS[:3]:
        with Image.open(raw / f'gtFine/val/dornburg/dornburg_000000_000019_gtFine_{kind}') as image:
            modes[kind] = (image.mode.split(';')[0], image.size)
    assert modes['color.png'] == ('RGBA', (144, 72))
    assert modes['labelIds.png'] == ('L', (144, 72))
    assert modes['instanceIds.png'] == ('I', (144, 72))


def test_dataset_instances_agree_with_labels(raw):
    labels, instances = annotation(raw, 'labelIds.png'), annotation(raw, 'instanceIds.png')
    assert np.array_equal(np.where(instances >= 1000, instances // 1000, instances), labels)
    with_instances = {label.id for label in CITYSCAPES_LABELS if label.has_instances}
    assert set(np.unique(labels[instances >= 1000])) <= with_instances
    assert (instances >= 1000).any()


def test_dataset_colors_agree_with_labels(raw):
    labels, colors = annotation(raw, 'labelIds.png'), annotation(raw, 'color.png')
    by_id = {label.id: label.color for label in CITYSCAPES_LABELS}
    expected = np.array([by_id[i] for i in labels.ravel().tolist()]).reshape(*labels.shape, 3)
    assert np.array_equal(colors[..., :3], expected)
    assert (colors[..., 3] == 255).all()


def test_dataset_polygons_hold_their_size(raw):
    path = raw / 'gtFine/val/dornburg/dornburg_000000_000019_gtFine_polygons.json'
    content = json.loads(path.read_text())
    assert (content['imgHeight'], content['imgWidth']) == (72, 144)
    assert content['objects'][0]['label'] == 'sky'


@pytest.mark.parametrize('draw_mode', ['never', 'always'])
def test_dataset_is_taken_by_the_cityscapes_converter(raw, tmp_path, draw_mode):
    report = convert('cityscapes', raw, tmp_path, {'draw': draw_mode})
    assert not report.failures
    with Image.open(tmp_path / 'train/label/aurach_000000_000019_leftImg8bit.png') as image:
        train_ids = np.asarray(image)
    by_id = {label.id: label.train_id for label in CITYSCAPES_LABELS}
    ids = annotation(raw, 'labelIds.png')
    assert np.array_equal(train_ids, np.vectorize(by_id.get)(ids))


def test_dataset_again_draws_only_what_is_missing(tmp_path):
    draw(tmp_path, train=1, val=0)
    image = tmp_path / 'leftImg8bit/train/aurach/aurach_000000_000019_leftImg8bit.png'
    before = image.read_bytes()
    (tmp_path / 'gtFine/train/aurach/aurach_000000_000019_gtFine_color.png').unlink()
    image.write_bytes(b'half')
    assert draw(tmp_path, train=2, val=0) == 2
    assert image.read_bytes() == before
    assert draw(tmp_path, train=2, val=0) == 0


def test_dataset_of_other_settings_is_refused(raw):
    with pytest.raises(DataError, match=r'other settings.*name another folder'):
        draw(raw, settings=Settings(seed=2, height=72, width=144))


def test_dataset_among_foreign_images_is_refused(tmp_path):
    (tmp_path / 'leftImg8bit').mkdir()
    with pytest.raises(DataError, match='not drawn here'):
        draw(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / 'leftImg8bit']


def test_processes_draw_what_one_draws(tmp_path):
    small = Settings(seed=3, height=64, width=64)
    for folder, workers in (('one', 1), ('two', 2)):
        counts = {'train': 4}
        write_dataset(tmp_path / folder, small, counts=counts, workers=workers, show=False)
    files = [path for path in (tmp_path / 'one').rglob('*') if path.is_file()]
    assert len(files) == 4 * 5 + 1
    for path in files:
        other = tmp_path / 'two' / path.relative_to(tmp_path / 'one')
        assert other.read_bytes() == path.read_bytes()


def test_command_says_what_it_drew(tmp_path, capsys):
    arguments = [str(tmp_path), '--train', '1', '--val', '0', '--size', '64', '80']
    assert run(main, arguments) == 0
    assert '1 scenes to train on, 0 to validate on, 1 new' in capsys.readouterr().out
    assert run(main, [*arguments, '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == dict(out=str(tmp_path), train=1, val=0, new=0)
    assert run(main, [*arguments, '--seed', '9']) == 2
    assert 'other settings' in capsys.readouterr().err


def test_command_with_tiny_size_is_one_sentence(tmp_path, capsys):
    assert run(main, [str(tmp_path), '--size', '20', '20']) == 2
    assert capsys.readouterr().err.startswith('error: --size ')
