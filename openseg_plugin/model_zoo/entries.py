"""The published weight files, read from ``entries.json`` beside this module."""

import difflib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from openseg_plugin.errors import CheckpointError

PATH = Path(__file__).parent / 'entries.json'


@dataclass(frozen=True)
class Entry:
    """One published file; None where its authors do not say.

    Attributes:
        name: what ``model_zoo.py get`` calls it.
        method: folder of its configs.
        source: whose it is, as the converter calls it.
        backbone: such as 'hrnet48'.
        data: data set of its validation score, or which it was trained on.
        file: file name.
        config: path below configs/.
        page: web page of the authors.
        address: where the file lies; None: only behind a link on the page.
        sha256: of the file.
        sha256_start: its first hex digits.
        size: bytes, as its authors say.
        numbers: parameters and running statistics in it, computed from its config
            (:mod:`.sizes`; ``model_zoo.py sizes`` writes them); of a trunk without its classifier.
        miou: percent, one scale.
        miou_ms: percent, several scales or mirrored (``note`` says).
        views: words of ``tools/test.py`` that give ``miou_ms``; empty: it comes without any, from
            the scales in the model.
        pix_acc: percent of the labelled pixels, one scale.
        miou_crop: percent, one square from the middle of every picture.
        pix_acc_crop: percent of the labelled pixels, likewise.
        use: 'test': a network to be tested. 'backbone': a trunk trained on ImageNet, to start
            from. 'weights': weights that nothing here can read or that nobody describes.
        classes: rows of the classifier.
        options: what to change in the config.
        test_data: data set of ``configs/_base_/datasets`` to test on; None: the config's own.
        test_options: what the authors' test changes further.
        note: anything else.
    """

    name: str
    method: str
    source: str
    backbone: str
    data: str
    file: str
    config: str
    page: str
    address: str | None = None
    sha256: str | None = None
    sha256_start: str | None = None
    size: int | None = None
    numbers: int | None = None
    miou: float | None = None
    miou_ms: float | None = None
    views: str = '--aug-test'
    pix_acc: float | None = None
    miou_crop: float | None = None
    pix_acc_crop: float | None = None
    use: str = 'test'
    classes: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    test_data: str | None = None
    test_options: dict[str, Any] = field(default_factory=dict)
    note: str = ''

    @property
    def megabytes(self) -> float | None:
        """Its size, or that of its numbers as float32; None: neither is known."""
        if self.size is not None:
            return self.size / 1e6
        return None if self.numbers is None else self.numbers * 4 / 1e6


@cache
def entries() -> tuple[Entry, ...]:
    """All of them, in the order of the file."""
    return tuple(Entry(**entry) for entry in json.loads(PATH.read_text(encoding='utf-8')))


def find(name: str) -> Entry:
    """The entry of this name.

    Raises:
        CheckpointError: there is none; names the nearest.
    """
    for entry in entries():
        if entry.name == name:
            return entry
    raise CheckpointError(f'the model zoo has no {name}; {_hint(name)}')


def matching(part: str) -> list[Entry]:
    """The entries of a method, or with ``part`` in their name; all where it is empty.

    Raises:
        CheckpointError: there are none; names the nearest.
    """
    found = [entry for entry in entries() if part in entry.name or part == entry.method]
    if not found:
        raise CheckpointError(f'nothing in the model zoo matches {part}; {_hint(part)}')
    return found


def _hint(name: str) -> str:
    words = [entry.name for entry in entries()] + sorted({entry.method for entry in entries()})
    near = difflib.get_close_matches(name, words, n=3, cutoff=0.4)
    return f'near: {", ".join(near)}' if near else 'model_zoo.py list names all'
