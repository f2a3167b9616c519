"""Running a converter: from a source folder or archive to a target folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from openseg_plugin.converters.datasets.core import checks, summary
from openseg_plugin.converters.datasets.core.archives import Limits, opened_source
from openseg_plugin.converters.datasets.core.images import palette_bytes
from openseg_plugin.converters.datasets.core.pairs import divide_samples
from openseg_plugin.converters.datasets.core.plan import Plan, get_converter
from openseg_plugin.converters.datasets.core.worker import Job, is_up_to_date, process
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils import files
from openseg_plugin.utils.pool import FEW, in_processes, usable_cores
from openseg_plugin.utils.progress import Progress

LinkMode = Literal['link', 'copy', 'symlink']


@dataclass(frozen=True)
class Settings:
    """How a conversion runs; nothing here changes a label.

    Attributes:
        link_mode: hard link, copy or symlink the images; a link becomes a copy where links are
            impossible.
        splits: which splits to convert; empty: those that the converter takes by default.
        workers: number of processes; None: all cores.
        palette: write labels as palette PNGs (else gray); the values are the same.
        keep_going: convert the other samples when one fails.
        overwrite: make every file anew, also over files of another conversion.
        dry_run: write nothing.
        check: compare the target with the source; write nothing.
        show_progress: print progress to stderr.
        limits: how much an archive may unpack to.
    """

    link_mode: LinkMode = 'link'
    splits: tuple[str, ...] = ()
    workers: int | None = None
    palette: bool = True
    keep_going: bool = False
    overwrite: bool = False
    dry_run: bool = False
    check: bool = False
    show_progress: bool = True
    limits: Limits = field(default_factory=Limits)


@dataclass
class Report:
    """What a conversion did.

    Attributes:
        name: the converter.
        dst: target folder.
        samples: number of samples per split.
        made: samples with at least one new file.
        kept: samples whose files were all there.
        failures: sample -> message.
        notices: what the user should know.
        summary: content of ``dataset.json``.
    """

    name: str
    dst: Path
    samples: dict[str, int]
    made: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)


def convert(
    name: str,
    src: str | Path,
    dst: str | Path,
    options: Mapping[str, Any] | Any = None,
    *,
    settings: Settings | None = None,
) -> Report:
    """Converts a dataset.

    Large sets are converted by several processes: a script must call this below
    ``if __name__ == '__main__'``, as all scripts that use multiprocessing.

    Args:
        name: name of the converter, see :func:`converters`.
        src: the downloaded files: a folder, a zip or tar, or a folder of zips and tars.
        dst: target folder; finished files in it are kept.
        options: the converter's options, as a mapping or as its dataclass.
        settings: how to run.

    Returns:
        What was done; failures are empty unless ``settings.keep_going`` or ``settings.check``.

    Raises:
        ConfigError: unknown converter or option.
        DataError: the source or the target cannot be used; names the file. What was finished
            before is kept.
    """
    settings = settings or Settings()
    if settings.link_mode not in get_args(LinkMode):
        raise ConfigError(f'link_mode={settings.link_mode!r}: choose one of {get_args(LinkMode)}')
    chosen = get_converter(name)
    made_options = chosen.make_options(options)
    splits = chosen.choose_splits(tuple(settings.splits), made_options)
    src, dst = Path(src), Path(dst)
    checks.check_folders(src, dst)
    with opened_source(src, dst, settings=settings) as root:
        old = summary.load(dst)
        fraction = getattr(made_options, 'val_fraction', 0.0)
        plan = chosen.plan(root, options=made_options, splits=splits)
        known = checks.known_splits(old, dst, name, fraction)
        plan = _divided(plan, fraction, known, splits)
        checks.check_plan(plan, src)
        notices = checks.note_empty_val(plan, fraction, splits)
        if not settings.splits:
            notices += checks.note_unused(plan, root, is_own=chosen.is_own)
        plan = replace(plan, notices=(*plan.notices, *notices))
        new = summary.describe(
            plan,
            name=name,
            source=str(src.resolve()),
            options=made_options,
            palette=settings.palette,
        )
        return _run(plan, old, new, dst, settings, splits)


def _divided(
    plan: Plan, fraction: float, known: Mapping[str, str], splits: tuple[str, ...]
) -> Plan:
    """The plan with a split for every sample, and with the chosen splits alone."""
    samples = divide_samples(plan.samples, fraction, known)
    if splits:
        samples = [sample for sample in samples if sample.split in splits]
    return replace(plan, samples=samples)


def _run(
    plan: Plan,
    old: dict[str, Any] | None,
    new: dict[str, Any],
    dst: Path,
    settings: Settings,
    chosen: tuple[str, ...],
) -> Report:
    splits = list(dict.fromkeys(sample.split for sample in plan.samples))
    report = Report(
        new['converter'],
        dst,
        samples={s: sum(x.split == s for x in plan.samples) for s in splits},
        notices=plan.notices,
        summary=new,
    )
    check, overwrite = settings.check, settings.overwrite
    if not settings.dry_run:
        checks.check_target(plan, old, new, dst, check=check, overwrite=overwrite)
    left = checks.find_stale_files(plan, old, new, dst, chosen)
    _handle_stale_files(left, plan, report, settings)
    if settings.dry_run:
        return report
    job = Job(
        dst=dst,
        link_mode=settings.link_mode,
        palette=palette_bytes(plan.palette) if settings.palette else None,
        check=settings.check,
        overwrite=settings.overwrite,
    )
    if old is not None and _is_finished(plan, old, dst, settings):
        report.kept, report.summary = len(plan.samples), old
        return report
    if not settings.check:
        is_same = old is not None and summary.is_same(old, new)
        new['splits'] = dict(old['splits']) if old and is_same else {}
        for split in splits:
            new['splits'][split] = {'complete': False}
        summary.save(new, dst)
    try:
        counts = _convert_all(plan, job, report, settings)
    finally:
        files.remove_partial(dst)
    if not settings.check:
        _finish(plan, report, counts, dst)
    return report


def _handle_stale_files(
    left: checks.StaleFiles, plan: Plan, report: Report, settings: Settings
) -> None:
    """Stops, or says in the report, where the target has files that the plan does not make."""
    if settings.dry_run:
        report.notices += checks.note_stale_files(left, report.dst)
        return
    if settings.check:
        report.failures |= checks.check_stale_files(left, report.dst)
        return
    report.notices += checks.handle_stale_files(
        left,
        plan,
        report.dst,
        overwrite=settings.overwrite,
        keep_going=settings.keep_going,
    )


def _convert_all(plan: Plan, job: Job, report: Report, settings: Settings) -> dict[str, np.ndarray]:
    """Pixels per label value and split; failures go into the report or stop the run."""
    counts = {split: np.zeros(256, np.int64) for split in report.samples}
    text = f'{"checking" if job.check else "converting"} {report.name}'
    total = len(plan.samples)
    with Progress(text, total=total, show=settings.show_progress) as progress:
        work, numbered = partial(process, job), enumerate(plan.samples)
        for done in in_processes(work, numbered, workers=_workers(settings, total)):
            progress.step()
            sample = plan.samples[done.index]
            if done.error is None:
                report.kept += done.kept
                report.made += not done.kept
                if done.counts is not None:
                    counts[sample.split] += done.counts
            elif done.fatal:
                raise files.TargetError(f'{done.error} ({progress.done - 1} of {total} done)')
            else:
                report.failures[f'{sample.split}/{sample.name}'] = done.error
                if not settings.keep_going:
                    raise DataError(
                        f'{done.error} ({report.made + report.kept} of {total} samples are '
                        'done and kept; --keep-going converts the others and lists all failures)'
                    )
    return counts


def _workers(settings: Settings, total: int) -> int:
    """As many processes as asked for, or as many as pay."""
    if settings.workers is not None:
        return settings.workers
    return usable_cores() if total > FEW else 1


def _finish(plan: Plan, report: Report, counts: dict[str, np.ndarray], dst: Path) -> None:
    for to, text in plan.texts.items():
        files.write_below(dst, to, text.encode())
    for split in report.samples:
        failures = [m for k, m in report.failures.items() if k.startswith(f'{split}/')]
        report.summary['splits'][split] = summary.split_record(
            plan, split, counts=counts[split], failures=failures, complete=not failures
        )
    summary.save(report.summary, dst)
    files.remove_partial(dst)


def _is_finished(plan: Plan, old: dict[str, Any] | None, dst: Path, settings: Settings) -> bool:
    """Whether there is nothing to do: no label is read again to find that out."""
    if old is None or settings.check or settings.overwrite:
        return False
    for split in {sample.split for sample in plan.samples}:
        record = old['splits'].get(split, {})
        number = sum(sample.split == split for sample in plan.samples)
        if not record.get('complete') or record.get('samples') != number:
            return False
    return all(is_up_to_date(sample, dst) for sample in plan.samples) and all(
        (dst / to).is_file() for to in plan.texts
    )
