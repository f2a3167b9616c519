"""Zips and tars as source: the same result as a folder, and nothing unsafe is unpacked."""

import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from in_one_test import in_one_test
from tiny_sets import files_below, make_cityscapes

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.core.archives import RAW, Limits, unpack
from openseg_plugin.errors import DataError

QUIET = Settings(splits=('train',), show_progress=False)
EVIL = ('../evil', '/evil', 'a/../../evil', 'a\\..\\..\\evil', 'C:/evil')


def zip_folder(folder: Path, archive: Path, part: str = '') -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED) as file:
        for path in sorted((folder / part).rglob('*')):
            file.write(path, path.relative_to(folder).as_posix())
    return archive


def tar_folder(folder: Path, archive: Path, part: str = '') -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, 'w:gz') as file:
        file.add(folder / part, arcname=part or folder.name)
    return archive


def zip_with(archive: Path, name: str, content: bytes = b'x', mode: int = 0o100644) -> Path:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(archive, 'w') as file:
        file.writestr('good.txt', b'fine')
        file.writestr(info, content)
    return archive


def tar_with(archive: Path, name: str, content: bytes = b'x', **more) -> Path:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    with tarfile.open(archive, 'w:gz') as file:
        file.addfile(info, io.BytesIO(content))
    return archive


@pytest.mark.parametrize('pack, name', [(zip_folder, 'all.zip'), (tar_folder, 'all.tgz')])
def test_convert_archive_gives_what_its_folder_gives(tmp_path: Path, pack, name: str) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    archive = pack(raw, tmp_path / name)
    convert('cityscapes', raw, tmp_path / 'folder', settings=QUIET)
    first = convert('cityscapes', archive, tmp_path / 'packed', settings=QUIET)
    again = convert('cityscapes', archive, tmp_path / 'packed', settings=QUIET)
    assert (first.made, again.made, again.kept) == (4, 0, 4)
    assert files_below(tmp_path / 'packed') == files_below(tmp_path / 'folder')
    for path in files_below(tmp_path / 'folder') - {'dataset.json'}:
        assert (tmp_path / 'packed' / path).read_bytes() == (
            tmp_path / 'folder' / path
        ).read_bytes()


def test_convert_folder_of_archives_joins_them_with_loose_files(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    zip_folder(raw, tmp_path / 'packed/leftImg8bit_trainvaltest.zip', 'leftImg8bit')
    tar_folder(raw, tmp_path / 'packed/gtFine_trainvaltest.tar.gz', 'gtFine')
    (tmp_path / 'packed/README').write_text('license')
    report = convert('cityscapes', tmp_path / 'packed', tmp_path / 'dst', settings=QUIET)
    assert report.made == 4
    assert not (tmp_path / 'dst' / RAW).exists()


def test_convert_folder_with_images_and_a_zip_does_not_unpack(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    zip_with(raw / 'backup.zip', '../evil')
    assert convert('cityscapes', raw, tmp_path / 'dst', settings=QUIET).made == 4


def test_convert_archive_after_failure_goes_on_with_what_is_unpacked(tmp_path: Path) -> None:
    raw = make_cityscapes(tmp_path / 'raw')
    broken = next(raw.glob('gtFine/train/bochum/*000001*labelIds.png'))
    good = broken.read_bytes()
    broken.write_bytes(good[:50])
    archive = zip_folder(raw, tmp_path / 'all.zip')
    with pytest.raises(DataError, match='cannot be decoded'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=QUIET)
    unpacked = {p: p.stat().st_ino for p in (tmp_path / 'dst' / RAW).rglob('*.png')}
    fixed = next((tmp_path / 'dst' / RAW).glob('gtFine/train/bochum/*000001*labelIds.png'))
    os.utime(archive)
    with pytest.raises(DataError, match='cannot be decoded'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=QUIET)
    assert unpacked == {p: p.stat().st_ino for p in (tmp_path / 'dst' / RAW).rglob('*.png')}
    assert fixed.read_bytes() == good[:50]


@in_one_test('name', EVIL)
@in_one_test('make, ending', [(zip_with, 'zip'), (tar_with, 'tgz')])
def test_unpack_member_outside_target_is_refused(
    tmp_path: Path, make, ending: str, name: str
) -> None:
    archive = make(tmp_path / f'bad.{ending}', name)
    (tmp_path / 'deep/er').mkdir(parents=True)
    before = files_below(tmp_path)
    with pytest.raises(DataError, match=rf'bad\.{ending}: member .* outside the target'):
        convert('cityscapes', archive, tmp_path / 'deep/er/dst', settings=QUIET)
    assert files_below(tmp_path) == before
    assert not Path('/evil').exists()


LINKS = {
    'symbolic': {'type': tarfile.SYMTYPE, 'linkname': '/etc/passwd', 'size': 0},
    'hard': {'type': tarfile.LNKTYPE, 'linkname': 'good', 'size': 0},
    'device': {'type': tarfile.CHRTYPE, 'size': 0},
    'pipe': {'type': tarfile.FIFOTYPE, 'size': 0},
}


@pytest.mark.parametrize('more', LINKS.values(), ids=LINKS)
def test_unpack_tar_with_link_or_device_is_refused(tmp_path: Path, more: dict) -> None:
    archive = tar_with(tmp_path / 'bad.tgz', 'link', **more)
    with pytest.raises(DataError, match=r'bad\.tgz: link is a link or device'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=QUIET)
    assert not (tmp_path / 'dst' / RAW).exists()


def test_unpack_zip_with_link_is_refused(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / 'bad.zip', 'link', b'/etc/passwd', mode=0o120777)
    with pytest.raises(DataError, match=r'bad\.zip: link is a link or device'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=QUIET)


@pytest.mark.parametrize('make, ending', [(zip_with, 'zip'), (tar_with, 'tgz')])
def test_unpack_bomb_is_refused(tmp_path: Path, make, ending: str) -> None:
    archive = make(tmp_path / f'bomb.{ending}', 'zeros', bytes(2**22))
    small = Settings(splits=('train',), show_progress=False, limits=Limits(free_bytes=2**20))
    with pytest.raises(DataError, match=rf'bomb\.{ending} unpacks to far more'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=small)
    assert files_below(tmp_path) == {f'bomb.{ending}'}


def test_unpack_zip_bomb_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / 'bomb.zip', 'zeros', bytes(2**22))
    with pytest.raises(DataError, match='unpacks to far more'):
        unpack(archive, tmp_path / 'into', limits=Limits(free_bytes=2**20))
    assert not (tmp_path / 'into').exists()


def test_unpack_too_many_members_is_refused(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / 'many.zip', 'second')
    with pytest.raises(DataError, match=r'many\.zip unpacks to far more'):
        unpack(archive, tmp_path / 'into', limits=Limits(members=1))


@pytest.mark.parametrize('pack, name', [(zip_folder, 'all.zip'), (tar_folder, 'all.tgz')])
def test_convert_broken_archive_says_so(tmp_path: Path, pack, name: str) -> None:
    archive = pack(make_cityscapes(tmp_path / 'raw'), tmp_path / name)
    content = bytearray(archive.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=f'{name} is broken or cut short'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=QUIET)


def test_convert_cut_tar_says_so(tmp_path: Path) -> None:
    archive = tar_folder(make_cityscapes(tmp_path / 'raw'), tmp_path / 'all.tgz')
    archive.write_bytes(archive.read_bytes()[:-400])
    with pytest.raises(DataError, match=r'all\.tgz is broken or cut short'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=QUIET)


def test_convert_encrypted_zip_says_so(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / 'secret.zip', 'image')
    content = archive.read_bytes().replace(
        b'PK\x01\x02\x14\x03\x14\x00\x00', b'PK\x01\x02\x14\x03\x14\x00\x01'
    )
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r'secret\.zip is encrypted'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=QUIET)


