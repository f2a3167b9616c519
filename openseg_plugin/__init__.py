"""The OpenSeg family of semantic segmentation methods as a plug-in for MMSegmentation 1.2.

Importing this package is cheap: it only fixes what today's Python and PyTorch miss
(:mod:`openseg_plugin.compat`). Everything else is found through the registries
(:mod:`openseg_plugin.registry`) under the scope ``openseg_plugin``.
"""

from typing import TYPE_CHECKING, Any

from openseg_plugin import compat

if TYPE_CHECKING:
    from openseg_plugin.inference.segmenter import Segmenter

__version__ = '0.2.0'

compat.apply()


def load(model: str, checkpoint: str | None = None, **options: Any) -> 'Segmenter':
    """A model that predicts images; see :func:`openseg_plugin.inference.segmenter.load`.

    Args:
        model: a checkpoint with its config inside, a published file, a name of the model zoo, or,
            with ``checkpoint``, a config.
        checkpoint: weights for the config.
        options: such as ``device='cuda'`` or ``aug_test=True``.

    Raises:
        UserError: there is no such model, its weights do not fit, or an option does not.
    """
    from openseg_plugin.inference.segmenter import load as load_segmenter

    return load_segmenter(model, checkpoint, **options)
