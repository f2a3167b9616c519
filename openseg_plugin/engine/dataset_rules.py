"""What a data set of the framework does with labels and pictures, in the label doctor's terms."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from openseg_plugin.doctor.source import Rules

# values of color_type for which the EXIF orientation is not applied
_AS_STORED = ('unchanged', 'color_ignore_orientation', 'grayscale_ignore_orientation')


def rules_of(dataset: Dataset) -> Rules:
    """Meaning of the label values of one of mmseg's data sets or of ours."""
    info = dataset.metainfo
    return Rules(
        tuple(info.get('classes') or ()),
        tuple(tuple(int(v) for v in colour) for colour in info.get('palette') or ()),
        ignore_index=dataset.ignore_index,
        reduce_zero_label=bool(dataset.reduce_zero_label),
        label_map=tuple((dataset.label_map or {}).items()),
        void_ids=tuple(info.get('void_ids') or ()),
        label_ids=tuple(info.get('label_ids') or ()),
    )


def loading_of(pipeline: Sequence[Any]) -> tuple[bool, int | None]:
    """Whether pictures are turned as EXIF data say, and the place of the loading transform.

    Args:
        pipeline: transforms, or their dicts in a config.
    """
    for position, transform in enumerate(pipeline):
        settings = transform if hasattr(transform, 'get') else vars(transform)
        kind = str(settings.get('type', type(transform).__name__)).rpartition('.')[2]
        if kind == 'LoadImageFromFile':
            backend = settings.get('imdecode_backend') or 'cv2'
            turned = settings.get('color_type', 'color') not in _AS_STORED
            return turned and backend in ('cv2', 'pillow'), position
    return True, None


def size_of(pipeline: Sequence[dict[str, Any]]) -> tuple[int, int] | None:
    """(width, height) that pictures are given before their labels are read; None: their own.

    Args:
        pipeline: dicts of the transforms in a config.
    """
    for transform in pipeline:
        if transform['type'].rpartition('.')[2] in ('LoadLabels', 'LoadAnnotations'):
            break
        if transform.get('as_original'):
            height, width = transform['size']
            return width, height
    return None
