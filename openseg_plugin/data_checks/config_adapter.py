"""What a config trains on, for the data check: its splits, files, classes and heads.

Class counts that a config gives its heads and losses.

What a dataset of the framework does with labels and images, in the data check's terms.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from mmseg.datasets import BaseSegDataset

from openseg_plugin.config.loading import load_config
from openseg_plugin.config.queries import datasets, loads_labels, loads_sample, position_of
from openseg_plugin.converters.datasets.core.find import walk_files
from openseg_plugin.data_checks.dataset_spec import Head, Pair, Rules, Source, Split
from openseg_plugin.datasets.base import SegDataset, split_ending
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import DATASETS, TRANSFORMS
from openseg_plugin.utils.class_weights import CLASS_WEIGHT_SUFFIXES, read_class_weights
from openseg_plugin.utils.files import SPLITS


def read_config(
    path: str, *, options: dict[str, Any] | None = None, splits: Sequence[str] | None = None
) -> Source:
    """The source that a config describes.

    Args:
        path: a config file, or the name of one of ours.
        options: ``--cfg-options``.
        splits: of train, val and test; None for all.

    Raises:
        ConfigError: the config cannot be read or has no such split.
        DataError: a folder or list that its datasets need is missing.
    """
    cfg = load_config(path, options=options)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    found: list[Split] = []
    ours = []
    for name in splits or SPLITS:
        loader = cfg.get(f'{name}_dataloader')
        if loader is None:
            if splits:
                raise ConfigError(f'config {path} has no {name}_dataloader: choose another --split')
            continue
        if name == 'test' and not splits and _same(loader, cfg.get('val_dataloader')):
            continue  # the test split is the val split: once is enough
        parts = list(datasets(loader.dataset, f'{name}_dataloader.dataset'))
        for number, (key, dataset_cfg) in enumerate(parts):
            title = name if len(parts) == 1 else f'{name}[{number}]'
            try:
                split, is_ours = _split(title, key, dataset_cfg)
            except DataError as error:
                others = [s for s in SPLITS if s != name and cfg.get(f'{s}_dataloader')]
                if splits or not found or not others:
                    raise
                raise DataError(f'{error}; or leave it out: --split {" ".join(others)}') from error
            found.append(split)
            ours.append(is_ours)
    if not found:
        raise ConfigError(f'config {path} has no train, val or test dataloader: nothing to check')
    root, image_folder, label_folder = _layout(found)
    return Source(
        path,
        found,
        is_config=True,
        own_classes=all(ours),
        heads=tuple(heads_of(cfg)),
        root=root,
        image_folder=image_folder,
        label_folder=label_folder,
    )


def _same(one: Config, other: Config | None) -> bool:
    keys = ('type', 'data_root', 'data_prefix', 'ann_file')
    return other is not None and all(one.dataset.get(k) == other.dataset.get(k) for k in keys)


def _split(name: str, key: str, cfg: Any) -> tuple[Split, bool]:
    """A split, and whether its class is ours."""
    try:
        dataset, palette = _built(cfg)
    except AssertionError as error:  # mmseg's way to say that a folder or list is missing
        folder = cfg.get('data_root') or ''
        raise DataError(
            f'{key} ({cfg.get("type")}) does not find its files below {folder or "."}: set the '
            f'environment variable DATA_ROOT, or {key}.data_root; {error}'
        ) from error
    is_ours = isinstance(dataset, SegDataset)
    if not isinstance(dataset, BaseSegDataset):
        raise ConfigError(f'{key} is a {type(dataset).__name__}: only segmentation data are read')
    pairs, lines, extra = _pairs(dataset, listed_by=(BaseSegDataset, SegDataset))
    turns, position = loading_of(cfg.get('pipeline') or [])
    return (
        Split(
            name,
            pairs,
            replace(rules_of(dataset), palette=palette) if palette else rules_of(dataset),
            extra,
            turns_images=turns,
            size=size_of(cfg.get('pipeline') or []),
            key=key,
            pipeline_key='' if position is None else f'{key}.pipeline.{position}',
            lines=lines,
            renumbers=bool(dataset.METAINFO.get('classes')),
            load_image=_loader(cfg.get('pipeline') or [], position),
        ),
        is_ours,
    )


def _loader(pipeline: Sequence[Any], position: int | None) -> Callable[[Path], Any] | None:
    """What the pipeline loads images with, as a function of the path."""
    if position is None:
        return None
    transform = TRANSFORMS.build(pipeline[position])

    def load(path: Path) -> Any:
        results = transform(dict(img_path=str(path), seg_fields=[]))
        if results is None:  # a loader with ignore_empty=True
            raise DataError(f'image {path} cannot be loaded')
        return results['img']

    return load


def _built(cfg: Any) -> tuple[Any, tuple]:
    """The dataset, and its palette where that does not fit the classes: mmseg would stop there."""
    try:
        return DATASETS.build({**cfg, 'lazy_init': True}), ()
    except ValueError as error:
        if 'palette does not match' not in str(error):
            raise
    info = dict(cfg.get('metainfo') or {})
    dataset = DATASETS.build({**cfg, 'metainfo': {**info, 'palette': []}, 'lazy_init': True})
    colors = info.get('palette') or dataset.METAINFO.get('palette') or ()
    return dataset, tuple(tuple(int(v) for v in color) for color in colors)


def _pairs(
    dataset: BaseSegDataset, *, listed_by: tuple
) -> tuple[list[Pair], list[str], list[Path]]:
    """Pairs, lines of their list and labels without image; labels that are missing are no error.

    Raises:
        DataError: a list or folder is missing.
    """
    if hasattr(dataset, 'listed'):
        listed = dataset.listed()
        pairs = [Pair(Path(image), _path(label)) for image, label, _ in listed]
        return pairs, [line for _, _, line in listed], []
    # ours list their samples by ``pairs``
    lists = [getattr(type(dataset), name, None) for name in ('load_data_list', 'pairs')]
    own_way = all(
        lists != [getattr(c, name, None) for name in ('load_data_list', 'pairs')] for c in listed_by
    )
    if own_way:
        found = dataset.load_data_list()
        return [Pair(Path(s['img_path']), _path(s.get('seg_map_path'))) for s in found], [], []
    images = Path(dataset.data_prefix['img_path'])
    labels = _path(dataset.data_prefix.get('seg_map_path'))
    suffix = dataset.img_suffix
    suffixes = (suffix,) if isinstance(suffix, str) else tuple(suffix)
    lines: list[str] = []
    there: dict[str, str] = {}
    is_ours = isinstance(dataset, SegDataset)
    if dataset.ann_file:
        if not os.path.isfile(dataset.ann_file):
            raise DataError(f'list {dataset.ann_file} does not exist: set ann_file or data_root')
        with open(dataset.ann_file, encoding='utf-8') as file:
            lines = sorted({line.strip() for line in file if line.strip()})
        names = {stem: stem + suffixes[0] for stem in lines}
        if is_ours:  # ours take lines with the ending too
            names = {split_ending(line, suffixes)[0]: _named(line, suffixes) for line in lines}
        extra: list[Path] = []  # a folder may hold the labels of other lists too
    else:
        names = _by_stem(images, suffixes, any_case=is_ours)
        if labels is not None:
            there = _by_stem(labels, (dataset.seg_map_suffix,), any_case=is_ours)
        extra = [labels / name for stem, name in there.items() if labels and stem not in names]
    pairs = [
        Pair(images / name, labels and labels / there.get(stem, f'{stem}{dataset.seg_map_suffix}'))
        for stem, name in sorted(names.items())
    ]
    return pairs, lines, extra


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


def _named(line: str, suffixes: Sequence[str]) -> str:
    return ''.join(split_ending(line, tuple(suffixes)))


def _by_stem(folder: Path, suffixes: Sequence[str], *, any_case: bool) -> dict[str, str]:
    """Name without ending -> name of the files below a folder."""
    if not folder.is_dir():
        raise DataError(
            f'folder {folder} does not exist: put the data there, or set the environment variable '
            'DATA_ROOT to the folder that holds all datasets'
        )
    found, others = {}, []
    for path in walk_files(folder, [suffix.lower() for suffix in suffixes]):
        name = path.relative_to(folder).as_posix()
        stem, ending = split_ending(name, tuple(suffixes))
        if any_case or ending in suffixes:
            found[stem] = name
        else:
            others.append(ending)
    if not found:
        hint = f' (it has {len(others)} that end in {others[0]})' if others else ''
        raise DataError(
            f'folder {folder} has no files that end in {" or ".join(suffixes)}{hint}: set the '
            'ending in the config (img_suffix, seg_map_suffix), or put the data there'
        )
    return found


def _layout(splits: list[Split]) -> tuple[Path | None, str, str]:
    """Root and folder names, if the converter of masks can read this layout."""
    found = set()
    for split in splits:
        pair = next((p for p in split.pairs if p.label is not None), None)
        if pair is None:
            continue
        images, labels = pair.image_file.parent, pair.label_file.parent
        if images.name in SPLITS and images.name == labels.name:
            split.part = images.name
            images, labels = images.parent, labels.parent
            found.add((images.parent, labels.parent, images.name, labels.name, 'inner'))
        elif images.parent.name in SPLITS and images.parent == labels.parent:
            split.part = images.parent.name
            top = images.parent.parent
            found.add((top, top, images.name, labels.name, 'outer'))
        else:
            found.add((images.parent, labels.parent, images.name, labels.name, 'flat'))
    if len(found) != 1:
        return None, '', ''
    root, other, image_folder, label_folder, _ = found.pop()
    same_names = all(
        p.label is None or p.image_file.stem == p.label_file.stem for s in splits for p in s.pairs
    )
    return (root, image_folder, label_folder) if root == other and same_names else (root, '', '')


_HEADS = ('decode_head', 'auxiliary_head')


def heads_of(cfg: Config) -> Iterator[Head]:
    """Decode and auxiliary heads with their class counts and the lengths of class weights."""
    model = cfg.get('model') or {}
    for name in _HEADS:
        heads = model.get(name)
        if not heads:
            continue
        listed = isinstance(heads, (list, tuple))
        for number, head in enumerate(heads if listed else [heads]):
            key = f'model.{name}.{number}' if listed else f'model.{name}'
            if head.get('num_classes') is not None:
                yield Head(key, head['num_classes'], tuple(_weights(head, key)))


def _weights(head: Any, key: str) -> Iterator[tuple[str, int]]:
    for name in sorted(k for k in head if k.startswith('loss')):
        losses = head[name]
        listed = isinstance(losses, (list, tuple))
        for number, loss in enumerate(losses if listed else [losses]):
            weight = loss.get('class_weight') if hasattr(loss, 'get') else None
            if isinstance(weight, str) and weight.endswith(CLASS_WEIGHT_SUFFIXES):
                weight = read_class_weights(weight)
            if isinstance(weight, (list, tuple)):
                place = f'{key}.{name}.{number}' if listed else f'{key}.{name}'
                yield f'{place}.class_weight', len(weight)


# values of color_type for which the EXIF orientation is not applied
_AS_STORED = ('unchanged', 'color_ignore_orientation', 'grayscale_ignore_orientation')


def rules_of(dataset: BaseSegDataset) -> Rules:
    """Meaning of the label values of one of mmseg's datasets or of ours."""
    info = dataset.metainfo
    return Rules(
        tuple(info.get('classes') or ()),
        _given_palette(info),
        ignore_index=dataset.ignore_index,
        reduce_zero_label=bool(dataset.reduce_zero_label),
        label_map=tuple((dataset.label_map or {}).items()),
        void_ids=tuple(info.get('void_ids') or ()),
        label_ids=tuple(info.get('label_ids') or ()),
    )


