"""Running a conversion: what is written, linked, kept, refused and reported."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_sets import files_below, make_cityscapes, numbers, save

from openseg_plugin.converters.datasets import Settings, convert, converters
from openseg_plugin.converters.datasets.core import worker
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils import files

QUIET = Settings(splits=('train',), show_progress=False)
LABEL = 'train/label/aachen_000000_000019_leftImg8bit.png'
IMAGE = 'train/image/aachen_000000_000019_leftImg8bit.png'
RAW_LABEL = 'gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png'


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_cityscapes(tmp_path / 'raw')


def settings(**more) -> Settings:
    return Settings(**{'splits': ('train',), 'show_progress': False, **more})


def test_convert_twice_keeps_finished_files(raw: Path, tmp_path: Path) -> None:
    first = convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'dst').rglob('*.png')}
    second = convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    assert (first.made, first.kept) == (4, 0)
    assert (second.made, second.kept) == (0, 4)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / 'dst').rglob('*.png')}
    assert second.summary == first.summary


def test_convert_after_missing_and_changed_files_makes_only_those(
    raw: Path, tmp_path: Path
) -> None:
    dst = tmp_path / 'dst'
    first = convert('cityscapes', raw, dst, settings=QUIET)
    (dst / LABEL).unlink()
    changed = raw / RAW_LABEL.replace('aachen', 'bochum')
    save(changed, numbers(33, seed=9))
    later = time.time() + 5
    os.utime(changed, (later, later))
    report = convert('cityscapes', raw, dst, settings=QUIET)
    assert (report.made, report.kept) == (2, 2)
    pixels = report.summary['splits']['train']['pixels']
    assert sum(pixels.values()) == 4 * 24 * 32
    assert pixels != first.summary['splits']['train']['pixels']


def test_convert_counts_every_pixel_of_every_value(raw: Path, tmp_path: Path) -> None:
    report = convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    values, counts = np.unique(
        [np.asarray(Image.open(p)) for p in sorted((tmp_path / 'dst').glob('train/label/*.png'))],
        return_counts=True,
    )
    stored = json.loads((tmp_path / 'dst/dataset.json').read_text())
    assert stored == report.summary
    assert stored['splits']['train']['complete'] is True
    assert stored['splits']['train']['pixels'] == {str(v): int(n) for v, n in zip(values, counts)}
    assert stored['converter'] == 'cityscapes' and len(stored['classes']) == 19


@pytest.mark.parametrize('palette, mode', [(True, 'P'), (False, 'L')])
def test_convert_palette_changes_mode_but_no_value(
    raw: Path, tmp_path: Path, palette: bool, mode: str
) -> None:
    convert(
        'cityscapes', raw, tmp_path / 'dst', {'labels': 'ids'}, settings=settings(palette=palette)
    )
    with Image.open(tmp_path / 'dst' / LABEL) as label, Image.open(raw / RAW_LABEL) as ids:
        assert label.mode == mode
        assert np.array_equal(np.asarray(label), np.asarray(ids))
        if palette:
            assert label.getpalette()[3 * 26 : 3 * 26 + 3] == [0, 0, 142]


@pytest.mark.parametrize('images', ['link', 'copy', 'symlink'])
def test_convert_images_are_placed_as_asked(raw: Path, tmp_path: Path, images: str) -> None:
    convert('cityscapes', raw, tmp_path / 'dst', settings=settings(link_mode=images))
    placed = tmp_path / 'dst' / IMAGE
    source = next(raw.glob('leftImg8bit/train/aachen/aachen_000000*'))
    assert placed.read_bytes() == source.read_bytes()
    assert placed.is_symlink() == (images == 'symlink')
    assert (placed.stat().st_ino == source.stat().st_ino) == (images != 'copy')


def test_convert_where_links_are_impossible_copies(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_args, **_more):
        raise OSError(18, 'Invalid cross-device link')

    monkeypatch.setattr(files.os, 'link', no_link)
    report = convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    assert report.made == 4
    assert (tmp_path / 'dst' / IMAGE).stat().st_nlink == 1


def test_convert_in_processes_gives_the_same_files(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw', per_city=18)  # more than are handed out at once
    convert('cityscapes', raw, tmp_path / 'one', settings=settings(workers=1))
    report = convert('cityscapes', raw, tmp_path / 'two', settings=settings(workers=2))
    assert report.made == 36
    assert files_below(tmp_path / 'one') == files_below(tmp_path / 'two')
    for name in files_below(tmp_path / 'one') - {'dataset.json'}:
        assert (tmp_path / 'one' / name).read_bytes() == (tmp_path / 'two' / name).read_bytes()


def test_convert_in_processes_reports_failures_of_all(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw', per_city=18)
    for label in raw.rglob('*00001?_000019_gtFine_labelIds.png'):
        label.write_bytes(b'no image')
    report = convert(
        'cityscapes', raw, tmp_path / 'dst', settings=settings(workers=2, keep_going=True)
    )
    assert (report.made, len(report.failures)) == (20, 16)
    assert all('cannot be decoded' in text for text in report.failures.values())


def test_convert_interrupted_leaves_whole_files_and_goes_on(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = worker.images.encode_png, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(worker.images, 'encode_png', interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    monkeypatch.undo()
    stored = json.loads((tmp_path / 'dst/dataset.json').read_text())
    assert stored['splits']['train'] == {'complete': False}
    assert not (tmp_path / 'dst' / files.PARTIAL).exists()
    assert len(list((tmp_path / 'dst').glob('train/label/*'))) == 2
    report = convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    assert (report.made, report.kept) == (2, 2)
    assert report.summary['splits']['train']['complete'] is True


def test_convert_dry_run_writes_nothing(raw: Path, tmp_path: Path) -> None:
    report = convert('cityscapes', raw, tmp_path / 'dst', settings=settings(dry_run=True))
    assert report.samples == {'train': 4} and report.made == 0
    assert not (tmp_path / 'dst').exists()


def test_convert_check_finds_changed_label_and_writes_nothing(raw: Path, tmp_path: Path) -> None:
    dst = tmp_path / 'dst'
    convert('cityscapes', raw, dst, settings=QUIET)
    good = convert('cityscapes', raw, dst, settings=settings(check=True))
    assert (good.kept, good.failures) == (4, {})
    label = np.asarray(Image.open(dst / LABEL)).copy()
    label[0, 0] ^= 1
    save(dst / LABEL, label)
    before = {p: p.read_bytes() for p in dst.rglob('*') if p.is_file()}
    bad = convert('cityscapes', raw, dst, settings=settings(check=True, keep_going=True))
    assert bad.kept == 3
    assert LABEL in next(iter(bad.failures.values()))
    assert before == {p: p.read_bytes() for p in dst.rglob('*') if p.is_file()}


def test_convert_another_split_keeps_the_record_of_the_first(raw: Path, tmp_path: Path) -> None:
    convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    for kind in ('leftImg8bit', 'gtFine'):
        (raw / kind / 'train').rename(raw / kind / 'val')
    report = convert('cityscapes', raw, tmp_path / 'dst', settings=settings(splits=('val',)))
    assert {k: v['complete'] for k, v in report.summary['splits'].items()} == {
        'train': True,
        'val': True,
    }


def test_convert_with_other_options_refuses_to_mix(raw: Path, tmp_path: Path) -> None:
    convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)
    with pytest.raises(DataError, match=r'labels=trainids; now labels=ids.*--overwrite'):
        convert('cityscapes', raw, tmp_path / 'dst', {'labels': 'ids'}, settings=QUIET)
    report = convert(
        'cityscapes', raw, tmp_path / 'dst', {'labels': 'ids'}, settings=settings(overwrite=True)
    )
    assert report.made == 4
    with Image.open(tmp_path / 'dst' / LABEL) as label, Image.open(raw / RAW_LABEL) as ids:
        assert np.array_equal(np.asarray(label), np.asarray(ids))


def test_convert_over_files_of_another_program_refuses(raw: Path, tmp_path: Path) -> None:
    save(tmp_path / 'dst' / LABEL, numbers(33))
    with pytest.raises(DataError, match=f'{LABEL} is there, but not from this converter'):
        convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET)


def test_convert_unknown_names_say_what_there_is(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no converter 'cityscape'; there are ade20k"):
        convert('cityscape', raw, tmp_path / 'dst')
    with pytest.raises(ConfigError, match='no option label; it has coarse'):
        convert('cityscapes', raw, tmp_path / 'dst', {'label': 'ids'})
    with pytest.raises(ConfigError, match="labels is 'id'; choose one of"):
        convert('cityscapes', raw, tmp_path / 'dst', {'labels': 'id'})
    with pytest.raises(DataError, match=r'training.*train, val, test, coarse'):
        convert('cityscapes', raw, tmp_path / 'dst', settings=settings(splits=('training',)))


def test_converters_all_have_help_and_options_with_help() -> None:
    # an example of the docs may have registered its own in this process
    known = {
        name: one
        for name, one in converters().items()
        if one.plan.__module__.startswith('openseg_plugin.')
    }
    assert len(known) == 22
    for name, chosen in known.items():
        assert chosen.help.endswith('.'), name
        assert chosen.make_options() == chosen.options_type()
