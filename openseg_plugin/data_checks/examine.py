"""Reads all files of a source, on all cores, and keeps what they hold."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Pair, Source, Split
from openseg_plugin.data_checks.file_facts import (
    Cache,
    Facts,
    has_own_marks,
    read_damaged_image,
    read_image_facts,
    read_label_facts,
    read_loaded_image,
)
from openseg_plugin.data_checks.stderr_capture import StderrCapture
from openseg_plugin.utils.pool import in_threads
from openseg_plugin.utils.progress import Progress

_READ = {'label': read_label_facts, 'image': read_image_facts}


@dataclass(frozen=True)
class Record:
    """What the two files of a pair hold; None for a file that the split does not have."""

    split: Split
    pair: Pair
    image: Facts | None
    label: Facts | None


def examine(
    source: Source,
    *,
    cache: Cache | None = None,
    workers: int | None = None,
    show_progress: bool = False,
) -> list[Record]:
    """Facts of every pair of every split, in order.

    Args:
        source: what to look at.
        cache: what earlier runs found; it is saved, also when the run is interrupted.
        workers: number of threads (decoding and hashing do not hold Python's lock); None: one
            per core.
        show_progress: print a bar to stderr.
    """
    cache = cache or Cache(None, source.name)
    # The same file may be in two splits: it is read once. Names of one file are not resolved.
    wanted = dict.fromkeys(
        (kind, path)
        for split in source.splits
        for pair in split.pairs
        for kind, path in (('image', pair.image), ('label', pair.label))
        if path is not None
    )
    known = {}
    for kind, path in wanted:
        facts = cache.get(kind, path)
        if facts is not None:
            known[kind, path] = facts
    missing = [item for item in wanted if item not in known]
    try:
        with (
            StderrCapture() as words,
            Progress('reading files', total=len(missing), show=show_progress) as progress,
        ):
            doubtful = []
            read = partial(_read, words)
            for kind, path, facts, said in in_threads(read, missing, workers=workers):
                progress.step()
                if said and kind == 'image':  # this file, or one that was decoded meanwhile
                    doubtful.append(path)
                    continue
                cache.put(kind, path, facts)
                known[kind, path] = facts
            for path in doubtful:
                known['image', path] = read_damaged_image(path, words)
                cache.put('image', path, known['image', path])
            _read_by_loaders(source, known)
    finally:
        cache.save()
    return [
        Record(split, pair, known.get(('image', pair.image)), known.get(('label', pair.label)))
        for split in source.splits
        for pair in split.pairs
    ]


def _read_by_loaders(source: Source, known: dict[tuple[str, Path], Facts]) -> None:
    """Reads what Pillow and OpenCV do not take (many bands, floats) as the config does."""
    for split in source.splits:
        for pair in split.pairs if split.load_image is not None else ():
            facts = known.get(('image', pair.image)) or {}
            is_odd = facts.get('error', 'missing') != 'missing' or facts.get('damage')
            if pair.image is None or not is_odd or has_own_marks(pair.image):
                continue
            loaded = read_loaded_image(pair.image, split.load_image)
            if 'error' not in loaded:
                known['image', pair.image] = loaded


def _read(words: StderrCapture, item: tuple[str, Path]) -> tuple[str, Path, Facts, str]:
    kind, path = item
    before = words.size()
    facts = _READ[kind](Path(os.fspath(path)))
    return kind, path, facts, words.since(before)
