"""``curves.png`` in the work folder, kept up to date while training."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook

from openseg_plugin.registry import HOOKS
from openseg_plugin.report.curves import CURVES, read_run, write_png


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draws the scalars of the run so far after every validation and at the end.

    A drawing that fails costs a warning, never the training.
    """

    priority = 'VERY_LOW'  # after the logger has written the validation's metrics

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Draws."""
        self._draw(runner)

    def after_train(self, runner) -> None:
        """Draws."""
        self._draw(runner)

    @master_only
    def _draw(self, runner) -> None:
        folder = Path(runner.work_dir)
        try:
            write_png(folder / CURVES, [read_run(folder)])
        except Exception as error:
            runner.logger.warning(f'{folder / CURVES} was not drawn: {error}')
