"""What must hold before a conversion starts."""

from pathlib import Path
from typing import Any

from openseg_plugin.converters.datasets.core import summary
from openseg_plugin.converters.datasets.core.plan import Plan
from openseg_plugin.errors import DataError


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
        raise DataError(f'{src} has no pictures of the chosen splits')
    owners: dict[str, str] = {}
    for sample in plan.samples:
        for to in sample.targets():
            if to in owners:
                raise DataError(
                    f'{sample.name} and {owners[to]} would both become {to}: rename one of them'
                )
            owners[to] = sample.name


def split_notes(plan: Plan, options: Any, splits: tuple[str, ...]) -> tuple[str, ...]:
    """Notice that ``--val-every`` is too large for the number of pictures to make a split val."""
    every = getattr(options, 'val_every', 0)
    found = [sample.split for sample in plan.samples]
    if not every or 'val' in found or len(found) >= every or (splits and 'val' not in splits):
        return ()
    return (
        f'--val-every {every} puts none of the {len(found)} pictures into split val: give a '
        'smaller number, or training has nothing to validate on',
    )


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
