"""Maps that are computed when somebody reads them, such as logits at the size of the image."""

from collections.abc import Callable
from typing import Any

from mmengine.structures import PixelData
from torch import Tensor


class LazyPixelData(PixelData):
    """PixelData whose ``data`` (C, H, W) is computed once, when it is first read.

    Copies and moved ones hold the computed map. :meth:`to_dict`, through which mmengine's
    evaluator hands predictions to metrics, computes nothing by itself.

    Args:
        compute: gives the map; None: it is set later, as for any PixelData.
    """

    def __init__(self, compute: Callable[[], Tensor] | None = None) -> None:
        super().__init__()
        self.__dict__['_compute'] = compute
        if compute is not None:
            self._data_fields.add('data')

    @property
    def data(self) -> Tensor:
        """The map (C, H, W)."""
        if '_value' not in self.__dict__:
            if self.__dict__.get('_compute') is None:
                raise AttributeError('data')
            self.__dict__['_value'] = self.__dict__['_compute']()
        return self.__dict__['_value']

    @data.setter
    def data(self, value: Tensor) -> None:
        self.__dict__['_value'] = value

    def to_dict(self) -> dict[str, Any]:
        """``{'data': map}``, computed when the key is read."""
        return _LazyDict(self)


class _LazyDict(dict):
    """``data`` of a :class:`LazyPixelData`, read through when it is asked for."""

    def __init__(self, source: LazyPixelData) -> None:
        super().__init__(source.metainfo_items())
        self.source = source

    def __missing__(self, key: str) -> Tensor:
        if key != 'data':
            raise KeyError(key)
        return self.source.data

    def __contains__(self, key: object) -> bool:
        return key == 'data' or super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As dict's, with the map under 'data'."""
        return self.source.data if key == 'data' else super().get(key, default)
