"""``_base_ = 'openseg_plugin::ocr/hrnet48_cityscapes_80k.py'`` finds the configs of this package.

For: mmengine 0.10 (``Config._get_cfg_path``), whose ``pkg::`` names know OpenMMLab's packages only.
Ends when: mmengine finds the configs of any installed package. Its table of packages is written in
its code, so configs that lie where OpenMMLab's do (``.mim``) are not found either.
"""

from types import ModuleType

from openseg_plugin.compat.import_hooks import after_import
from openseg_plugin.paths import config_path

_PREFIX = 'openseg_plugin::'


def install() -> None:
    """Extends mmengine's way to find bases, when it is imported."""
    after_import({'mmengine.config.config': _extend})


def _extend(module: ModuleType) -> None:
    stock = module.Config._get_cfg_path

    def _get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(_PREFIX):
            # no scope: the types of our configs are written for any
            return str(config_path(cfg_path.removeprefix(_PREFIX))), None
        return stock(cfg_path, filename)

    module.Config._get_cfg_path = staticmethod(_get_cfg_path)
