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
    folder = Path(work_dir)
    files = [*folder.glob('iter_*.pth'), *folder.glob('epoch_*.pth')]
    found = [str(file) for file in sorted(files, key=os.path.getmtime, reverse=True)]
    pointer = folder / 'last_checkpoint'
    if pointer.is_file():
        named = pointer.read_text(encoding='utf-8').strip()
        if os.path.isfile(named):
            found = [named, *(file for file in found if not os.path.samefile(file, named))]
    return found
