"""Images and labels of your own in the layout that openseg convert-dataset writes.

Datasets given by list files ``.lst``: an image and its label on every line.
"""

import functools
import os.path as osp
from collections.abc import Iterator
from pathlib import Path

from openseg_plugin.datasets.base import ConvertedDataset, SegDataset
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import DATASETS
from openseg_plugin.utils.files import parse_json

_SUMMARY = 'dataset.json'  # what the converter writes beside the splits


@DATASETS.register_module()
class CustomDataset(ConvertedDataset):
    """``<split>/{image,label}`` with the classes that the config names.

    Args:
        metainfo: ``classes`` in label order, and perhaps ``palette`` (default: that of the
            converted folder), ``flip_pairs``, ``void_ids``.
        **kwargs: as for :class:`~openseg_plugin.datasets.base.ConvertedDataset`.

    Raises:
        ConfigError: the config names no classes, or others than the converter found.
        DataError: images or labels are missing.
    """

    HOW_TO_GET = (
        'convert your labels with "openseg convert-dataset labelme SRC DST" (or '
        'coco_polygons, masks, lists, polygon_list, yolo_seg, cvat, via, label_studio)'
    )

    def __init__(self, *, metainfo: dict | None = None, **kwargs) -> None:
        if not metainfo or not metainfo.get('classes'):
            raise ConfigError(
                "CustomDataset needs metainfo=dict(classes=('background', '...')): names in the "
                'order '
                'of the label values'
            )
        palette = _converted_palette(kwargs.get('data_root'), len(metainfo['classes']))
        super().__init__(metainfo={'palette': palette, **metainfo}, **kwargs)

    def pairs(self) -> Iterator[tuple[str, str | None]]:
        """As the base; first compares the classes with those of the conversion."""
        self._check_classes()
        return super().pairs()

    def _check_classes(self) -> None:
        path = Path(self.data_root or '', _SUMMARY)
        if not path.is_file():
            return
        try:
            summary = parse_json(path.read_text(encoding='utf-8'))
            if not {'format', 'converter'} <= summary.keys():
                return  # somebody else's file: the name is a common one
            converted = summary['classes']
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f'{path} cannot be read ({error}): convert the data again') from error
        # names may be nicer in the config, or there alone; their number decides what the label
        # values mean
        if converted and len(converted) != len(self._metainfo['classes']):
            raise ConfigError(
                f'the config names {len(self._metainfo["classes"])} classes but {path} was '
                f'converted with {len(converted)}: write classes = {tuple(converted)}'
            )


def _converted_palette(root: str | None, number: int) -> list[list[int]]:
    """Colors that the converter wrote for as many classes; empty where there are none."""
    try:
        stored = parse_json(Path(root or '', _SUMMARY).read_text(encoding='utf-8'))
        colors = [[int(v) for v in color] for color in stored['palette']]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # what is wrong with the file is said when the classes are compared
    fits = len(colors) == number and all(len(color) == 3 for color in colors)
    return colors if fits else []


_MAX_COLUMNS = 3  # HRNet's lists may have a third one, which nobody reads
_NAMED = 5  # files and lines that an error names


