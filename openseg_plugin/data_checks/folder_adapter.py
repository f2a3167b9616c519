"""Finds images and labels that belong together, in folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from openseg_plugin.converters.datasets.core import summary
from openseg_plugin.converters.datasets.core.find import walk_files
from openseg_plugin.data_checks.dataset_spec import Pair, Rules, Source, Split
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS, SPLITS, parse_json

IMAGE_FOLDERS = ('image', 'images', 'img', 'imgs', 'JPEGImages', 'leftImg8bit')
LABEL_FOLDERS = (
    'label',
    'labels',
    'mask',
    'masks',
    'annotations',
    'annotation',
    'gt',
    'gtFine',
    'SegmentationClass',
)
# Endings of released files that their images do not have, longest first
_ENDINGS = ('_gtFine_labelTrainIds', '_gtFine_labelIds', '_leftImg8bit', '_mask', '_label', '_gt')


@dataclass(frozen=True)
class Folders:
    """Where the files of a split are."""

    images: Path
    labels: Path | None
    part: str  # train, val, test, or '' where the folders name no split


def match(images: Sequence[Path], labels: Sequence[Path], where: Folders) -> tuple[list, list]:
    """Pairs of files with one name, and labels without image.

    An image without label is paired with the path where its label should be.
    """
    by_name = {_name(path, where.labels): path for path in labels}
    pairs, used = [], set()
    for image in images:
        name = _name(image, where.images)
        label = None
        if where.labels is not None:
            label = by_name.get(name, where.labels / f'{name}.png')
            used.add(name)
        pairs.append(Pair(image, label))
    return pairs, [path for name, path in by_name.items() if name not in used]


def _name(path: Path, folder: Path | None) -> str:
    name = path.relative_to(folder).with_suffix('').as_posix() if folder else path.stem
    for ending in _ENDINGS:
        if name.endswith(ending):
            return name[: -len(ending)]
    return name


def read_folder(
    root: Path, *, classes: Sequence[str] = (), num_classes: int = 0, **options: Any
) -> Source:
    """A converted folder, or folders of images and labels, with or without splits.

    Args:
        root: ``<split>/{image,label}`` with dataset.json or without, ``images/<split>`` and
            ``labels/<split>``, or ``images`` and ``labels``.
        classes: names, if dataset.json has none or others are meant.
        num_classes: their number, where they have no names.
        options: ``splits`` to look at, ``reduce_zero_label``, ``ignore_exif`` (images are not
            turned as EXIF data say).

    Raises:
        DataError: there are no such folders.
    """
    if not root.is_dir():
        raise DataError(f'{root} is neither a config nor a folder: give one of them')
    found, image_folder, label_folder = _layout(root)
    wanted = options.get('splits')
    chosen = [f for f in found if not wanted or f.part in wanted]
    if not chosen:
        raise DataError(
            f'{root} has no split {" or ".join(wanted or ())}: it has '
            f'{", ".join(f.part for f in found) or "no splits"}'
        )
    rules = _rules(root, classes, num_classes, bool(options.get('reduce_zero_label')))
    size = _size(root)
    splits = [
        replace(_split(folders, rules, ignore_exif=bool(options.get('ignore_exif'))), size=size)
        for folders in chosen
    ]
    if not any(split.pairs for split in splits):
        raise DataError(f'{root} has no images that end in {", ".join(IMAGE_ENDINGS)}')
    release = 'cityscapes' if image_folder == 'leftImg8bit' and label_folder == 'gtFine' else ''
    return Source(
        str(root),
        splits,
        root=root,
        image_folder='' if release else image_folder,
        label_folder='' if release else label_folder,
        release=release,
    )


def _split(folders: Folders, rules: Rules, *, ignore_exif: bool) -> Split:
    labels = [] if folders.labels is None else walk_files(folders.labels)
    images = walk_files(folders.images)
    pairs, extra = match(images, labels, folders)
    return Split(
        folders.part or 'all',
        pairs,
        rules,
        extra,
        turns_images=not ignore_exif,
        part=folders.part,
    )


def _layout(root: Path) -> tuple[list[Folders], str, str]:
    """Folders of every split, and what those of images and labels are called."""
    images, labels = _first(root, IMAGE_FOLDERS), _first(root, LABEL_FOLDERS)
    if images and labels:
        parts = [part for part in SPLITS if (root / images / part).is_dir()]
        found = [
            Folders(
                root / images / part,
                root / labels / part if (root / labels / part).is_dir() or part != 'test' else None,
                part,
            )
            for part in parts or ['']
        ]
        return found, images, labels
    found = []
    for part in SPLITS:
        images_here = _first(root / part, IMAGE_FOLDERS)
        labels_here = _first(root / part, LABEL_FOLDERS)
        if images_here and (labels_here or part == 'test'):
            images, labels = images or images_here, labels or labels_here
            here = root / part
            found.append(
                Folders(here / images_here, here / labels_here if labels_here else None, part)
            )
    if not found:
        raise DataError(
            f'{root} has no folders of images and labels: SPLIT/image and SPLIT/label, or '
            'images/SPLIT and labels/SPLIT, or images and labels are needed'
        )
    return found, images or '', labels or ''


def _summary(root: Path) -> dict[str, Any]:
    """What the converter wrote about its folder; empty where somebody else's file has the name.

    Raises:
        DataError: a converter wrote it, but it is broken or of another version.
    """
    try:
        return summary.load(root) or {}
    except DataError:
        try:
            content = parse_json((root / summary.NAME).read_text(encoding='utf-8'))
        except ValueError:
            content = {'converter': None}  # perhaps one of ours, cut short
        if isinstance(content, dict) and 'converter' in content:
            raise
        return {}


def _size(root: Path) -> tuple[int, int] | None:
    """(width, height) of the labels of a converted set whose images are larger."""
    size = _summary(root).get('label_size')
    return None if size is None else (size[1], size[0])


def _first(folder: Path, names: Sequence[str]) -> str | None:
    return next((name for name in names if os.path.isdir(folder / name)), None)


def _rules(root: Path, classes: Sequence[str], number: int, reduce_zero_label: bool) -> Rules:
    stored = _summary(root)
    names = tuple(classes) or tuple(stored.get('classes', ()))
    palette = tuple(tuple(color) for color in stored.get('palette', ()))
    if number and number != len(names):
        names = tuple(f'class_{k}' for k in range(number))
    if len(palette) != len(names):
        palette = ()
    return Rules(
        names,
        palette,
        ignore_index=int(stored.get('ignore_index') or 255),
        reduce_zero_label=reduce_zero_label or bool(stored.get('reduce_zero_label')),
    )
