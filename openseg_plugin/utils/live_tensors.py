"""The most memory that tensors take at one time, counted operation by operation.

On the meta device it needs neither the memory nor the time, so that networks and images of any
size can be compared. What libraries take inside an operation, such as the workspace of a
convolution, is not seen.
"""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of tensors made within it, each storage once however many views it has.

    Attributes:
        live: bytes of those that are still there.
        peak: the largest that ``live`` was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Runs the operation and counts what it made."""
        kwargs = kwargs or {}
        for storage in _storages((args, kwargs)):
            self._watch(storage, 0)  # not made here, nor is what the operation returns of it
        result = func(*args, **kwargs)
        for storage in _storages(result):
            self._watch(storage, storage.nbytes())
        return result

    def _watch(self, storage: torch.UntypedStorage, size: int) -> None:
        key = id(storage)  # torch keeps this object as long as the memory
        if key in self._known:
            return
        self._known.add(key)
        weakref.finalize(storage, self._gone, key, size).atexit = False
        self.live += size
        self.peak = max(self.peak, self.live)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:
    return (one.untyped_storage() for one in tree_flatten(values)[0] if isinstance(one, Tensor))


@torch.no_grad()
def live_peak(function: Callable[[], Any]) -> int:
    """Bytes that ``function`` takes at most, without gradients, beside what was there before."""
    with LiveTensors() as counter:
        function()
    return counter.peak
