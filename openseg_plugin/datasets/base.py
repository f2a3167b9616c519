"""Base of our datasets: mmseg's, with clear errors, label checks and left/right class pairs."""

import array
import os
import os.path as osp
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from mmengine import fileio
from mmengine.dataset import BaseDataset
from mmseg.datasets import BaseSegDataset

from openseg_plugin.datasets.label_table import label_table
from openseg_plugin.errors import DataError
from openseg_plugin.registry import DATASETS
from openseg_plugin.utils.files import IMAGE_ENDINGS
from openseg_plugin.utils.images import check_image


@DATASETS.register_module()
class SegDataset(BaseSegDataset):
    """Images and labels with equal stems in two folders.

    METAINFO (or ``metainfo=``) of a dataset may hold, besides ``classes`` and ``palette``:

    - ``flip_pairs``: pairs of class names or of train ids that change places when an image is
      flipped (left arm, right arm); in ``dataset.metainfo`` and in the results of every sample
      they are train ids.
    - ``void_ids``: raw label values that are ignored.

    Args:
        img_suffix: ending of the images, or several of them.
        **kwargs: as in mmseg's ``BaseSegDataset``. Without ``seg_map_path`` in ``data_prefix``
            the split has no labels.

    Raises:
        DataError: a folder is missing, has no images, or images have no labels.
    """

    METAINFO: dict = {}
    # How a user gets the converted layout; subclasses name their converter.
    HOW_TO_GET = 'put images and labels there'
    _fully_initialized: bool
    checks_images = True  # whether a sample's image file is looked at before it is decoded

    def __init__(self, *, img_suffix: str | Sequence[str] = '.jpg', **kwargs) -> None:
        suffix = img_suffix if isinstance(img_suffix, str) else tuple(img_suffix)
        super().__init__(img_suffix=suffix, **kwargs)

    def full_init(self) -> None:
        """Lists the samples; once."""
        if self._fully_initialized:
            return
        classes = self._metainfo.get('classes', ())
        self._metainfo['flip_pairs'] = pair_ids(self._metainfo.get('flip_pairs', ()), classes)
        self.label_table = label_table(
            len(classes) or 255,
            ignore_index=self.ignore_index,
            reduce_zero_label=self.reduce_zero_label,
            label_map=self.label_map,
            void_ids=self._metainfo.get('void_ids', ()),
        )
        # somebody's class that lists its samples by itself is kept as mmengine does
        self._is_packed = self.serialize_data and (
            type(self).load_data_list is SegDataset.load_data_list
            and type(self).filter_data in (BaseSegDataset.filter_data, BaseDataset.filter_data)
        )
        if not self._is_packed:
            super().full_init()
            return
        self.data_list: list[dict] = []
        self.data_bytes, self.data_address = packed(self.pairs(), self._folders())
        self._fully_initialized = True
        if self._indices is not None:
            self.get_subset_(self._indices)

    def load_data_list(self) -> list[dict]:
        """One dict per sample, sorted by name: img_path, seg_map_path (if any), label_map, ..."""
        return [self._sample(*pair) for pair in self.pairs()]

    def pairs(self) -> Iterator[tuple[str, str | None]]:
        """Image and label (None without one) of every sample, sorted by name."""
        folder = self.data_prefix.get('img_path')
        label_folder = self.data_prefix.get('seg_map_path')
        if label_folder is None and not self.test_mode:
            raise DataError(
                f'training needs labels: name their folder next to {folder} in the config'
            )
        images = self._list_images(folder)
        labels = None if label_folder is None else self._list_labels(images, label_folder)
        for stem in sorted(images):
            label = None
            if labels is not None:
                label = osp.join(label_folder, stem + labels[stem])
            yield osp.join(folder, stem + images[stem]), label

    def _folders(self) -> tuple[str, str]:
        """Begins of most paths of images and of labels."""
        kinds = ('img_path', 'seg_map_path')
        folders = (self.data_prefix.get(kind) or self.data_root or '' for kind in kinds)
        image, label = (osp.join(folder, '') if folder else '' for folder in folders)
        return image, label

    def _sample(self, image: str, label: str | None) -> dict:
        """What a pipeline needs to know about one image and its label, if it has one."""
        # mmseg's own LoadAnnotations reads this map, after reduce_zero_label
        void_ids = self._metainfo.get('void_ids', ())
        void_map = {i - int(self.reduce_zero_label): self.ignore_index for i in void_ids}
        sample = {
            'img_path': image,
            'label_map': {**(self.label_map or {}), **void_map} or None,
            'reduce_zero_label': self.reduce_zero_label,
            'seg_fields': [],
        }
        return sample if label is None else sample | {'seg_map_path': label}

    def get_data_info(self, idx: int) -> dict:
        """What the pipeline starts from; adds flip_pairs and label_table (256,) to the sample.

        crop_point (x, y), a pixel that crops must contain, comes from samplers that ask for one.

        Raises:
            DataError: the image is missing or cut short (local files only).
        """
        if not self._fully_initialized:
            self.full_init()
        if self._is_packed:
            number = idx if idx >= 0 else idx + len(self)
            pair = unpacked(self.data_bytes, self.data_address, number, self._folders())
            info = self._sample(*pair) | {'sample_idx': number}
        else:
            info = super().get_data_info(idx)
        if self.backend_args is None and self.checks_images:
            check_image(info['img_path'])
        info['flip_pairs'] = self._metainfo['flip_pairs']
        info['label_table'] = self.label_table
        point = getattr(idx, 'point', None)
        if point is not None:
            info['crop_point'] = point
        return info

    def prepare_data(self, idx: int):
        """Runs the pipeline on one sample; an image that no decoder takes raises DataError."""
        try:
            return super().prepare_data(idx)
        except AssertionError as error:
            # mmcv's LoadImageFromFile; other assertions are no one's broken file
            if 'failed to load image' not in str(error):
                raise
            path = self.get_data_info(idx)['img_path']
            raise DataError(
                f'image {path} cannot be decoded: replace it by an intact copy'
            ) from error

    def _list_images(self, folder: str) -> dict[str, str]:
        """Stem (with sub-folders) -> suffix of the images of the split.

        Lines of ``ann_file`` may have the ending of the images or not.
        """
        if self.ann_file:
            with open(self.ann_file, encoding='utf-8-sig') as file:
                lines = [line.strip() for line in file if line.strip()]
            return dict(split_ending(line, self.img_suffix) for line in lines)
        if not fileio.isdir(folder, backend_args=self.backend_args):
            raise DataError(
                f'folder {folder} does not exist: {self.HOW_TO_GET}, or set the environment '
                'variable DATA_ROOT to the folder that holds all datasets'
            )
        images = _by_stem(folder, self.img_suffix, self.backend_args)
        if not images:
            raise DataError(
                f'folder {folder} has no images that end in {self.img_suffix}: {self.HOW_TO_GET}'
            )
        return images

    def _list_labels(self, images: dict[str, str], label_folder: str) -> dict[str, str]:
        """Stem -> suffix of the labels of the images."""
        if not fileio.isdir(label_folder, backend_args=self.backend_args):
            raise DataError(
                f'label folder {label_folder} does not exist although there are {len(images)} '
                f'images: {self.HOW_TO_GET}'
            )
        labels = _by_stem(label_folder, self.seg_map_suffix, self.backend_args)
        missing = sorted(images.keys() - labels.keys())
        if missing:
            raise DataError(
                f'{len(missing)} of {len(images)} images have no label in {label_folder}, the '
                f'first is {missing[0]}{self.seg_map_suffix}: {self.HOW_TO_GET}'
            )
        return labels


