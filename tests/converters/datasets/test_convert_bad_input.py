"""Bad input: the message names the file, the other samples are kept, ``--keep-going`` goes on."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from tiny_sets import (
    SIZE,
    image,
    make_cityscapes,
    make_labelme,
    numbers,
    save,
    shape,
    write_polygons,
)

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.errors import DataError
from openseg_plugin.utils import files

IMAGE = 'leftImg8bit/train/bochum/bochum_000000_000019_leftImg8bit.png'
LABEL = 'gtFine/train/bochum/bochum_000000_000019_gtFine_labelIds.png'
POLYGONS = LABEL.replace('labelIds.png', 'polygons.json')
SQUARE = [[2, 2], [9, 2], [9, 9]]


def settings(**more) -> Settings:
    return Settings(**{'splits': ('train',), 'show_progress': False, **more})


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_cityscapes(tmp_path / 'raw')


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def _wrong_size(raw: Path) -> None:
    save(raw / LABEL, numbers(33, size=(8, 8)))


def _remove_label(raw: Path) -> None:
    (raw / LABEL).unlink()
    (raw / POLYGONS).unlink()


def _draw(objects: list[dict]):
    def change(raw: Path) -> None:
        (raw / LABEL).unlink()
        write_polygons(raw / POLYGONS, objects)

    return change


def _damage_json(raw: Path) -> None:
    (raw / LABEL).unlink()
    (raw / POLYGONS).write_text('{"imgHeight": 24, "objects": [')


MISTAKES = {
    'truncated image': (lambda raw: cut(raw / IMAGE), IMAGE, 'cut short or broken'),
    'image is text': (lambda raw: (raw / IMAGE).write_text('x'), IMAGE, 'cut short or broken'),
    'empty image': (lambda raw: (raw / IMAGE).write_bytes(b''), IMAGE, 'cut short or broken'),
    'truncated label': (lambda raw: cut(raw / LABEL), LABEL, 'cannot be decoded'),
    'missing label': (_remove_label, IMAGE, 'has no label'),
    'color label': (lambda raw: save(raw / LABEL, image()), LABEL, 'color image'),
    'unknown value': (
        lambda raw: save(raw / LABEL, np.full(SIZE, 77, np.uint8)),
        LABEL,
        r'values that Cityscapes does not have \(0..33, 255\): 77 \(768 pixels\)',
    ),
    'other size': (_wrong_size, IMAGE, 'is 32x24 pixels but its label is 8x8'),
    'unknown label name': (_draw([{'label': 'kar', 'polygon': SQUARE}]), POLYGONS, "label 'kar'"),
    'no points': (_draw([{'label': 'car', 'polygon': []}]), POLYGONS, 'without points'),
    'no label name': (_draw([{'polygon': SQUARE}]), POLYGONS, 'object 0 has no label'),
    'half a json file': (_damage_json, POLYGONS, 'not a Cityscapes polygon file'),
}


@pytest.mark.parametrize('change, name, text', MISTAKES.values(), ids=MISTAKES)
def test_convert_with_mistake_names_file_and_keeps_the_rest(
    raw: Path, tmp_path: Path, change, name: str, text: str
) -> None:
    change(raw)
    with pytest.raises(DataError, match=text) as caught:
        convert('cityscapes', raw, tmp_path / 'dst', settings=settings())
    assert str(raw / name) in str(caught.value)
    assert '2 of 4 samples are done and kept; --keep-going' in str(caught.value)
    assert len(list((tmp_path / 'dst').glob('train/label/*.png'))) == 2

    report = convert('cityscapes', raw, tmp_path / 'dst', settings=settings(keep_going=True))
    assert (report.made, report.kept, len(report.failures)) == (1, 2, 1)
    assert len(list((tmp_path / 'dst').glob('train/*/*.png'))) == 2 * 3
    stored = json.loads((tmp_path / 'dst/dataset.json').read_text())['splits']['train']
    assert stored['complete'] is False and stored['samples'] == 3
    assert str(raw / name) in stored['failures'][0]


def test_convert_after_fixing_the_mistake_completes(raw: Path, tmp_path: Path) -> None:
    good = (raw / IMAGE).read_bytes()
    cut(raw / IMAGE)
    convert('cityscapes', raw, tmp_path / 'dst', settings=settings(keep_going=True))
    (raw / IMAGE).write_bytes(good)
    report = convert('cityscapes', raw, tmp_path / 'dst', settings=settings())
    assert (report.made, report.kept, report.failures) == (1, 3, {})
    assert report.summary['splits']['train']['complete'] is True


@pytest.mark.parametrize(
    'code, text',
    [
        (errno.ENOSPC, 'no space is left'),
        (errno.EROFS, 'read-only file system'),
        (errno.EACCES, 'not permitted'),
    ],
)
@pytest.mark.parametrize('keep_going', [False, True])
def test_convert_target_fails_half_way_stops_and_keeps_finished_files(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, text: str, keep_going
) -> None:
    dst, real = tmp_path / 'dst', Path.write_bytes

    def write(self: Path, content: bytes) -> int:
        if len(list(dst.glob('train/label/*.png'))) == 2:
            real(self, content[: len(content) // 2])
            raise OSError(code, 'made up', str(self))
        return real(self, content)

    monkeypatch.setattr(Path, 'write_bytes', write)
    with pytest.raises(files.TargetError, match=f'train/label/bochum_000000.*{text}'):
        convert('cityscapes', raw, dst, settings=settings(keep_going=keep_going))
    monkeypatch.undo()
    assert len(list(dst.glob('train/label/*.png'))) == 2
    assert not (dst / files.PARTIAL).exists()
    report = convert('cityscapes', raw, dst, settings=settings())
    assert (report.made, report.kept) == (2, 2)


def test_convert_source_is_target_refuses(raw: Path) -> None:
    with pytest.raises(DataError, match='give another folder as target'):
        convert('cityscapes', raw, raw.parent / 'raw' / '..' / 'raw', settings=settings())


def test_convert_missing_source_or_file_as_target_refuses(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match='nowhere does not exist'):
        convert('cityscapes', tmp_path / 'nowhere', tmp_path / 'dst')
    (tmp_path / 'file').write_text('x')
    with pytest.raises(DataError, match=r'the target .*file is a file'):
        convert('cityscapes', raw, tmp_path / 'file')
    with pytest.raises(DataError, match='neither a folder nor a zip or tar'):
        convert('cityscapes', tmp_path / 'file', tmp_path / 'dst')


@in_one_test(
    'name',
    [
        'ade20k',
        'atr',
        'celebamask_hq',
        'cihp',
        'cityscapes',
        'cityscapes_autolabelled',
        'coco_polygons',
        'coco_stuff10k',
        'coco_stuff164k',
        'labelme',
        'lip',
        'lists',
        'mapillary',
        'masks',
        'pascal_context',
        'pascal_voc',
        'polygon_list',
    ],
)
def test_convert_folder_without_the_data_set_says_what_is_missing(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / 'raw').mkdir()
    with pytest.raises(DataError, match=str(tmp_path / 'raw')):
        convert(name, tmp_path / 'raw', tmp_path / 'dst')
    assert not (tmp_path / 'dst').exists()


def test_convert_images_of_one_name_keep_their_folders(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw/one', [shape('wire', SQUARE)])
    make_labelme(tmp_path / 'raw/two', [shape('wire', SQUARE)])
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=Settings(show_progress=False))
    labels = {p.relative_to(tmp_path / 'dst').as_posix() for p in tmp_path.rglob('label/*/*.png')}
    assert labels == {'train/label/one/a.png', 'train/label/two/a.png'}
