"""Files of earlier conversions that a new one does not make are never trained on unnoticed."""

from pathlib import Path

import pytest
from tiny_sets import files_below, image, make_labelme, numbers, save, shape

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.core.pairs import divide
from openseg_plugin.errors import DataError

QUIET = Settings(show_progress=False, workers=1)
ANEW = Settings(show_progress=False, workers=1, overwrite=True)
CHECK = Settings(show_progress=False, workers=1, check=True)
BOX = [shape('wire', [[2, 2], [9, 9]], 'rectangle')]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for name in 'bdfhjl':
        make_labelme(tmp_path / 'raw', BOX, name=name)
    return tmp_path / 'raw'


def run(raw: Path, settings: Settings = QUIET, **options):
    return convert('labelme', raw, raw.parent / 'dst', options, settings=settings)


def pairs(dst: Path) -> dict[str, str]:
    """Split of every label; images must lie beside them, once."""
    labels = [p for p in dst.glob('*/label/*.png')]
    assert len({p.stem for p in labels}) == len(labels)
    assert {(p.parts[-3], p.stem) for p in dst.glob('*/image/*.png')} == {
        (p.parts[-3], p.stem) for p in labels
    }
    return {p.stem: p.parts[-3] for p in labels}


@pytest.mark.parametrize('added', ['a', 'c', 'z'])
@pytest.mark.parametrize('settings', [QUIET, ANEW], ids=['again', 'overwrite'])
def test_convert_after_image_was_added_leaves_every_other_in_its_split(
    raw: Path, added: str, settings: Settings
) -> None:
    run(raw, val_fraction=1 / 3)
    before = pairs(raw.parent / 'dst')
    assert {k for k, split in before.items() if split == 'val'} == {'f', 'l'}
    make_labelme(raw, BOX, name=added)
    report = run(raw, settings, val_fraction=1 / 3)
    after = pairs(raw.parent / 'dst')
    assert after.keys() - before.keys() == {added}
    assert {k: after[k] for k in before} == before
    assert sum(report.samples.values()) == 7 and report.notices == ()
    assert run(raw, CHECK, val_fraction=1 / 3).kept == 7


def test_convert_after_image_was_removed_stops_and_overwrite_moves_its_files(raw: Path) -> None:
    dst = raw.parent / 'dst'
    run(raw, val_fraction=1 / 3)
    for ending in ('.json', '.png'):
        (raw / f'd{ending}').unlink()
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in dst.rglob('*') if p.is_file()}
    dry = run(raw, Settings(dry_run=True), val_fraction=1 / 3)
    assert '2 files that this run does not make' in dry.notices[0]
    text = r'has 2 files that this run does not make .*: train/image/d\.png, train/label/d\.png'
    with pytest.raises(DataError, match=f'{text}; give --overwrite'):
        run(raw, val_fraction=1 / 3)
    checked = run(raw, CHECK, val_fraction=1 / 3)
    assert checked.failures.keys() == {'train/image/d.png', 'train/label/d.png'}
    assert all('convert with --overwrite' in text for text in checked.failures.values())
    assert before == {
        p: (p.stat().st_mtime_ns, p.stat().st_size) for p in dst.rglob('*') if p.is_file()
    }
    report = run(raw, ANEW, val_fraction=1 / 3)
    assert '2 files of earlier conversions were moved to' in report.notices[0]
    assert pairs(dst).keys() == set('bfhjl')
    assert {p for p in files_below(dst) if p.startswith('.')} == {
        '.replaced/train/image/d.png',
        '.replaced/train/label/d.png',
    }
    assert run(raw, CHECK, val_fraction=1 / 3).kept == 5


def test_convert_with_other_options_moves_the_split_that_is_gone(raw: Path) -> None:
    run(raw, val_fraction=1 / 3)
    report = run(raw, ANEW)
    assert report.samples == {'train': 6} and report.summary['splits'].keys() == {'train'}
    assert set(pairs(raw.parent / 'dst').values()) == {'train'}
    assert not (raw.parent / 'dst/val').exists()


def test_convert_with_other_classes_leaves_no_label_of_the_old_ones(raw: Path) -> None:
    run(raw)
    (raw / 'class_names.txt').write_text('_background_\nmast\nwire\n')
    (raw / 'b.json').unlink()
    with pytest.raises(DataError, match='with other classes'):
        run(raw)
    run(raw, ANEW)
    assert pairs(raw.parent / 'dst').keys() == set('dfhjl')


@pytest.mark.parametrize('settings', [QUIET, ANEW], ids=['first', 'overwrite'])
def test_convert_never_moves_files_that_no_conversion_made(raw: Path, settings: Settings) -> None:
    save(raw.parent / 'dst/val/label/mine.png', numbers(3))
    with pytest.raises(DataError, match=r'val/label/mine\.png'):
        run(raw, settings)
    assert files_below(raw.parent / 'dst') == {'val/label/mine.png'}


def test_check_names_files_that_no_conversion_made(raw: Path) -> None:
    run(raw)
    save(raw.parent / 'dst/val/label/mine.png', numbers(3))
    report = run(raw, CHECK)
    assert report.kept == 6 and report.failures.keys() == {'val/label/mine.png'}
    assert report.failures['val/label/mine.png'].endswith('would read it: move it away')


def test_convert_with_broken_source_moves_nothing(raw: Path) -> None:
    run(raw)
    (raw / 'b.json').write_text('{')
    with pytest.raises(DataError, match=r'b\.json is not valid JSON'):
        run(raw)
    anyway = Settings(show_progress=False, workers=1, overwrite=True, keep_going=True)
    with pytest.raises(DataError, match=r'train/image/b\.png.*b\.json'):
        run(raw, anyway)
    assert not (raw.parent / 'dst/.replaced').exists()


def test_convert_of_another_split_leaves_the_others_alone(tmp_path: Path) -> None:
    for split in ('train', 'val'):
        save(tmp_path / f'raw/{split}/images/{split}.png', image())
        save(tmp_path / f'raw/{split}/labels/{split}.png', numbers(3))
    for split in ('train', 'val', 'val'):
        only = Settings(show_progress=False, splits=(split,), overwrite=True)
        convert('masks', tmp_path / 'raw', tmp_path / 'dst', settings=only)
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.kept == 2 and not (tmp_path / 'dst/.replaced').exists()


def test_convert_other_files_beside_the_images_do_not_matter(raw: Path) -> None:
    run(raw)
    for name in ('train/image/Thumbs.db', 'train/label/._b.png', 'train/notes.txt'):
        (raw.parent / 'dst' / name).write_text('x')
    assert run(raw).kept == 6


def test_divide_by_place_unless_an_earlier_run_says_otherwise() -> None:
    assert divide(list('abcdef'), 1 / 3) == {'train': list('abde'), 'val': list('cf')}
    known = {'a': 'val', 'c': 'train'}
    assert divide(list('abcdef'), 1 / 3, known=known) == {'train': list('bcde'), 'val': list('af')}
    assert divide(list('ab'), 0, known=known) == {'train': ['b'], 'val': ['a']}


def test_convert_val_fraction_too_small_for_the_number_of_images_is_noted(raw: Path) -> None:
    report = run(raw, val_fraction=0.1)
    assert report.samples == {'train': 6}
    assert '--val-fraction 0.1 puts none of the 6 images into split val' in report.notices[0]