def test_convert_archive_to_links_says_that_they_would_lead_nowhere(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / 'all.zip', 'image')
    with pytest.raises(DataError, match='lead nowhere'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=Settings(link_mode='symlink'))
    assert not (tmp_path / 'dst').exists()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    return tmp_path / 'temporary'


@pytest.mark.parametrize('images', ['link', 'symlink'])
def test_convert_archive_dry_run_and_check_write_nothing(
    tmp_path: Path, temporary: Path, images: str
) -> None:
    archive, dst = (
        zip_folder(make_cityscapes(tmp_path / 'raw'), tmp_path / 'all.zip'),
        tmp_path / 'd',
    )
    more = {'splits': ('train',), 'show_progress': False, 'link_mode': images}
    dry = convert('cityscapes', archive, dst, settings=Settings(dry_run=True, **more))
    assert dry.samples == {'train': 4} and not dst.exists()
    convert('cityscapes', archive, dst, settings=QUIET)
    before = {p: p.stat().st_mtime_ns for p in (dst, *dst.rglob('*'))}
    checked = convert('cityscapes', archive, dst, settings=Settings(check=True, **more))
    assert (checked.kept, checked.failures) == (4, {})
    assert before == {p: p.stat().st_mtime_ns for p in (dst, *dst.rglob('*'))}
    assert not list(temporary.iterdir())


def test_convert_archive_check_that_fails_leaves_nothing_behind(
    tmp_path: Path, temporary: Path
) -> None:
    archive = zip_folder(make_cityscapes(tmp_path / 'raw'), tmp_path / 'all.zip')
    check = Settings(splits=('train',), show_progress=False, check=True)
    with pytest.raises(DataError, match=r'dst has no dataset\.json'):
        convert('cityscapes', archive, tmp_path / 'dst', settings=check)
    assert not (tmp_path / 'dst').exists() and not list(temporary.iterdir())


@pytest.mark.parametrize('folder', [False, True])
def test_convert_cut_zip_is_not_taken_for_a_tar(tmp_path: Path, folder: bool) -> None:
    archive = zip_folder(make_cityscapes(tmp_path / 'raw'), tmp_path / 'zips/all.zip')
    archive.write_bytes(archive.read_bytes()[:-400])
    with pytest.raises(DataError, match=r'all\.zip .*download it again'):
        convert('cityscapes', archive.parent if folder else archive, tmp_path / 'd', settings=QUIET)
    archive.write_text('<html>please log in</html>')
    with pytest.raises(DataError, match=r'all\.zip is no zip'):
        convert('cityscapes', archive.parent if folder else archive, tmp_path / 'd', settings=QUIET)


@pytest.mark.parametrize('kind', ['gz', 'bz2', 'xz'])
def test_convert_tar_cut_anywhere_is_one_sentence(tmp_path: Path, kind: str) -> None:
    make_cityscapes(tmp_path / 'raw', per_city=1)
    archive = tmp_path / f'all.tar.{kind}'
    with tarfile.open(archive, f'w:{kind}') as file:
        file.add(tmp_path / 'raw', arcname='raw')
    whole = archive.read_bytes()
    for length in (0, 1, 10, 100, len(whole) // 2, len(whole) - 20):
        archive.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf'all\.tar\.{kind} is broken or cut short'):
            convert('cityscapes', archive, tmp_path / 'dst', settings=QUIET)


def test_convert_zip_with_a_member_without_name_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo('x')
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as file:
        info.filename = ''
        file.writestr(info, b'1')
    with pytest.raises(DataError, match=r'a\.zip has a member without a name'):
        convert('masks', tmp_path / 'a.zip', tmp_path / 'dst', settings=QUIET)