@DATASETS.register_module()
class ListDataset(SegDataset):
    """Samples from a list file, as HRNet keeps them: ``train/images/a.jpg train/labels/a.png``.

    Two columns apart by blanks or tabs; names with blanks in them need a tab between the columns.
    Paths are absolute, or start at ``data_root`` or at the folders of ``data_prefix``. A third
    column, empty lines and lines that begin with ``#`` are passed over. For testing the labels may
    be left out, on all lines.

    Args:
        ann_file: the list file, relative to ``data_root``.
        metainfo: ``classes`` in label order, ``palette``, and perhaps ``void_ids``, ``flip_pairs``.
        **kwargs: as for :class:`SegDataset`; suffixes have no meaning.

    Raises:
        ConfigError: no list file or no classes are named.
        DataError: the list or files in it are missing, or lines are not understood; all of them
            are counted, and the first five named.
    """

    def __init__(self, *, ann_file: str = '', metainfo: dict | None = None, **kwargs) -> None:
        if not ann_file:
            raise ConfigError("ListDataset needs ann_file='train.lst' or the like")
        if not {**self.METAINFO, **(metainfo or {})}.get('classes'):
            raise ConfigError(
                f"ListDataset for {ann_file} needs metainfo=dict(classes=('...', ...)): names in "
                'the order of the label values'
            )
        super().__init__(ann_file=ann_file, metainfo=metainfo, **kwargs)

    def pairs(self) -> Iterator[tuple[str, str | None]]:
        """Image and label (None without one) of every line, in the order of the list.

        Raises:
            DataError: see the class.
        """
        first, number, without = None, 0, 0
        missing: dict[str, None] = {}
        is_local = self.backend_args is None
        for image, label in self._checked():
            number += 1
            if label is None:
                without += 1
                first = first or image
            for path in (image, label) if is_local else ():
                if path and not osp.isfile(path):
                    missing[path] = None
        if without and (not self.test_mode or without < number):
            raise DataError(
                f'{self.ann_file}: {without} of {number} lines have no label, the first '
                f'is {first}: training needs one for every image, testing for all or none'
            )
        if missing:
            self._refuse_missing(list(missing))
        return ((image, label) for image, label, _ in self._listed())

    def listed(self) -> list[tuple[str, str | None, str]]:
        """Image, label (None where a line has one column) and line, in the order of the list.

        Raises:
            DataError: the list is missing, is no text, is empty, or has lines of other columns.
        """
        for _ in self._checked():
            pass
        return list(self._listed())

    def _listed(self) -> Iterator[tuple[str, str | None, str]]:
        for _, words, line in self._lines():
            yield *self._pair(words), line

    def _pair(self, words: list[str]) -> tuple[str, str | None]:
        label = self._path('seg_map_path', words[1]) if len(words) > 1 else None
        return self._path('img_path', words[0]), label

    def _checked(self) -> Iterator[tuple[str, str | None]]:
        """Image and label of every line; raises at the end for lines that are none."""
        wrong, is_empty = [], True
        for number, words, _ in self._lines():
            is_empty = False
            if len(words) > _MAX_COLUMNS:
                wrong.append((number, words))
            elif not wrong:
                yield self._pair(words)
        if wrong:
            shown = ', '.join(f'{number} ({len(words)})' for number, words in wrong[:_NAMED])
            raise DataError(
                f'{self.ann_file}: {_lines_have(len(wrong))} more columns than image, label and '
                f'a third one; line (columns): {shown}{_rest(len(wrong))}: where names have blanks '
                'in them, put a tab between the columns of every line'
            )
        if is_empty:
            raise DataError(
                f'{self.ann_file} names no images: write an image and its label on every line'
            )

    def _lines(self) -> Iterator[tuple[int, list[str], str]]:
        """Number, columns and text of the lines that have any."""
        try:
            # a carriage return alone is no end of a line
            with open(self.ann_file, encoding='utf-8-sig', newline='\n') as file:
                for number, line in enumerate(file, start=1):
                    words = _columns(line)
                    if words:
                        yield number, words, line.strip()
        except FileNotFoundError as error:
            raise DataError(
                f'list file {self.ann_file} does not exist: write one, or set ann_file, data_root '
                'or the environment variable DATA_ROOT'
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f'{self.ann_file} is not a text file: save it as UTF-8') from error

    def _refuse_missing(self, missing: list[str]) -> None:
        more = [
            ' (a column ends at a blank: where names have blanks in them, put a tab between)'
            for _, _, line in self._listed()
            if '\t' not in line and len(line.split()) == _MAX_COLUMNS
        ]
        what = 'file that does' if len(missing) == 1 else 'files that do'
        raise DataError(
            f'{self.ann_file} names {len(missing)} {what} not exist: '
            f'{", ".join(missing[:_NAMED])}{_rest(len(missing))}; paths start at '
            f'data_root={self.data_root!r}{more[0] if more else ""}: put the files there, or run '
            'openseg check-dataset, which gives lists without them'
        )

    def _path(self, kind: str, name: str) -> str:
        folder = self.data_prefix.get(kind) or self.data_root or ''
        if name[0] in '/\\' or ':' in name:  # perhaps absolute
            return osp.join(folder, name)
        return _begin(folder) + name


@functools.lru_cache(maxsize=8)
def _begin(folder: str) -> str:
    """What stands before names in a folder; joining a million paths takes seconds."""
    return osp.join(folder, '') if folder else ''


def _columns(line: str) -> list[str]:
    """Columns of a line: apart by tabs where it has any, else by blanks; none in a comment."""
    words = line.split()
    if words and words[0].startswith('#'):
        return []
    if '\t' not in line.strip():
        return words
    return [word for part in line.split('\t') if (word := part.strip())]


def _lines_have(number: int) -> str:
    return '1 line has' if number == 1 else f'{number} lines have'


def _rest(number: int) -> str:
    return f' and {number - _NAMED} more' if number > _NAMED else ''
