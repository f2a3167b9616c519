"""Data sets given by list files ``.lst``: a picture and its label on every line."""

import os.path as osp

from openseg_plugin.datasets.base import SegDataset
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import DATASETS

_MAX_COLUMNS = 3  # HRNet's lists may have a third one, which nobody reads


@DATASETS.register_module()
class ListDataset(SegDataset):
    """Samples from a list file, as HRNet keeps them: ``train/images/a.jpg train/labels/a.png``.

    Two columns apart by blanks or tabs; paths start at ``data_root``, or at the folders of
    ``data_prefix``. A third column and empty lines are passed over. For testing the labels may be
    left out, on all lines.

    Args:
        ann_file: the list file, relative to ``data_root``.
        metainfo: ``classes`` in label order, ``palette``, and perhaps ``void_ids``, ``flip_pairs``.
        **kwargs: as for :class:`SegDataset`; suffixes have no meaning.

    Raises:
        ConfigError: no list file or no classes are named.
        DataError: the list or a file in it is missing, or a line is not understood.
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

    def load_data_list(self) -> list[dict]:
        """One dict per line, in the order of the list."""
        pairs = [self._pair(words, number) for number, words in self._lines()]
        if not pairs:
            raise DataError(
                f'{self.ann_file} names no pictures: write a picture and its label a line'
            )
        without = [picture for picture, label in pairs if label is None]
        if without and (not self.test_mode or len(without) < len(pairs)):
            raise DataError(
                f'{self.ann_file}: {len(without)} of {len(pairs)} lines have no label, the first '
                f'is {without[0]}: training needs one for every picture, testing for all or none'
            )
        missing = [path for pair in pairs for path in pair if path and not osp.isfile(path)]
        if missing and self.backend_args is None:
            raise DataError(
                f'{self.ann_file} names {len(missing)} files that do not exist, the first is '
                f'{missing[0]}: paths start at data_root={self.data_root!r}'
            )
        return [self._sample(*pair) for pair in pairs]

    def _lines(self) -> list[tuple[int, list[str]]]:
        """Number and words of the lines that have any."""
        try:
            with open(self.ann_file, encoding='utf-8-sig') as file:
                lines = file.read().splitlines()
        except FileNotFoundError as error:
            raise DataError(
                f'list file {self.ann_file} does not exist: write one, or set ann_file, data_root '
                'or the environment variable DATA_ROOT'
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f'{self.ann_file} is not a text file: save it as UTF-8') from error
        numbered = ((number, line.split()) for number, line in enumerate(lines, start=1))
        return [(number, words) for number, words in numbered if words]

    def _pair(self, words: list[str], number: int) -> tuple[str, str | None]:
        """Paths of a picture and of its label, if it has one."""
        if len(words) > _MAX_COLUMNS:
            raise DataError(
                f'{self.ann_file}, line {number} has {len(words)} columns where picture and label '
                'are needed: paths must not contain blanks'
            )
        label = self._path('seg_map_path', words[1]) if len(words) > 1 else None
        return self._path('img_path', words[0]), label

    def _path(self, kind: str, name: str) -> str:
        return osp.join(self.data_prefix.get(kind) or self.data_root or '', name)
