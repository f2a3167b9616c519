"""Whether a graph is being recorded, so that forms which depend on sizes are left out.

Loops over parts of a map, branches that ask for its size and early returns become constants of a
recorded graph: it would be right at the recorded size alone. While :func:`is_exporting` is true the
layers take the one form that is right at every size. Values are equal up to rounding.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch

_recordings = 0


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """Marks the recording of a graph, also where torch itself does not say so (before 2.7)."""
    global _recordings
    _recordings += 1
    try:
        yield
    finally:
        _recordings -= 1


def is_exporting() -> bool:
    """True within :func:`exporting`, ``torch.export``, ``torch.onnx.export`` and ``jit.trace``."""
    if _recordings:
        return True
    said = getattr(torch.compiler, 'is_exporting', None)
    return bool((said is not None and said()) or torch.jit.is_tracing())


def is_known_equal(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two sizes are equal; in a recording, whether they are at every size of the image.

    Asking a symbolic size whether it equals another makes the answer a condition of the graph.
    """
    if not is_exporting():
        return tuple(one) == tuple(other)
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return all(statically_known_true(a == b) for a, b in zip(one, other))
