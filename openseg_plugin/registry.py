"""Child registries of mmseg's: the one place that knows the scope name ``openseg_plugin``.

``type='openseg_plugin.X'`` in a config finds X here: mmengine imports ``openseg_plugin.registry``
by itself, and then the modules under ``locations``. A bare name means mmseg, mmcv or mmengine.
"""

from openseg_plugin import compat

compat.check()

from mmengine.registry import Registry  # noqa: E402  after the check: its sentence comes first
from mmseg import registry as mmseg_registry  # noqa: E402

SCOPE = 'openseg_plugin'


def _child(kind: str, parent: Registry, *locations: str) -> Registry:
    return Registry(
        kind, parent=parent, scope=SCOPE, locations=[f'{SCOPE}.{place}' for place in locations]
    )


MODELS = _child(
    *('model', mmseg_registry.MODELS, 'models', 'inference', 'export.session'),
    *('segfix.head', 'segfix.segmentor'),
)
DATASETS = _child(
    *('dataset', mmseg_registry.DATASETS, 'datasets.base', 'datasets.custom', 'datasets.public')
)
DATA_SAMPLERS = _child('data sampler', mmseg_registry.DATA_SAMPLERS, 'datasets.samplers')
TRANSFORMS = _child(
    'transform', mmseg_registry.TRANSFORMS, 'datasets.transforms', 'inference', 'segfix.transforms'
)
EVALUATORS = _child('evaluator', mmseg_registry.EVALUATOR, 'segfix.evaluator')
METRICS = _child(
    *('metric', mmseg_registry.METRICS, 'evaluation.iou_metric', 'evaluation.boundary_metrics'),
    'segfix.evaluator',
)
HOOKS = _child(
    *('hook', mmseg_registry.HOOKS, 'engine.hooks.checkpoint', 'engine.hooks.invalid_loss'),
    *('engine.hooks.plots', 'engine.hooks.report', 'engine.hooks.signals'),
    *('engine.hooks.visualization', 'engine.runner.speed'),
    *('data_checks.training_check', 'datasets.cache'),
)
LOOPS = _child('loop', mmseg_registry.LOOPS, 'engine.runner.loops')
VISUALIZERS = _child('visualizer', mmseg_registry.VISUALIZERS, 'engine.hooks.visualization')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    *('optimizer wrapper constructor', mmseg_registry.OPTIM_WRAPPER_CONSTRUCTORS),
    'engine.optim.schedulers',
)
OPTIM_WRAPPERS = _child('optim_wrapper', mmseg_registry.OPTIM_WRAPPERS, 'engine.optim.schedulers')
PARAM_SCHEDULERS = _child(
    'parameter scheduler', mmseg_registry.PARAM_SCHEDULERS, 'engine.optim.schedulers'
)
