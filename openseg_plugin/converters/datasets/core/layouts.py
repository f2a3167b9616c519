"""Where users keep images and label images: folders, splits, and names that belong together.

Known are ``images/`` and ``labels/`` (or one of many other names, in any case) with or without
folders of splits, folders of splits with images and labels in them, ``train/`` beside
``train_labels/``, images and labels side by side in one folder, and VOC's folders with lists.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from openseg_plugin.converters.datasets.core.find import composed, read_names, walk_files
from openseg_plugin.converters.datasets.core.pairs import split_in_name
from openseg_plugin.converters.datasets.core.plan import UNDIVIDED
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import (
    IMAGE_ENDINGS,
    LABEL_ENDINGS,
    SPLIT_WORDS,
    SPLITS,
    split_of_word,
)

_IMAGE_WORDS = (
    *('images', 'image', 'img', 'imgs', 'jpegimages', 'leftimg8bit', 'imgdir', 'photos'),
    *('rgb', 'input', 'inputs'),
)
_LABEL_WORDS = (
    *('labels', 'label', 'masks', 'mask', 'annotations', 'annotation', 'annot', 'annots', 'gt'),
    *('segmentationclass', 'anndir', 'segmentations', 'segmentation', 'groundtruth', 'pngmasks'),
    *('masksmachine', 'segmentationclasspng', 'gtfine', 'target', 'targets'),
)
# What labels are called more than their images, where both lie in one folder.
_SUFFIXES = ('_mask', '_masks', '_label', '_labels', '_gt', '_seg', '_segmentation', '_L', '-mask')
_PREFIXES = ('mask_', 'label_', 'gt_', 'seg_')
_YEAR = re.compile(f'({"|".join(sorted(SPLIT_WORDS, key=len, reverse=True))})[0-9]+')
_LISTS = 'ImageSets/Segmentation'
_DEPTH = 3  # folders around the data that an archive may add


@dataclass(frozen=True)
class Names:
    """What a label is called more than its image.

    Attributes:
        prefix: in front of the name.
        suffix: behind it, before the ending.
    """

    prefix: str = ''
    suffix: str = ''

    def bare(self, name: str) -> str | None:
        """Name of the image for the name of a label (both perhaps with folders), or None."""
        folder, mark, stem = name.rpartition('/')
        if not (stem.startswith(self.prefix) and stem.endswith(self.suffix)):
            return None
        rest = stem[len(self.prefix) : len(stem) - len(self.suffix)]
        return f'{folder}{mark}{rest}' if rest else None

    def __bool__(self) -> bool:
        return bool(self.prefix or self.suffix)

    def __str__(self) -> str:
        prefix = f'--label-prefix {self.prefix}' if self.prefix else ''
        suffix = f'--label-suffix {self.suffix}' if self.suffix else ''
        return ' '.join(filter(None, (prefix, suffix)))


@dataclass
class Part:
    """Images and labels of a split.

    Attributes:
        split: its name, or :data:`UNDIVIDED`.
        images: name, with folders, without ending -> image.
        labels: the same for label images.
    """

    split: str
    images: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, Path] = field(default_factory=dict)


@dataclass
class Layout:
    """What was found below a source folder.

    Attributes:
        root: folder that holds the folders of images and labels.
        parts: one per split.
        names: what labels are called more than their images.
        read: list files that say the splits.
        is_guessed: the names were found out, not given.
        notices: what is odd about the lists.
    """

    root: Path
    parts: list[Part]
    names: Names
    read: list[Path] = field(default_factory=list)
    is_guessed: bool = False
    notices: list[str] = field(default_factory=list)


def find_layout(src: Path, *, image_folder: str, label_folder: str, names: Names) -> Layout:
    """Images and labels that belong together.

    Args:
        src: the source.
        image_folder: folder of the images, or empty: found by its name.
        label_folder: folder of the labels, or empty.
        names: what labels are called more than their images, as the user says.

    Raises:
        DataError: there are no such folders, or two images have the same name.
    """
    names = Names(names.prefix, _without_ending(names.suffix))
    root = src if image_folder or label_folder else _inner(src)
    folders = _folders(root, image_folder, label_folder)
    if not folders:
        raise DataError(
            f'{src} has no folders of images and labels, such as images/ and labels/: name them '
            'with --image-folder and --label-folder'
        )
    files = [(split, *_files(images, labels, names)) for split, images, labels in folders]
    chosen, is_guessed = names, False
    if not names:
        chosen = _guess([(images, labels) for _, images, labels in files])
        is_guessed = bool(chosen)
    parts: dict[str, Part] = {}
    for split, images, labels in files:
        part = parts.setdefault(split, Part(split))
        _add(part.images, images)
        _add(part.labels, _matched(images, labels, chosen))
    found = list(parts.values())
    lists: list[Path] = []
    notices: list[str] = []
    if len(found) == 1 and found[0].split == UNDIVIDED:
        found, lists, notices = _divide_by_lists(root, found[0])
    return Layout(root, found, chosen, lists, is_guessed, notices)


def _without_ending(suffix: str) -> str:
    """``_mask.png`` -> ``_mask``: what a label is called more goes before its ending."""
    is_with_ending = suffix.lower().endswith(LABEL_ENDINGS)
    return os.path.splitext(f'x{suffix}')[0][1:] if is_with_ending else suffix


def _inner(src: Path) -> Path:
    """The folder with the data: an archive may put one or two others around it."""
    folder = src
    for _ in range(_DEPTH):
        inside = [p for p in _subfolders(folder) if p.name != '__MACOSX']
        is_plain = len(inside) == 1 and not _has_images(folder)
        if not is_plain or _role(inside[0].name) != (None, None):
            return folder
        folder = inside[0]
    return folder


def _plain(name: str) -> str:
    return ''.join(c for c in name.lower() if c.isalnum())


def _role(name: str) -> tuple[str | None, str | None]:
    """Split and kind (``'image'`` or ``'label'``) that a folder's name says: train_labels."""
    plain = _YEAR.sub(r'\1', _plain(name))
    for word in ('', *sorted(SPLIT_WORDS, key=len, reverse=True)):
        split = split_of_word(word)
        for rest in {plain.removeprefix(word), plain.removesuffix(word)}:
            if word and rest == plain:
                continue
            if rest in _IMAGE_WORDS:
                return split, 'image'
            if rest in _LABEL_WORDS:
                return split, 'label'
            if not rest and word:
                return split, None
    return None, None


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith('.'))


