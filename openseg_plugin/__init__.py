"""The OpenSeg family of semantic segmentation methods as a plug-in for MMSegmentation 1.2.

Importing this package is cheap: it only fixes what today's Python and PyTorch miss
(:mod:`openseg_plugin.compat`). Everything else is found through the registries
(:mod:`openseg_plugin.registry`) under the scope ``openseg_plugin``.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openseg_plugin import compat

if TYPE_CHECKING:
    from openseg_plugin.inference.segmenter import Segmenter

__version__ = '0.2.0'


def _refuse_as_script() -> None:
    """A module of this package that is run as a script, and none, must not look like a success."""
    package, main = Path(__file__).parent, sys.modules.get('__main__')
    if sys.argv[:1] == ['-m']:  # Python is looking for the module
        words = [word.removeprefix('-m') for word in sys.orig_argv[1:]]
        name = next((word for word in words if word.startswith(f'{__name__}.')), __name__)
        file = package.joinpath(*name.split('.')[1:]).with_suffix('.py')
    elif getattr(main, '__spec__', None) is None and getattr(main, '__file__', None):
        file = Path(str(getattr(main, '__file__', ''))).resolve()
    else:
        return
    if package not in file.parents or not file.is_file() or file.name == '__main__.py':
        return
    start = "if __name__ == '__main__'"
    if start in file.read_text(encoding='utf-8'):
        return
    verb, command = file.stem.replace('_', '-'), package / 'cli' / file.name
    is_verb = command.is_file() and start in command.read_text(encoding='utf-8')
    hint = f'openseg {verb}' if is_verb else 'openseg VERB'
    place = file.relative_to(package.parent)
    print(f'error: {place} does nothing by itself: run {hint}; see openseg --help', file=sys.stderr)
    raise SystemExit(2)


_refuse_as_script()
compat.apply()


def load(model: str, checkpoint: str | None = None, **options: Any) -> 'Segmenter':
    """A model that predicts images; see :func:`openseg_plugin.inference.loading.load`.

    Args:
        model: a checkpoint with its config inside, a published file, a name of the model zoo, or,
            with ``checkpoint``, a config.
        checkpoint: weights for the config.
        options: such as ``device='cuda'`` or ``aug_test=True``.

    Raises:
        UserError: there is no such model, its weights do not fit, or an option does not.
    """
    from openseg_plugin.inference.loading import load as load_segmenter

    return load_segmenter(model, checkpoint, **options)
