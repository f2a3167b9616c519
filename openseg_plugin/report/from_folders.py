"""Results from label maps on disk, of whatever tool wrote them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.report.collect import count_image
from openseg_plugin.report.results import Results, TestedImage
from openseg_plugin.utils.files import IMAGE_ENDINGS, parse_json
from openseg_plugin.utils.images import read_label
from openseg_plugin.utils.palette import distinct_colors, distinct_names
from openseg_plugin.utils.pool import in_threads

NO_PREDICTION, NO_IMAGE = 'ground truth without prediction', 'predictions without image'
"""Rows of the protocol: how many, and one of them."""
LABEL_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp')
# What the tools of datasets append to the stem of an image.
_ENDINGS = (
    '_gtFine_labelTrainIds',
    '_gtFine_labelIds',
    '_labelTrainIds',
    '_leftImg8bit',
    '_labels',
    '_label',
    '_gt',
    '_pred',
    '_mask',
    '_L',
)


def results_from_folders(
    predictions: Path,
    labels: Path,
    *,
    images: Path | None = None,
    classes: Sequence[str] | None = None,
    palette: Sequence[Sequence[int]] | None = None,
    ignore_index: int = 255,
    workers: int | None = None,
) -> Results:
    """Counts of all predictions that have a label map.

    A prediction belongs to the label map and the image of the same path below their folders but for
    the suffix and endings such as ``_gtFine_labelIds``.

    Args:
        predictions: folder of class ids, one file per image.
        labels: folder of class ids of the ground truth.
        images: folder of the images, or None.
        classes: names; None: numbers, as many as the maps hold.
        palette: RGB colors; None: generated ones.
        ignore_index: value of labels without a class.
        workers: threads; None: one per core.

    Raises:
        DataError: a folder is missing or empty, a prediction has no label map or another size, or a
            label value is no class.
    """
    found = list_maps(predictions, LABEL_SUFFIXES)
    truths = by_key(labels, list_maps(labels, LABEL_SUFFIXES))
    shown = {} if images is None else by_key(images, list_maps(images, IMAGE_ENDINGS))
    pairs = []
    for path in found:
        key = file_key(path.relative_to(predictions))
        if key not in truths:
            raise DataError(
                f'prediction {path} has no label map {key}.png in {labels}: give the folders of '
                'one set of images'
            )
        pairs.append((key, path, truths[key], shown.get(key)))
    left_out = _left_out(pairs, truths, images)
    if classes is None:
        classes = _numbered_classes([*found, *truths.values()], ignore_index)
    colors = distinct_colors(len(classes)) if palette is None else palette

    def count(place: int) -> tuple[int, TestedImage]:
        key, prediction, label, image = pairs[place]
        ids, truth = read_label(prediction), read_label(label)
        try:
            counts = count_image(ids, truth, num_classes=len(classes), ignore_index=ignore_index)
        except DataError as error:
            raise DataError(f'{label} and {prediction}: {error}') from error
        return place, TestedImage(key, ids.shape, counts, image, label, prediction)

    tested = dict(in_threads(count, range(len(pairs)), workers=workers))
    return Results(
        classes=distinct_names(classes),
        palette=tuple(tuple(int(value) for value in color) for color in colors),
        ignore_index=ignore_index,
        images=tuple(tested[place] for place in range(len(pairs))),
        protocol={'predictions': str(predictions), 'ground truth': str(labels), **left_out},
    )


def _left_out(
    pairs: Sequence[tuple[str, Path, Path, Path | None]],
    truths: Mapping[str, Path],
    images: Path | None,
) -> dict[str, str]:
    """Rows of the protocol about files without a counterpart."""
    used = {key for key, *_ in pairs}
    rows = {
        NO_PREDICTION: [path for key, path in truths.items() if key not in used],
        NO_IMAGE: [path for _, path, _, image in pairs if images is not None and image is None],
    }
    return {name: f'{len(some)}, such as {some[0]}' for name, some in rows.items() if some}


def _numbered_classes(paths: Sequence[Path], ignore_index: int) -> list[str]:
    largest = 0
    for path in paths:
        ids = read_label(path)
        kept = ids[ids != ignore_index]
        largest = max(largest, int(kept.max(initial=0)))
    if largest > 255:
        raise DataError(
            f'the label maps hold values up to {largest}: name the classes with --classes, or '
            'convert the maps to class ids'
        )
    return [f'class {number}' for number in range(largest + 1)]


def list_maps(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files with one of the suffixes below a folder, sorted.

    Raises:
        DataError: there is no such folder, or it holds none.
    """
    if not folder.is_dir():
        raise DataError(f'{folder} is no folder: give the folder with the files')
    found = sorted(path for path in folder.rglob('*') if path.suffix.lower() in suffixes)
    if not found:
        raise DataError(f'{folder} holds no {", ".join(suffixes)} file: give another folder')
    return found


def by_key(folder: Path, paths: Sequence[Path]) -> dict[str, Path]:
    """Paths by :func:`file_key`.

    Raises:
        DataError: two files have one key.
    """
    keyed: dict[str, Path] = {}
    for path in paths:
        key = file_key(path.relative_to(folder))
        if key in keyed:
            raise DataError(
                f'{keyed[key]} and {path} belong to one image: leave one of them in {folder}'
            )
        keyed[key] = path
    return keyed


def file_key(path: Path) -> str:
    """Path without suffix and without an ending that tools append, with forward slashes."""
    stem = path.stem
    for ending in _ENDINGS:
        if stem.endswith(ending) and stem != ending:
            stem = stem[: -len(ending)]
            break
    return path.with_name(stem).as_posix()


def read_classes(path: Path) -> tuple[list[str], list[list[int]] | None]:
    """Names, and colors where the file has them.

    Args:
        path: a text file with one name a line, or JSON: a list of names, or an object with
            ``classes`` and perhaps ``palette``, such as a converted dataset's ``dataset.json``.

    Raises:
        DataError: it cannot be read, or names no class.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path} cannot be read ({error}): give a list of class names') from error
    palette = None
    if text.lstrip().startswith(('[', '{')):
        try:
            content = parse_json(text)
        except ValueError as error:
            raise DataError(f'{path} is no valid JSON ({error}): give a list of names') from error
        if isinstance(content, dict):
            palette = content.get('palette')
            content = content.get('classes')
        names = content
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(f'{path} names no classes: one name a line, or a JSON list, is needed')
    if palette is not None:
        colors = np.array(palette, dtype=object)
        if colors.shape != (len(names), 3):
            raise DataError(f'{path}: palette needs one RGB color for each of {len(names)} classes')
    return names, palette
