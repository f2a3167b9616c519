"""Finding the checkpoint from which a run in a work folder goes on."""

import logging
import os
from pathlib import Path

from mmengine.logging import print_log

from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.errors import CheckpointError


def newest_readable(work_dir: str) -> str | None:
    """Newest checkpoint of ``work_dir`` that can be read; None if there is none at all.

    The one that ``last_checkpoint`` names comes first, then iter_*.pth and epoch_*.pth by age.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    candidates = resumable(work_dir)
    reasons = []
    for path in candidates:
        try:
            read_checkpoint(path)
        except (CheckpointError, OSError) as error:
            reasons.append(f'{path}: {error}')
            continue
        for reason in reasons:
            print_log(f'passed over a damaged checkpoint, {reason}', 'current', logging.WARNING)
        return path
    if reasons:
        raise CheckpointError(
            f'none of the {len(reasons)} checkpoints in {work_dir} can be read ({reasons[0]}): '
            'start afresh without --resume in another --work-dir'
        )
    return None


def resumable(work_dir: str) -> list[str]:
    """Checkpoints with the state of training, the most recent first."""
    pointer = Path(work_dir, 'last_checkpoint')
    named = Path(pointer.read_text(encoding='utf-8').strip()) if pointer.is_file() else None
    folders = {Path(work_dir).resolve()} | ({named.parent.resolve()} if named else set())
    files = [
        file
        for folder in folders
        for pattern in ('iter_*.pth', 'epoch_*.pth')
        for file in folder.glob(pattern)
    ]
    files.sort(key=os.path.getmtime, reverse=True)
    if named is not None and named.resolve() in files:
        files.remove(named.resolve())
        files.insert(0, named.resolve())
    return [str(file) for file in files]
