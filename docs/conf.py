"""How Sphinx builds the documentation: ``bash docs/build.sh``."""

import ast
import importlib
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
PACKAGE = PROJECT / 'openseg_plugin'
sys.path.insert(0, str(PROJECT))
openseg_plugin = importlib.import_module('openseg_plugin')

project = 'openseg_plugin'
author = 'The openseg_plugin contributors'
copyright = '2026, the openseg_plugin contributors'
version = release = openseg_plugin.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
]
exclude_patterns = ['_build', '_generated']
# annotations of types that the command line imports late are bare names, such as 'Settings'
suppress_warnings = ['ref.python']

myst_enable_extensions = ['colon_fence', 'deflist']
myst_heading_anchors = 3

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_default_options = {'ignore-module-all': True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'openseg_plugin {version}'

_LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)')


def write_method_pages() -> None:
    """One page per method from ``configs/<method>/README.md``, with links that hold here."""
    pages = {
        f'{path.parent.name}.md': _LINK.sub(_link_from_configs, path.read_text(encoding='utf-8'))
        for path in (PROJECT / 'configs').glob('*/README.md')
    }
    _write(DOCS / 'reproduction' / 'generated', pages)


def _link_from_configs(link: re.Match) -> str:
    """A link of a README below configs/, as it must be in docs/reproduction/generated/."""
    image, text, target = link.groups()
    if '://' in target or target.startswith('#'):
        return link[0]
    page = re.fullmatch(r'\.\./(\w+)/README\.md(#.*)?', target)
    if page:
        return f'[{text}]({page[1]}.md{page[2] or ""})'
    if target.startswith('../../docs/'):
        return f'{image}[{text}](../../{target.removeprefix("../../docs/")})'
    return f'`{text}`'


def write_api_pages() -> None:
    """One page per package of ``openseg_plugin``, with all of its modules."""
    pages = {}
    for folder in [PACKAGE, *(path.parent for path in PACKAGE.glob('*/**/__init__.py'))]:
        package = '.'.join(folder.relative_to(PROJECT).parts)
        lines = [package, '=' * len(package), '', f'.. automodule:: {package}', '']
        for path in sorted(folder.glob('[!_]*.py')):
            lines += [path.stem, '-' * len(path.stem), '']
            lines += [f'.. automodule:: {package}.{path.stem}', '   :members:']
            lines += ['   :show-inheritance:', '']
        pages[f'{package}.rst'] = '\n'.join(lines)
    _write(DOCS / 'api' / 'generated', pages)


def write_patches() -> None:
    """The modules of ``openseg_plugin/compat`` with what their docstrings say, for patches.md."""
    sections = []
    for path in sorted((PACKAGE / 'compat').glob('[!_]*.py')):
        text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
        text = re.sub(r':\w+:`~?([^`]*)`', r'`\1`', text).replace('``', '`')
        sections.append(f'## {path.stem}\n\n{text}\n')
    _write(DOCS / '_generated', {'patches.md': '\n'.join(sections)})


def _write(folder: Path, pages: dict[str, str]) -> None:
    """Leaves exactly these pages in ``folder``; those that did not change are not written again,
    so that Sphinx need not read them again."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding='utf-8') != text:
            path.write_text(text, encoding='utf-8')


def read_cached_methods_from_classes() -> None:
    """mmcv's ``cache_randomness`` raises where a method is read from its class, as autodoc does."""
    from mmcv.transforms.utils import cache_randomness

    bound = cache_randomness.__get__

    def get(self: cache_randomness, instance: object, owner: type) -> object:
        return self.func if instance is None else bound(self, instance, owner)

    cache_randomness.__get__ = get


def setup(app: Sphinx) -> None:
    write_method_pages()
    write_patches()
    write_api_pages()
    read_cached_methods_from_classes()