def _given_palette(info: Mapping[str, Any]) -> tuple[tuple[int, int, int], ...]:
    """The palette that somebody chose; mmseg makes up a random one where nobody did."""
    colors = np.array(info.get('palette') or ()).reshape(-1, 3)
    random = np.random.RandomState(42).randint(0, 255, size=colors.shape)
    if np.array_equal(colors, random):
        return ()
    return tuple((int(red), int(green), int(blue)) for red, green, blue in colors)


def loading_of(pipeline: Sequence[Any]) -> tuple[bool, int | None]:
    """Whether images are turned as EXIF data say, and the place of the loading transform.

    Args:
        pipeline: transforms, or their dicts in a config.
    """
    position = position_of(pipeline, LoadImageFromFile)
    if position is None:  # perhaps a loader of its own: for many bands, or other files
        own = next((k for k, step in enumerate(pipeline) if _loads_image(step)), None)
        return own is None, own
    transform = pipeline[position]
    settings = transform if hasattr(transform, 'get') else vars(transform)
    backend = settings.get('imdecode_backend') or 'cv2'
    turned = settings.get('color_type', 'color') not in _AS_STORED
    return turned and backend in ('cv2', 'pillow'), position


def _loads_image(transform: Any) -> bool:
    return loads_sample(transform) and not loads_labels(transform)


def size_of(pipeline: Sequence[dict[str, Any]]) -> tuple[int, int] | None:
    """(width, height) that images are given before their labels are read; None: their own.

    Args:
        pipeline: dicts of the transforms in a config.
    """
    for transform in pipeline:
        if loads_labels(transform):
            break
        if transform.get('as_original'):
            height, width = transform['size']
            return width, height
    return None
