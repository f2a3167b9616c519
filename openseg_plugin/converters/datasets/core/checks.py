"""What must hold before a conversion starts.

Files of earlier conversions that a new one does not make: training would still read them.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from openseg_plugin.converters.datasets.core import summary
from openseg_plugin.converters.datasets.core.find import walk_files
from openseg_plugin.converters.datasets.core.plan import Plan
from openseg_plugin.errors import DataError
from openseg_plugin.utils import files
from openseg_plugin.utils.files import IMAGE_ENDINGS, SPLITS


def check_folders(src: Path, dst: Path) -> None:
    """The source is there, and the target is another folder.

    Raises:
        DataError: one of them cannot be used.
    """
    if not src.exists():
        raise DataError(f'{src} does not exist: give the folder or archive that was downloaded')
    if dst.exists() and not dst.is_dir():
        raise DataError(f'the target {dst} is a file: give a folder')
    if src.resolve() == dst.resolve():
        raise DataError(f'source and target are both {dst}: give another folder as target')
    if src.is_dir() and src.resolve() in dst.resolve().parents:
        raise DataError(f'the target {dst} is inside the source {src}: give a folder beside it')
    if src.is_dir() and dst.resolve() in src.resolve().parents:
        raise DataError(f'the source {src} is inside the target {dst}: give a folder beside it')


def check_plan(plan: Plan, src: Path) -> None:
    """There are samples, and no two of them become the same file.

    Raises:
        DataError: there are none, or two have the same name.
    """
    if not plan.samples:
        raise DataError(f'{src} has no images of the chosen splits')
    owners: dict[str, str] = {}
    for sample in plan.samples:
        for to in sample.targets():
            if to in owners:
                raise DataError(
                    f'{sample.name} and {owners[to]} would both become {to}: rename one of them'
                )
            owners[to] = sample.name


def note_empty_val(plan: Plan, fraction: float, splits: tuple[str, ...]) -> tuple[str, ...]:
    """Notice that ``--val-fraction`` is too small for the number of images to make a split val."""
    found = [sample.split for sample in plan.samples]
    if not fraction or 'val' in found or len(found) * fraction >= 1:
        return ()
    if splits and 'val' not in splits:
        return ()
    return (
        f'--val-fraction {fraction:g} puts none of the {len(found)} images into split val: give a '
        'larger fraction, or training has nothing to validate on',
    )


def note_unused(plan: Plan, root: Path, *, is_own: bool) -> tuple[str, ...]:
    """Notice of files of the source that nothing was made from.

    Args:
        plan: what is made.
        root: the source.
        is_own: all files count; of a public release, which holds much else, only those that are
            called like used ones, such as ``*_leftImg8bit.png``.
    """
    used = {os.path.abspath(path) for path in plan.read}
    for sample in plan.samples:
        used.update(os.path.abspath(path) for path in sample.sources)
        used.update(os.path.abspath(place.src) for place in sample.places)
    base = root if root.is_dir() else root.parent
    if root.is_file():
        return ()
    unused = [path for path in walk_files(base, ('',)) if os.path.abspath(path) not in used]
    if not is_own:
        tails = {_tail(Path(path)) for path in used}
        unused = [path for path in unused if _tail(path) in tails]
    if not unused:
        return ()
    kinds = Counter(path.suffix.lower() or 'without ending' for path in unused)
    counted = ', '.join(f'{number} {kind}' for kind, number in kinds.most_common(_NAMED))
    what = 'file in SRC was' if len(unused) == 1 else 'files in SRC were'
    return (f'{len(unused)} {what} not used ({counted}), the first is {unused[0]}',)


def _tail(path: Path) -> str:
    """What the names of files of one kind end with: ``_leftImg8bit.png``, ``.jpg``."""
    _, mark, word = path.stem.rpartition('_')
    return f'_{word}{path.suffix.lower()}' if mark and word[:1].isalpha() else path.suffix.lower()


def check_target(
    plan: Plan,
    old: dict[str, Any] | None,
    new: dict[str, Any],
    dst: Path,
    *,
    check: bool,
    overwrite: bool,
) -> None:
    """Files that another program or another conversion made are not taken for finished ones.

    Args:
        plan: what will be made.
        old: summary of what is there, or None.
        new: summary of what will be there.
        dst: target folder.
        check: the target will be compared, not written.
        overwrite: the user wants everything made anew.

    Raises:
        DataError: the target holds other files.
    """
    if check:
        if old is None:
            raise DataError(f'{dst} has no {summary.NAME}: nothing was converted there yet')
        summary.check_same(old, new, dst)
        return
    if overwrite:
        return
    if old is not None:
        summary.check_same(old, new, dst)
        return
    for sample in plan.samples:
        there = next((to for to in sample.targets() if (dst / to).exists()), None)
        if there is not None:
            raise DataError(
                f'{dst / there} is there, but not from this converter (no {summary.NAME}): '
                'choose an empty target, or give --overwrite'
            )


# Where --overwrite moves them: beside the splits, and hidden, so that nothing reads them.
REPLACED = '.replaced'
_KINDS = ('image', 'label', 'instance')
_EDGES = 'edge'
_NAMED = 5


@dataclass(frozen=True)
class StaleFiles:
    """Paths below the target, with forward slashes.

    Attributes:
        ours: in splits that ``dataset.json`` lists.
        others: in folders that no conversion is known to have made.
    """

    ours: list[str]
    others: list[str]


def find_stale_files(
    plan: Plan, old: Mapping[str, Any] | None, new: Mapping[str, Any], dst: Path, chosen: Sequence
) -> StaleFiles:
    """Images and maps in ``<split>/{image,label,edge*,instance}`` that the plan does not make.

    Args:
        plan: what will be made.
        old: summary of what is there, or None.
        new: summary of what will be there.
        dst: target folder.
        chosen: splits that the plan was made for; empty: all that there are.
    """
    recorded = set(old['splits']) if old else set()
    splits = {sample.split for sample in plan.samples} | set(chosen)
    if not chosen:
        splits |= recorded | set(SPLITS)
    if old and not summary.is_same(old, new):
        splits |= recorded  # one summary cannot describe two conversions
    made = {to for sample in plan.samples for to in sample.targets()}
    left = [(s, to) for s in sorted(splits) for to in files_of(dst, s) if to not in made]
    return StaleFiles(
        [to for split, to in left if split in recorded],
        [to for split, to in left if split not in recorded],
    )


def handle_stale_files(
    left: StaleFiles, plan: Plan, dst: Path, *, overwrite: bool, keep_going: bool
) -> tuple[str, ...]:
    """Stops where there are stale_files, or moves those of earlier conversions aside.

    Returns:
        What the user should know about files that were moved.

    Raises:
        DataError: there are stale_files, and they may not be moved; names them.
    """
    problems = [sample.problem for sample in plan.samples if sample.problem]
    if problems and not keep_going:
        return ()  # the run will stop and say what is wrong with the source
    if left.others:
        raise DataError(
            f'{_said(left.others, dst)}; no earlier conversion is known to have made them: move '
            'them away, or choose another target'
        )
    if left.ours and problems:
        raise DataError(
            f'{_said(left.ours, dst)}; {len(problems)} samples cannot be made, the first because '
            f'{problems[0]}: fix the source, or remove the files yourself'
        )
    if left.ours and not overwrite:
        raise DataError(
            f'{_said(left.ours, dst)}; give --overwrite (it moves them to {dst / REPLACED} and '
            'makes all others anew), or choose another target'
        )
    _move(left.ours, dst)
    if not left.ours:
        return ()
    return (
        f'{len(left.ours)} files of earlier conversions were moved to {dst / REPLACED}, the first '
        f'is {left.ours[0]}: delete that folder when you do not need them',
    )


def check_stale_files(left: StaleFiles, dst: Path) -> dict[str, str]:
    """StaleFiles as failures of ``--check``: path -> what is wrong."""
    text = 'is not made from the source, but training would read it: convert with --overwrite'
    return {
        **{to: f'{dst / to} {text}' for to in left.ours},
        **{to: f'{dst / to} {text.split(":")[0]}: move it away' for to in left.others},
    }


def note_stale_files(left: StaleFiles, dst: Path) -> tuple[str, ...]:
    """Notice of a dry run."""
    found = [*left.ours, *left.others]
    return (_said(found, dst),) if found else ()


def known_splits(
    old: Mapping[str, Any] | None, dst: Path, name: str, fraction: float
) -> dict[str, str]:
    """Name without ending -> train or val, as an earlier run with the same fraction divided them.

    Names have their folders below ``image``.
    """
    if not fraction or old is None or old['converter'] != name:
        return {}
    if old['options'].get('val_fraction') != fraction:
        return {}
    names = {
        split: {_below_kind(to) for to in files_of(dst, split)} if split in old['splits'] else set()
        for split in ('train', 'val')
    }
    twice = names['train'] & names['val']
    return {name: split for split, found in names.items() for name in found - twice}


def _below_kind(to: str) -> str:
    """``'train/image/a/b.png'`` -> ``'a/b'``."""
    return PurePosixPath(*PurePosixPath(to).parts[2:]).with_suffix('').as_posix()


def files_of(dst: Path, split: str) -> Iterator[str]:
    """Images and maps of a split in the project's own layout, sorted within each kind."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for kind in sorted(os.listdir(dst / split)):
            if kind not in _KINDS and not kind.startswith(_EDGES):
                continue
            endings = IMAGE_ENDINGS if kind == 'image' else ('.png',)
            for path in walk_files(dst / split / kind, endings):
                yield path.relative_to(dst).as_posix()


def _said(found: Sequence[str], dst: Path) -> str:
    more = f' and {len(found) - _NAMED} more' if len(found) > _NAMED else ''
    return (
        f'{dst} has {len(found)} files that this run does not make but training would read: '
        f'{", ".join(found[:_NAMED])}{more}'
    )


def _move(found: Sequence[str], dst: Path) -> None:
    for to in found:
        target = dst / REPLACED / to
        with files.target_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(dst / to, target)
    for folder in sorted({(dst / to).parent for to in found}, reverse=True):
        with contextlib.suppress(OSError):  # not empty
            while folder != dst:
                folder.rmdir()
                folder = folder.parent
