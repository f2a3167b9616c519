"""What does not fit between a file and a network, as one sentence and as a list."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

LISTED, SHOWN_OF_MANY = 60, 6


@dataclass(frozen=True)
class Mismatch:
    """Everything that does not fit; false when all fits.

    Attributes:
        unmapped: entries of the file without a place.
        unfilled: entries of the network that the file does not have.
        reshaped: what to say of entries with another shape.
    """

    unmapped: Sequence[str] = ()
    unfilled: Sequence[str] = ()
    reshaped: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.unmapped or self.unfilled or self.reshaped)

    def report(self, *, limit: int = LISTED) -> str:
        """One clause that lists each kind with its number.

        All of a kind, unless there are more than ``limit``, as with another network: then the
        first ones, and :meth:`listing` has the others.
        """
        kinds = (
            (self.unmapped, 'is not known', 'are not known'),
            (self.unfilled, 'is missing', 'are missing'),
            (self.reshaped, 'has another shape', 'have another shape'),
        )
        return '; '.join(
            f'{counted(found)} {one if len(found) == 1 else many}: {listed(found, limit=limit)}'
            for found, one, many in kinds
            if found
        )

    def listing(self) -> str:
        """Everything, one per line."""
        kinds = (
            (self.unmapped, 'not known'),
            (self.unfilled, 'missing'),
            (self.reshaped, 'another shape'),
        )
        return '\n'.join(f'{text}: {what}' for found, text in kinds for what in found)


def counted(found: Collection[str]) -> str:
    """'1 entry', '2 entries'."""
    return f'{len(found)} {"entry" if len(found) == 1 else "entries"}'


def listed(found: Sequence[str], *, limit: int = LISTED) -> str:
    """All of them, or the first few of many and where the others are."""
    shown = found if len(found) <= limit else found[:SHOWN_OF_MANY]
    left = len(found) - len(shown)
    return ', '.join(shown) + (f', ... and {left} more (--debug lists them)' if left else '')


def size(shape: Sequence[int]) -> str:
    """'64x3x7x7'."""
    return 'x'.join(map(str, shape)) or 'a single number'