class ConvertedDataset(SegDataset):
    """Base of the datasets that ``openseg convert-dataset`` writes: images, and labels as PNG.

    Raw trees load too: give ``data_prefix`` and suffixes.

    Args:
        img_suffix: endings of the images.
        seg_map_suffix: ending of the labels.
        reduce_zero_label: raw 0 is ignored and raw k is class k - 1; None: as the converter writes
            this dataset.
        **kwargs: as for :class:`SegDataset`.
    """

    REDUCE_ZERO_LABEL = False

    def __init__(
        self,
        *,
        img_suffix: str | Sequence[str] = IMAGE_ENDINGS,
        seg_map_suffix: str = '.png',
        reduce_zero_label: bool | None = None,
        **kwargs,
    ) -> None:
        super().__init__(
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            reduce_zero_label=(
                self.REDUCE_ZERO_LABEL if reduce_zero_label is None else reduce_zero_label
            ),
            **kwargs,
        )


_SHORT = '\1'  # stands for the folder at the begin of a path
_END = '\0'  # between image and label; no path holds either


def packed(
    pairs: Iterable[tuple[str, str | None]], folders: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """The paths of all samples as bytes, one after the other, and where each ends.

    Loading processes share the arrays with their parent, which objects of Python, whose counters
    of references change, are not.

    Args:
        pairs: image and label (None without one).
        folders: begins of paths of images and of labels, which are kept once.
    """
    content = bytearray()
    ends = array.array('q')
    for pair in pairs:
        parts = [
            _SHORT + path[len(folder) :] if folder and path.startswith(folder) else path
            for path, folder in zip(pair, folders)
            if path is not None
        ]
        content += os.fsencode(_END.join(parts))
        ends.append(len(content))
    return np.frombuffer(content, np.uint8), np.frombuffer(ends, np.int64)


def unpacked(
    content: np.ndarray, ends: np.ndarray, number: int, folders: tuple[str, str]
) -> tuple[str, str | None]:
    """Image and label of one sample of :func:`packed`."""
    start = int(ends[number - 1]) if number else 0
    parts = os.fsdecode(content[start : int(ends[number])].tobytes()).split(_END)
    image, label = (
        folder + part[1:] if part is not None and part.startswith(_SHORT) else part
        for part, folder in zip([*parts, None][:2], folders)
    )
    assert image is not None, 'every sample has an image'
    return image, label


def metainfo(
    classes: Sequence[str], palette: Sequence[Sequence[int]], **more: Sequence
) -> dict[str, Sequence]:
    """METAINFO from constants of the converters; mmengine wants the palette as lists."""
    return dict(classes=tuple(classes), palette=[list(color) for color in palette], **more)


def how_to_convert(name: str, options: str = '') -> str:
    """What to do when there is no converted dataset."""
    tail = f' {options}' if options else ''
    return f'convert the release with "openseg convert-dataset {name} SRC DST{tail}"'


def split_ending(name: str, suffix: str | tuple[str, ...]) -> tuple[str, str]:
    """Stem and ending of a name; the first known ending where it has none, in any case."""
    suffixes = (suffix,) if isinstance(suffix, str) else suffix
    ending = next((s for s in suffixes if name.lower().endswith(s.lower())), None)
    if ending is None:
        return name, suffixes[0]
    length = len(name) - len(ending)
    return name[:length], sys.intern(name[length:])  # one object for a million names


def _by_stem(folder: str, suffix: str | tuple[str, ...], backend_args: dict | None) -> dict:
    """Name without suffix -> suffix, for the files below a folder; .PNG is .png."""
    suffixes = (suffix,) if isinstance(suffix, str) else suffix
    endings = tuple(s.lower() for s in suffixes)
    names = fileio.list_dir_or_file(
        folder, list_dir=False, recursive=True, backend_args=backend_args
    )
    return dict(split_ending(name, suffixes) for name in names if name.lower().endswith(endings))


def pair_ids(pairs: Sequence[Sequence], classes: Sequence[str]) -> list[list[int]]:
    """Pairs of names or ids -> pairs of train ids; pairs with a class that is not used are dropped.

    Raises:
        ValueError: an id that is no class, or a name of several classes.
    """
    ids = []
    for pair in pairs:
        if all(isinstance(side, str) for side in pair):
            several = [side for side in pair if list(classes).count(side) > 1]
            if several:
                raise ValueError(
                    f'flip_pairs: {several[0]!r} is the name of several classes: give class ids'
                )
            if all(side in classes for side in pair):
                ids.append([list(classes).index(side) for side in pair])
        elif all(0 <= side < len(classes) for side in pair):
            ids.append([int(side) for side in pair])
        else:
            raise ValueError(f'flip_pairs: {tuple(pair)} are not ids of the {len(classes)} classes')
    return ids
