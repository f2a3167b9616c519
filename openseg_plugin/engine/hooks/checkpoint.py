"""Checkpoints that cannot be lost, and that continue a run exactly."""

import os
from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook

from openseg_plugin.converters.checkpoints.stored_config import STORED_CONFIG, as_data
from openseg_plugin.engine.distributed.process_group import run_on_main
from openseg_plugin.engine.hooks.invalid_loss import check_weights
from openseg_plugin.engine.runner.loops import average_running_statistics
from openseg_plugin.engine.runner.resume import newest_readable
from openseg_plugin.errors import CheckpointError, ConfigError
from openseg_plugin.registry import HOOKS
from openseg_plugin.utils.atomic import atomic_write, write_text

STATE_KEY = 'openseg_plugin_loop'


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's CheckpointHook made safe, for local folders. The options are mmengine's.

    * A checkpoint appears under its name only when it is complete and on the disk; an old one is
      deleted after that. ``last_checkpoint`` is replaced in one step. A full disk costs the new
      checkpoint, never an old one.
    * It holds the state of :class:`openseg_plugin.IterBasedTrainLoop`, so a resume is exact.
    * ``resume=True`` without ``load_from`` takes the newest checkpoint that can be read.
    * Weights that are not finite are never written.
    """

    def __init__(self, **options) -> None:
        try:
            super().__init__(**options)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f'default_hooks.checkpoint: {error}') from error
        if self.args:  # mmengine swallows what it does not know
            raise ConfigError(
                f'default_hooks.checkpoint has no option {", ".join(sorted(self.args))}: '
                'see CheckpointHook of mmengine for those there are'
            )
        self._loop_state: dict | None = None
        self._saved_step: int | None = None
        self._saved_validated: int | None = None

    # -- resuming -----------------------------------------------------------------------------

    def before_run(self, runner) -> None:
        """Chooses the checkpoint of an automatic resume, before the runner looks for it."""
        if runner._resume and runner._load_from is None:
            runner._load_from = run_on_main(lambda: newest_readable(runner.work_dir))

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Hands the loop its state back on a resume.

        Raises:
            CheckpointError: the checkpoint holds weights, but not the state of a training.
        """
        if not runner._resume:
            return
        lacking = {'meta', 'message_hub', 'optimizer'} - checkpoint.keys()
        if lacking or 'iter' not in checkpoint['meta']:
            raise CheckpointError(
                f'{runner._load_from} holds no training to go on with, only weights (so do the '
                'best_*.pth files): resume from an iter_*.pth, or start from it with '
                '--cfg-options load_from=PATH'
            )
        loop = runner._train_loop
        if STATE_KEY in checkpoint and hasattr(loop, 'load_state_dict'):
            loop.load_state_dict(checkpoint[STATE_KEY])
            self._saved_validated = loop.last_validated

    def before_train(self, runner) -> None:
        """Prepares the folder and clears what a crash left half written."""
        if self.out_dir is None:
            self.out_dir = runner.work_dir
        elif self.out_dir != runner.work_dir:
            self.out_dir = os.path.join(self.out_dir, os.path.basename(runner.work_dir))
        runner.logger.info(f'checkpoints go to {self.out_dir}')
        info = runner.message_hub.runtime_info
        self.keep_ckpt_ids = deque(info.get('keep_ckpt_ids', ()))
        for name in self.key_indicators if self.save_best else ():
            self._note_best(name, info.get(f'best_ckpt{self._suffix(name)}'))
        if is_main_process():
            for remnant in Path(self.out_dir).glob('.*.pth.tmp'):
                remnant.unlink()

    # -- saving -------------------------------------------------------------------------------

    def save(self, runner, *, steps_done: int) -> None:
        """Makes sure that there is a checkpoint of ``steps_done`` steps; all processes together."""
        if self._saved_step != steps_done:
            meta = dict(epoch=runner.epoch, iter=steps_done)
            self._save_checkpoint_with_step(runner, steps_done, meta)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Adds the state of the loop, and the config as data."""
        checkpoint['meta'][STORED_CONFIG] = as_data(runner.cfg.to_dict())
        if self._loop_state is not None:
            checkpoint[STATE_KEY] = self._loop_state

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
            self.save(runner, steps_done=runner.iter)
        super().after_train(runner)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        average_running_statistics(runner.model)
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
        self._saved_step = meta['iter']
        self._saved_validated = getattr(loop, 'last_validated', None)
        self.keep_ckpt_ids = deque(kept)
        if is_main_process():
            write_text(os.path.join(runner.work_dir, 'last_checkpoint'), path)
            for old in dropped:
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(missing_ok=True)

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
        path = os.path.join(self.out_dir, name)

        def write() -> None:
            with atomic_write(path) as temporary:
                folder, temporary_name = os.path.split(temporary)
                runner.save_checkpoint(folder, temporary_name, **options)

        run_on_main(write)
        return path

    # -- the best one -------------------------------------------------------------------------

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
        old = info.get(f'best_ckpt{suffix}') or ''
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

    def _note_best(self, name: str, path: str | None) -> None:
        if self._suffix(name):
            self.best_ckpt_path_dict[name] = path
        else:
            self.best_ckpt_path = path
