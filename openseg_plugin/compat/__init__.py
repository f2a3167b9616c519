"""The only package that knows about versions and patches other packages: one file per patch.

Each file says what it patches, for which versions, and when it can go. Nothing heavy is imported
here: the patch of a module waits until somebody imports that module.

Patches that make mmseg and mmengine importable on today's Python and torch do nothing where
nothing is missing: :mod:`.compiled_ops`, :mod:`.pkg_resources`, :mod:`.find_loader`,
:mod:`.torchvision`. Those that change what stock code does make it safe
without making it less able: :mod:`.checkpoint_reading`, :mod:`.inferencer`, :mod:`.yaml_configs`,
:mod:`.config_variables`; :mod:`.config_names` finds our configs by name. :mod:`.lazy_imports`
changes only how long an import takes.
"""

import functools

from openseg_plugin.compat import (
    checkpoint_reading,
    compiled_ops,
    config_names,
    config_variables,
    find_loader,
    inferencer,
    lazy_imports,
    pkg_resources,
    torchvision,
    yaml_configs,
)
from openseg_plugin.compat.checkpoint_reading import (
    TRUST_VARIABLE,
    checkpoints_are_trusted,
    trust_checkpoints,
)
from openseg_plugin.compat.versions import check

__all__ = ['TRUST_VARIABLE', 'apply', 'check', 'checkpoints_are_trusted', 'trust_checkpoints']

PATCHES = (
    compiled_ops,
    pkg_resources,
    find_loader,
    torchvision,
    checkpoint_reading,
    inferencer,
    yaml_configs,
    config_variables,
    config_names,
    lazy_imports,
)


@functools.cache
def apply() -> None:
    """Apply all patches. Costs milliseconds; a second call does nothing."""
    for patch in PATCHES:
        patch.install()
