"""Pictures and labels of your own in the layout that tools/convert_dataset.py writes."""

import json
from pathlib import Path

from openseg_plugin.datasets.base import ConvertedDataset
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import DATASETS

_SUMMARY = 'dataset.json'  # what the converter writes beside the splits


@DATASETS.register_module()
class OwnDataset(ConvertedDataset):
    """``<split>/{image,label}`` with the classes that the config names.

    Args:
        metainfo: ``classes`` in label order, and perhaps ``palette``, ``flip_pairs``, ``void_ids``.
        **kwargs: as for :class:`~openseg_plugin.datasets.base.ConvertedDataset`.

    Raises:
        ConfigError: the config names no classes, or others than the converter found.
        DataError: pictures or labels are missing.
    """

    HOW_TO_GET = (
        'convert your labels with "python tools/convert_dataset.py labelme SRC DST" (or '
        'coco_polygons, masks, lists, polygon_list)'
    )

    def __init__(self, *, metainfo: dict | None = None, **kwargs) -> None:
        if not (metainfo or {}).get('classes'):
            raise ConfigError(
                "OwnDataset needs metainfo=dict(classes=('background', '...')): names in the order "
                'of the label values'
            )
        super().__init__(metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """As the base; first compares the classes with those of the conversion."""
        self._check_classes()
        return super().load_data_list()

    def _check_classes(self) -> None:
        path = Path(self.data_root or '', _SUMMARY)
        if not path.is_file():
            return
        try:
            summary = json.loads(path.read_text(encoding='utf-8'))
            if not {'format', 'converter'} <= summary.keys():
                return  # somebody else's file: the name is a common one
            converted = summary['classes']
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f'{path} cannot be read ({error}): convert the data again') from error
        # names may be nicer in the config; their number decides what the label values mean
        if len(converted) != len(self._metainfo['classes']):
            raise ConfigError(
                f'the config names {len(self._metainfo["classes"])} classes but {path} was '
                f'converted with {len(converted)}: write classes = {tuple(converted)}'
            )