def _of_kind(folder: Path, given: str, kind: str) -> Path | None:
    """The folder of images or labels inside another: the given one, or by its name."""
    if given:
        return folder / given if (folder / given).is_dir() else None
    words = _IMAGE_WORDS if kind == 'image' else _LABEL_WORDS
    found = [p for p in _subfolders(folder) if _role(p.name) == (None, kind)]
    return min(found, key=lambda p: words.index(_plain(p.name)), default=None)


def _folders(root: Path, given_images: str, given_labels: str) -> list[tuple[str, Path, Path]]:
    """Split, folder of images and folder of labels; equal where both lie in one folder."""
    images = _of_kind(root, given_images, 'image')
    labels = _of_kind(root, given_labels, 'label')
    if images and labels:
        return _by_kind(images, labels)
    found = _by_split(root, given_images, given_labels)
    if not found and not (given_images or given_labels):
        found = _side_by_side(root)
    return found


def _by_kind(images: Path, labels: Path) -> list[tuple[str, Path, Path]]:
    """Folders of splits inside those of images and of labels, or these themselves."""
    of_images, of_labels = _split_folders(images), _split_folders(labels)
    if not of_images:
        return [(UNDIVIDED, images, labels)]
    found = []
    for split in SPLITS:
        for folder in of_images.get(split, ()):
            same = [p for p in of_labels.get(split, ()) if p.name.lower() == folder.name.lower()]
            others = same or of_labels.get(split) or ([] if of_labels else [labels])
            found.append((split, folder, others[0] if others else labels / folder.name))
    return found


