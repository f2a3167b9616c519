"""Finds the files of a run: label maps, and for each of them its offsets, ground truth or target.

Names are compared without the endings that Cityscapes and its tools add, so
``frankfurt_000000_000294_gtFine_labelIds.png`` finds ``frankfurt_000000_000294_leftImg8bit.mat``,
also when one of them lies in a city folder and the other does not.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.segfix.mat_files import OtherSizeError
from openseg_plugin.segfix.offset_files import SUFFIXES, read_offsets

LABEL_SUFFIXES = ('.png', '.bmp', '.tif', '.tiff')
_MAX_ENTRY = 1 << 30  # bytes of one unpacked offset file; 1024 x 2048 int32 pairs are 16 MB

# What zipfile raises for entries that are broken, encrypted or packed in an unknown way.
_BROKEN_ENTRY = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError)

_ENDING = re.compile(
    r'(_leftImg8bit|_(gtFine|gtCoarse)(_(labelIds|labelTrainIds|instanceIds))?|_pred)+$'
)
_RAW_LABEL = re.compile(r'_(?:gtFine|gtCoarse)_(labelIds|labelTrainIds|instanceIds|color)$')
_RAW_ENDINGS = {'cityscapes': 'labelIds', 'train': 'labelTrainIds', 'instance': 'instanceIds'}


def sample_key(stem: str) -> str:
    """Name of a sample: a file's stem without the endings of Cityscapes."""
    return _ENDING.sub('', stem)


def files_below(
    folder: Path, suffixes: Sequence[str], *, without: Path | None = None
) -> list[Path]:
    """Files of these suffixes below a folder, sorted; hidden ones and those below ``without`` not.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f'{folder} is no folder: give the folder that holds the files')
    skipped = without.resolve() if without is not None else None
    found = []
    for path in sorted(folder.rglob('*')):
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        if any(part.startswith('.') for part in path.relative_to(folder).parts):
            continue
        if skipped is not None and path.resolve().is_relative_to(skipped):
            continue
        found.append(path)
    return found


def label_files(folder: Path, kind: str | None, *, without: Path | None = None) -> list[Path]:
    """Label files below a folder; of a raw Cityscapes tree only those of ``kind``.

    Args:
        folder: where to look.
        kind: one of ``regions.KINDS``; None prefers label ids in a raw tree.
        without: folder below it that is left out, such as the one results go to.

    Raises:
        DataError: there is no label file.
    """
    files = files_below(folder, LABEL_SUFFIXES, without=without)
    raw = {path: match[1] for path in files if (match := _RAW_LABEL.search(path.stem))}
    if raw:
        wanted = _RAW_ENDINGS.get(kind or 'cityscapes')
        files = [path for path in files if raw.get(path, wanted) == wanted]
    if not files:
        raise DataError(f'{folder} has no label files ({", ".join(LABEL_SUFFIXES)})')
    return files


class Index:
    """Finds the one name among many that belongs to a sample.

    Args:
        names: paths with forward slashes, relative to ``place``.
        place: what they are relative to, for messages.
    """

    def __init__(self, names: Iterable[str], place: str) -> None:
        self.place = place
        self._by_key: dict[str, list[PurePosixPath]] = {}
        for name in names:
            path = PurePosixPath(name)
            self._by_key.setdefault(sample_key(path.stem), []).append(path)

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, sample: PurePosixPath) -> str:
        """Name that belongs to ``sample``, a path relative to the folder of the labels.

        Raises:
            DataError: there is none, or several fit equally well.
        """
        found = self._by_key.get(sample_key(sample.stem), [])
        for fits in (
            [path for path in found if path.with_suffix('') == sample.with_suffix('')],
            [path for path in found if path.stem == sample.stem],
            [path for path in found if path.parent == sample.parent],
            found,
        ):
            if len(fits) == 1:
                return str(fits[0])
        if not found:
            raise DataError(f'{sample} has no file in {self.place}')
        several = ', '.join(str(path) for path in found[:3])
        raise DataError(
            f'{sample} has several files in {self.place} ({several}): give the folder of one kind'
        )


class OffsetFolder:
    """Offset (or target) files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        files = files_below(folder, SUFFIXES)
        if not files:
            raise DataError(f'{folder} has no offset files ({", ".join(SUFFIXES)})')
        self.index = Index((path.relative_to(folder).as_posix() for path in files), str(folder))

    def read(self, name: str) -> bytes:
        """Content of one file of the index."""
        return (self.path / name).read_bytes()


