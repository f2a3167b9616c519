"""Crash-safe checkpoints, which continue a run exactly."""

import os
import re
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import BaseLoop
from mmengine.runner import IterBasedTrainLoop as MMEngineLoop

from openseg_plugin.converters.checkpoints.stored_config import STORED_CONFIG, as_data
from openseg_plugin.engine.distributed.process_group import run_on_main
from openseg_plugin.engine.hooks.invalid_loss import check_weights
from openseg_plugin.engine.runner.loops import RunningStatistics, refuse_endless_epochs
from openseg_plugin.engine.runner.resume import (
    INTERRUPTED,
    check_optimizer,
    check_schedulers,
    checkpoint_folder,
    learning_rates,
    lock,
    newest_readable,
    number_of,
    numbered,
    optimizer_names,
    require_training_state,
    scheduler_names,
    set_learning_rates,
    unlock,
)
from openseg_plugin.engine.runner.speed import write_down_log
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import HOOKS
from openseg_plugin.utils.files import atomic_write, write_text

STATE_KEY = 'openseg_plugin_loop'


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's CheckpointHook made safe, for local folders. The options are mmengine's.

    * A checkpoint appears under its name only when it is complete and on the disk; an old one is
      deleted after that, and only in the run's own folder. ``last_checkpoint`` is replaced in one
      step. A full disk costs the new checkpoint, never an old one.
    * It holds the state of :class:`openseg_plugin.IterBasedTrainLoop`, so a resume is exact.
    * ``resume=True`` without ``load_from`` takes the checkpoint of the own folder that has the
      most iterations and can be read.
    * The work folder is locked against a second training.
    * Weights that are not finite are never written.

    Args:
        override_lr: a resumed run takes the learning rates of the config instead of those of the
            checkpoint; the schedules go on from where they were.
        options: of mmengine's CheckpointHook.

    Raises:
        ConfigError: an option does not exist or cannot work.
    """

    filename_tmpl: str

    def __init__(self, *, override_lr: bool = False, **options: Any) -> None:
        self._unit_is_given = 'by_epoch' in options
        if isinstance(options.get('out_dir'), os.PathLike):
            options['out_dir'] = os.fspath(options['out_dir'])
        # mmengine's default counts epochs, of which a training by iterations has one
        options.setdefault('by_epoch', False)
        try:
            super().__init__(**options)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f'default_hooks.checkpoint: {error}') from error
        if self.args:  # mmengine swallows what it does not know
            raise ConfigError(
                f'default_hooks.checkpoint has no option {", ".join(sorted(self.args))}: '
                'see CheckpointHook of mmengine for those there are'
            )
        self._check_options()
        self.override_lr = override_lr
        self._config_rates: list[list[float]] | None = None
        self._loop_state: dict | None = None
        self._saved_step: int | None = None
        self._saved_validated: int | None = None

    def _check_options(self) -> None:
        key = 'default_hooks.checkpoint'
        if not isinstance(self.interval, int) or (self.interval < 1 and self.interval != -1):
            raise ConfigError(
                f'{key}.interval is {self.interval!r}: give a whole number of 1 or more, or -1 to '
                'save only at the end'
            )
        if not isinstance(self.max_keep_ckpts, int):
            raise ConfigError(
                f'{key}.max_keep_ckpts is {self.max_keep_ckpts!r}: give a whole number, -1 for all'
            )
        for option in ('out_dir', 'save_begin'):
            kind, what = dict(out_dir=(str, 'a folder'), save_begin=(int, 'a whole number'))[option]
            if not isinstance(getattr(self, option), (kind, type(None))):
                raise ConfigError(f'{key}.{option} is {getattr(self, option)!r}: give {what}')
        name = self.filename_tmpl
        if not _gives_number_back(name):
            raise ConfigError(
                f'{key}.filename_tmpl is {name!r}: give a file name with one {{}}, such as '
                "'iter_{}.pth'; a folder belongs in out_dir"
            )
        places = [self.backend_args or {}, self.file_client_args or {}]
        remote = [p['backend'] for p in places if p.get('backend', 'local') != 'local']
        remote += [self.out_dir] if '://' in str(self.out_dir) else []
        if remote:
            raise ConfigError(
                f'{key} writes to {remote[0]}: it saves to local folders only; mount the storage, '
                "or use mmengine's type='CheckpointHook', which is not atomic"
            )

    def _choose_unit(self, loop: BaseLoop) -> None:
        """Counts as the loop does.

        Raises:
            ConfigError: it was told otherwise: it would save once, at the end.
        """
        counts_epochs = not isinstance(loop, MMEngineLoop)
        if not self._unit_is_given and counts_epochs:
            self.by_epoch = True
            if self.filename_tmpl == 'iter_{}.pth':
                self.filename_tmpl = 'epoch_{}.pth'
        elif self.by_epoch and not counts_epochs:
            raise ConfigError(
                'default_hooks.checkpoint.by_epoch is True, but train_cfg.type '
                f'{type(loop).__name__} counts iterations, so nothing would be saved before the '
                'end: set by_epoch=False, and interval in iterations'
            )

    def before_run(self, runner) -> None:
        """Locks the folders of a training and chooses the checkpoint of an automatic resume."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        refuse_endless_epochs(runner.train_loop)
        self._choose_unit(runner.train_loop)
        folder = checkpoint_folder(runner.work_dir, self.out_dir)
        for one in sorted({runner.work_dir, folder}):  # one order on all processes
            run_on_main(partial(lock, one))
        if runner._resume and runner._load_from is None:
            template = self.filename_tmpl
            runner._load_from = run_on_main(lambda: newest_readable(folder, template=template))

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Hands the loop its state back on a resume, and says what the config has changed.

        Raises:
            CheckpointError: the checkpoint holds weights, but not the state of a training, or that
                of another optimizer.
        """
        if not runner._resume:
            return
        source = runner._load_from
        require_training_state(checkpoint, source=source)
        self._config_rates = learning_rates(runner.optim_wrapper)
        model = getattr(runner.model, 'module', runner.model)
        clauses = check_optimizer(checkpoint, runner.optim_wrapper, model, source=source)
        clauses += check_schedulers(checkpoint, runner.param_schedulers, source=source)
        if self.override_lr:
            clauses = [clause for clause in clauses if not clause.startswith('lr ')]
        if clauses:
            runner.logger.warning(
                f'{source} goes on with its own settings: {", ".join(clauses)}; --override-lr LR '
                'changes the learning rate of a run'
            )
        loop = runner._train_loop
        if STATE_KEY in checkpoint and hasattr(loop, 'load_state_dict'):
            loop.load_state_dict(checkpoint[STATE_KEY])
            self._saved_validated = loop.last_validated

    def before_train(self, runner) -> None:
        """Prepares the folder and clears what a crash left half written."""
        self.out_dir: str = checkpoint_folder(runner.work_dir, self.out_dir)
        os.makedirs(self.out_dir, exist_ok=True)
        # other people's hooks write beside the checkpoints through these, as mmengine offers them
        self.file_backend = self.file_client = get_file_backend(self.out_dir)
        runner.logger.info(f'checkpoints go to {self.out_dir}')
        if not self.save_optimizer:
            runner.logger.warning(
                'default_hooks.checkpoint.save_optimizer is False: the checkpoints of this run '
                'hold weights alone, and --resume cannot go on from them'
            )
        info = runner.message_hub.runtime_info
        kept = info.get('keep_ckpt_ids')
        kept = kept if isinstance(kept, (list, tuple, deque)) else ()
        self.keep_ckpt_ids = deque(step for step in kept if isinstance(step, int))
        for name in self.key_indicators if self.save_best else ():
            self._find_best(name, info)
        if is_main_process():
            for remnant in Path(self.out_dir).glob('.*.tmp'):
                remnant.unlink()
        if self.override_lr and self._config_rates is not None:
            set_learning_rates(runner, self._config_rates)
            runner.logger.info(f'--override-lr: the groups begin at {self._config_rates}')

    def _find_best(self, name: str, info: dict) -> None:
        """The best checkpoint so far is what the records say, if it is in the own folder.

        A record may come from another run's folder or from anybody; only its name counts.
        """
        key = f'best_ckpt{self._suffix(name)}'
        file = os.path.basename(str(info.get(key) or ''))
        path = os.path.join(self.out_dir, file)
        template = f'best_{name}_{self.filename_tmpl}'.replace('/', '_')
        is_own = number_of(file, template) is not None and os.path.isfile(path)
        score = info.get(f'best_score{self._suffix(name)}')
        if score is not None and not isinstance(score, (int, float, np.number)):
            info.pop(f'best_score{self._suffix(name)}')
        self._note_best(name, path if is_own else None)
        if is_own:
            info[key] = path
        else:
            info.pop(key, None)

    def after_run(self, runner) -> None:
        """Gives the folders back."""
        for one in {runner.work_dir, self.out_dir or runner.work_dir}:
            unlock(one)

    def save(self, runner, *, iterations_done: int) -> None:
        """Makes sure that so many iterations have a checkpoint; all processes together.

        A loop by epochs cannot enter one in the middle: a resume goes on from the last whole epoch,
        and only where there is none from a file of this kind, of which there is one at most.
        """
        if self._saved_step == iterations_done:
            return
        meta = dict(epoch=runner.epoch, iter=iterations_done)
        if not self.by_epoch:
            self._save_checkpoint_with_step(runner, iterations_done, meta)
            return
        self.last_ckpt = self._write(
            runner,
            INTERRUPTED.format(iterations_done),
            meta=meta,
            by_epoch=True,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
        )
        self._saved_step = iterations_done
        self._clear_interrupted(keep=iterations_done)
        runner.logger.warning(
            f'{type(runner.train_loop).__name__} cannot go on within an epoch: --resume takes the '
            "last whole one; train_cfg=dict(type='openseg_plugin.IterBasedTrainLoop', "
            f'max_epochs={runner.max_epochs}) goes on exactly'
        )

    def _clear_interrupted(self, *, keep: int | None = None) -> None:
        """Deletes what an end within an epoch left, now that something newer is on the disk."""
        for path in numbered(self.out_dir, template=INTERRUPTED) if is_main_process() else ():
            if number_of(path.name, INTERRUPTED) != keep:
                path.unlink(missing_ok=True)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Adds the state of the loop, and the config as data."""
        checkpoint['meta'][STORED_CONFIG] = as_data(runner.cfg.to_dict())
        if self._loop_state is not None:
            checkpoint[STATE_KEY] = {
                **self._loop_state,
                'optimizers': optimizer_names(runner.optim_wrapper),
                'schedulers': scheduler_names(runner.param_schedulers),
            }

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Saves the best checkpoint, if this is the best; says so if that cannot be told."""
        if hasattr(runner._train_loop, 'mark_validated'):
            runner._train_loop.mark_validated()
        metrics = metrics or {}
        unknown = [name for name in self.save_best or () if name not in (*metrics, 'auto')]
        if unknown or not metrics:  # no reason to end a long run
            runner.logger.warning(
                f'no best checkpoint: default_hooks.checkpoint.save_best is {self.save_best}, but '
                f'the validation measures {", ".join(metrics) or "nothing"}'
            )
            return
        super().after_val_epoch(runner, metrics)

    def after_train(self, runner) -> None:
        """Notes in the last checkpoint that its validation is done, if it was saved before that."""
        validated = getattr(runner.train_loop, 'last_validated', None)
        if self._saved_validated is not None and self._saved_validated != validated:
            self._saved_step = None
            self.save(runner, iterations_done=runner.iter)
        super().after_train(runner)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        loop = runner.train_loop
        if hasattr(loop, 'state_dict'):
            self._loop_state = loop.state_dict(meta['iter'])
        name = self.filename_tmpl.format(step)
        kept, dropped = self._keep(step)
        before = runner.message_hub.runtime_info.get('keep_ckpt_ids')
        runner.message_hub.update_info('keep_ckpt_ids', kept)
        try:
            path = self._write(
                runner,
                name,
                meta=meta,
                by_epoch=self.by_epoch,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
            )
        except BaseException:
            runner.message_hub.update_info('keep_ckpt_ids', before or [])
            raise
        finally:
            self._loop_state = None
        self.last_ckpt = path
        runner.message_hub.update_info('last_ckpt', path)
        if is_main_process() and self._saved_step is None:
            self._set_aside_later(runner, step)
        self._saved_step = meta['iter']
        self._saved_validated = getattr(loop, 'last_validated', None)
        self.keep_ckpt_ids = deque(kept)
        if is_main_process():
            write_text(os.path.join(runner.work_dir, 'last_checkpoint'), path)
            for old in dropped:
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(missing_ok=True)
        if self.by_epoch:
            self._clear_interrupted()

    def _set_aside_later(self, runner, step: int) -> None:
        """Renames checkpoints that a former run left: --resume would take them for this one's."""
        for path in numbered(self.out_dir, template=self.filename_tmpl):
            if (number_of(path.name, self.filename_tmpl) or 0) > step:
                free = path.with_name(f'superseded_{path.name}')
                while free.exists():
                    free = free.with_name(f'superseded_{free.name}')
                path.rename(free)
                runner.logger.warning(
                    f'{path.name} is of a former run that went further than this one: it is '
                    f'called {free.name} now'
                )

    def _keep(self, step: int) -> tuple[list[int], list[int]]:
        """Steps whose checkpoints stay, oldest first, and those that can go."""
        if self.max_keep_ckpts <= 0:
            return [], []
        steps = [old for old in self.keep_ckpt_ids if old != step] + [step]
        return steps[-self.max_keep_ckpts :], steps[: -self.max_keep_ckpts]

    def _write(self, runner, name: str, **options) -> str:
        """Writes one checkpoint of all processes' making; returns its path.

        Raises:
            NotFiniteError: a weight is inf or nan.
            UserError: the disk is full.
        """
        check_weights(runner.model)
        write_down_log(runner)
        path = os.path.join(self.out_dir, name)
        # a loop of mmengine has none: what it trains with is averaged for the file alone
        statistics = getattr(runner.train_loop, 'statistics', None) or RunningStatistics(runner)

        def write() -> None:
            with atomic_write(path) as temporary:
                folder, temporary_name = os.path.split(temporary)
                runner.save_checkpoint(folder, temporary_name, **options)

        with statistics.averaged():
            run_on_main(write)
        return path

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        outdated = [
            self._save_if_best(runner, name, rule=rule, score=metrics[name])
            for name, rule in zip(self.key_indicators, self.rules)
        ]
        if all(old is None for old in outdated):
            return
        if self.last_ckpt is not None:  # the checkpoint of this step learns of the new best
            done = runner.epoch if self.by_epoch else runner.iter
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, done, meta)
        if is_main_process():
            for old in filter(None, outdated):
                Path(old).unlink(missing_ok=True)

    def _save_if_best(self, runner, name: str, *, rule: str, score: float) -> str | None:
        """Saves if ``score`` beats the best; returns the old best's path, '' for none, or None."""
        suffix = self._suffix(name)
        info = runner.message_hub.runtime_info
        best = info.get(f'best_score{suffix}', self.init_value_map[rule])
        if score is None or not self.is_better_than[name](score, best):
            return None
        done = runner.epoch if self.by_epoch else runner.iter
        file = f'best_{name}_{self.filename_tmpl.format(done)}'.replace('/', '_')
        old = self._best(name) or ''
        runner.message_hub.update_info(f'best_score{suffix}', score)
        path = self._write(
            runner,
            file,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
            by_epoch=False,
            save_optimizer=False,
            save_param_scheduler=False,
        )
        runner.message_hub.update_info(f'best_ckpt{suffix}', path)
        self._note_best(name, path)
        runner.logger.info(f'best {name} so far, {score:0.4f} at {done}, saved to {path}')
        return old if old != path else ''

    def _suffix(self, name: str) -> str:
        """What mmengine adds to the names of its records when there are several metrics."""
        return f'_{name}' if len(self.key_indicators) > 1 else ''

    def _best(self, name: str) -> str | None:
        return self.best_ckpt_path_dict[name] if self._suffix(name) else self.best_ckpt_path

    def _note_best(self, name: str, path: str | None) -> None:
        if self._suffix(name):
            self.best_ckpt_path_dict[name] = path
        else:
            self.best_ckpt_path = path


def _gives_number_back(template: Any) -> bool:
    """Whether a file name made by the template says which iteration it is of."""
    if not isinstance(template, str) or os.path.basename(template) != template:
        return False
    if len(re.findall(r'\{[^{}]*\}', template)) != 1:
        return False
    try:
        name = template.format(1234567)
    except (ValueError, LookupError, AttributeError):
        return False
    return number_of(name, template) == 1234567