def _split_folders(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path, split in _splits_of(_subfolders(folder)).items():
        found.setdefault(split, []).append(path)
    return found


def _splits_of(folders: Sequence[Path]) -> dict[Path, str]:
    """Folder -> the split that it is called like; else that of a word in it, if all have one."""
    found = {path: split_of_word(path.name) for path in folders}
    if not any(found.values()):
        found = {path: split_in_name(Path(f'{path.name}.x')) for path in folders}
        if None in found.values() or len(set(found.values())) < 2:
            return {}
    return {path: split for path, split in found.items() if split}


def _by_split(root: Path, given_images: str, given_labels: str) -> list[tuple[str, Path, Path]]:
    """Folders of splits: with images and labels in them, beside others, or with both mixed."""
    roles = {path: _role(path.name) for path in _subfolders(root)}
    if not any(split for split, _ in roles.values()):
        roles |= {path: (split, None) for path, split in _splits_of(list(roles)).items()}
    found = []
    for path, (split, kind) in roles.items():
        if split is None or kind == 'label':
            continue
        beside = [p for p, role in roles.items() if role == (split, 'label')]
        images = _of_kind(path, given_images, 'image')
        labels = _of_kind(path, given_labels, 'label')
        if kind is None and images and (labels or split == 'test'):
            found.append((split, images, labels or path / _LABEL_WORDS[0]))
        elif beside and not (given_images or given_labels):
            found.append((split, path, beside[0]))
        elif kind is None and not (given_images or given_labels) and _has_images(path):
            found.append((split, path, path))
    return sorted(found, key=lambda item: SPLITS.index(item[0]))


def _side_by_side(root: Path) -> list[tuple[str, Path, Path]]:
    return [(UNDIVIDED, root, root)] if _has_images(root) else []


def _has_images(folder: Path) -> bool:
    return any(p.name.lower().endswith(IMAGE_ENDINGS) for p in folder.iterdir() if p.is_file())


def _files(images: Path, labels: Path, names: Names) -> tuple[dict[str, Path], dict[str, Path]]:
    """Name -> image and name -> label image, as they are called.

    In one folder a label is told by the user's names, by well-known ones, or by being a PNG.
    """
    if images != labels:
        found = walk_files(labels, LABEL_ENDINGS) if labels.is_dir() else []
        return _by_name(walk_files(images), images), _by_name(found, labels)
    files = walk_files(images, LABEL_ENDINGS)
    stems = {_name(path, images) for path in files}
    known = [names] if names else [Names(suffix=s) for s in _SUFFIXES]
    known += [] if names else [Names(prefix=p) for p in _PREFIXES]
    is_label = {p: any(n.bare(_name(p, images)) in stems for n in known) for p in files}
    if not any(is_label.values()) and not names:
        is_label = {path: path.suffix.lower() in ('.png', '.gif') for path in files}
    pictured = [p for p in files if not is_label[p] and p.name.lower().endswith(IMAGE_ENDINGS)]
    return _by_name(pictured, images), _by_name([p for p in files if is_label[p]], images)


def _name(path: Path, folder: Path) -> str:
    return composed(path.relative_to(folder).with_suffix('').as_posix())


def _by_name(files: Sequence[Path], folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    _add(found, ((_name(path, folder), path) for path in files))
    return found


def _add(found: dict[str, Path], files: Mapping[str, Path] | Iterable[tuple[str, Path]]) -> None:
    """Adds files by name.

    Raises:
        DataError: a name is taken.
    """
    for name, path in files.items() if isinstance(files, Mapping) else files:
        other = found.setdefault(name, path)
        if other != path:
            raise DataError(f'{path} and {other} have the same name: rename one of them')


def _matched(
    images: Mapping[str, Path], labels: Mapping[str, Path], names: Names
) -> dict[str, Path]:
    """Name of the image -> label; labels without image are left out."""
    found: dict[str, Path] = {}
    for name, path in labels.items():
        bare = names.bare(name)
        if bare is None:
            continue
        # a.jpg.png is the label of a.jpg
        shorter = os.path.splitext(bare)[0] if bare.lower().endswith(IMAGE_ENDINGS) else bare
        chosen = bare if bare in images else shorter
        if chosen in images:
            _add(found, {chosen: path})
    return found


def _guess(files: Sequence[tuple[Mapping[str, Path], Mapping[str, Path]]]) -> Names:
    """What labels are called more than their images, where no label is called like an image."""
    pairs = [(images, labels) for images, labels in files if labels]
    if any(_matched(images, labels, Names()) for images, labels in pairs):
        return Names()
    votes: Counter[Names] = Counter()
    for images, labels in pairs:
        stems = {PurePosixPath(name).name for name in images}
        for name in labels:
            stem = PurePosixPath(name).name
            votes.update({Names(suffix=stem[k:]) for k in range(1, len(stem)) if stem[:k] in stems})
            votes.update({Names(prefix=stem[:k]) for k in range(1, len(stem)) if stem[k:] in stems})
    number = sum(len(labels) for _, labels in pairs)
    best = votes.most_common(1)
    # a rule that explains only some of the labels explains nothing
    return best[0][0] if best and best[0][1] * 2 > number else Names()


def _divide_by_lists(root: Path, part: Part) -> tuple[list[Part], list[Path], list[str]]:
    """Parts by VOC's lists of names, where there are some; these lists, and notices."""
    folder = root / _LISTS
    lists = sorted(folder.glob('*.txt')) if folder.is_dir() else []
    splits = {path: split_of_word(path.stem) for path in lists}
    named = [path for path in lists if splits[path]]
    chosen = named or [path for path in lists if path.stem != 'trainval']
    parts: dict[str, Part] = {}
    taken: dict[str, str] = {}
    gone: list[str] = []
    several: list[str] = []
    for path in chosen:
        split = splits[path] or UNDIVIDED
        new = parts.setdefault(split, Part(split))
        for name in _listed(path):
            if name not in part.images:
                gone.append(f'{name} of {path}')
            elif taken.setdefault(name, split) != split:
                several.append(f'{name}: {taken[name]} and {split}')
            else:
                new.images[name] = part.images[name]
                new.labels |= {name: part.labels[name]} if name in part.labels else {}
    if not taken:
        return [part], [], []
    notices = [f'{len(gone)} names of lists have no image, first {gone[0]}'] if gone else []
    if several:
        text = 'images are in lists of several splits and are taken into one, first'
        notices.append(f'{len(several)} {text} {several[0]}')
    return list(parts.values()), lists, notices


def _listed(path: Path) -> list[str]:
    """Names of a list, without endings of images."""
    names = [composed(name).replace('\\', '/') for name in read_names(path)]
    return [
        os.path.splitext(name)[0] if name.lower().endswith(IMAGE_ENDINGS) else name
        for name in names
    ]