class OffsetArchive:
    """Offset (or target) files inside a zip, which is never unpacked.

    Args:
        archive: the zip.
        inside: folder inside it to look below, '' for all.

    Raises:
        DataError: it is no zip, broken, encrypted, without offsets, or has entries that would
            land outside of the folder it is unpacked to.
    """

    def __init__(self, archive: Path, inside: str = '') -> None:
        self.path = archive
        self._prefix = f'{inside.strip("/")}/' if inside.strip('/') else ''
        try:
            self._zip = zipfile.ZipFile(archive)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f'{archive} is no intact zip ({error}): download it again') from error
        entries = self._zip.infolist()
        for entry in entries:
            _refuse_escape(entry.filename, archive)
        names = [
            entry.filename.removeprefix(self._prefix)
            for entry in entries
            if entry.filename.startswith(self._prefix) and entry.filename.endswith(SUFFIXES)
        ]
        place = f'{archive}/{self._prefix}' if self._prefix else str(archive)
        if not names:
            raise DataError(f'{place} has no offset files ({", ".join(SUFFIXES)})')
        self.index = Index(names, place)

    def read(self, name: str) -> bytes:
        """Content of one file of the index.

        Raises:
            DataError: the entry is broken, encrypted or absurdly large.
        """
        entry = self._zip.getinfo(self._prefix + name)
        if entry.file_size > _MAX_ENTRY:
            raise DataError(f'{self.path}: {name} unpacks to {entry.file_size} bytes; refused')
        try:
            return self._zip.read(entry)
        except _BROKEN_ENTRY as error:
            raise DataError(f'{self.path}: {name} cannot be unpacked ({error})') from error


class Offsets:
    """Offsets of label files, from a folder or a zip.

    Args:
        place: folder, zip, or folder inside a zip (``offset_semantic.zip/val/offset_pred``).

    Raises:
        DataError: there are no offsets.
    """

    _files: 'OffsetFolder | OffsetArchive'

    def __init__(self, place: Path) -> None:
        for zipped in (place, *place.parents):
            if zipped.is_file():
                inside = place.relative_to(zipped).as_posix()
                self._files = OffsetArchive(zipped, '' if inside == '.' else inside)
                return
        self._files = OffsetFolder(place)

    @property
    def archive(self) -> Path | None:
        """The zip; None: they are in a folder."""
        return self._files.path if isinstance(self._files, OffsetArchive) else None

    def source(self, sample: PurePosixPath) -> Path:
        """File on disk that holds a label file's offsets; of a zip, the zip.

        Raises:
            DataError: they are missing or ambiguous.
        """
        name = self._files.index.find(sample)
        return self.archive or self._files.path / name

    def of(self, sample: PurePosixPath, size: tuple[int, int]) -> np.ndarray:
        """Offsets (H, W, 2) int8 of a label file, given relative to its folder.

        Args:
            sample: the label file.
            size: its (H, W).

        Raises:
            DataError: they are missing, ambiguous, unusable or of another size.
        """
        index = self._files.index
        name = index.find(sample)
        try:
            return read_offsets(self._files.read(name), f'{index.place}/{name}', size)
        except OtherSizeError as error:
            raise DataError(str(error).replace('the labels', f'the labels {sample}', 1)) from None


def _refuse_escape(name: str, archive: Path) -> None:
    windows = PureWindowsPath(name)
    if name.startswith('/') or windows.drive or windows.root or '..' in windows.parts:
        raise DataError(
            f'{archive} has the entry {name}, which leads outside of the archive: it was not made '
            'by an honest tool; nothing was read from it'
        )
