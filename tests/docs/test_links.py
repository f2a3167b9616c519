"""What the documentation names is there: pages, files, configs, registered names."""

import re
from pathlib import Path

from doc_pages import NEEDS, PROJECT, blocks, pages
from mmengine.registry import Registry

from openseg_plugin import registry

# what a page asks the reader to write
NEW_FILES = {
    *('configs/_base_/datasets/rooftops.py', 'configs/_base_/models/mean_context_r101.py'),
    *('configs/mean_context/r101_cityscapes_40k.py', 'configs/mean_context/README.md'),
    *('openseg_plugin/converters/checkpoints/acme.py', 'tests/layers/test_mean_context.py'),
    *('openseg_plugin/converters/datasets/rooftops.py', 'openseg_plugin/layers/mean_context.py'),
    'openseg_plugin/models/heads/mean_context_head.py',
    'tests/models/heads/test_mean_context_head.py',
}
NEW_CLASSES = {'MeanContextHead', 'RooftopsDataset'}
REGISTRIES = [value for value in vars(registry).values() if isinstance(value, Registry)]
_PATH = re.compile(r'(?<![\w/.-])((?:configs|tools|tests|docs|benchmarks|openseg_plugin)/[\w./*]+)')


def own_words(page: Path) -> str:
    """Text of a page; on how to move here, without the columns that name files of others."""
    text = page.read_text(encoding='utf-8')
    return re.sub(r'^\|[^|]*\|', '|', text, flags=re.M) if page.parent.name == 'migration' else text


def wrong(check) -> dict[str, list[str]]:
    """Page -> what ``check`` finds there, for the pages where it finds something."""
    found = {page.relative_to(PROJECT).as_posix(): check(page) for page in pages()}
    return {name: faults for name, faults in found.items() if faults}


def test_links_lead_to_files():
    def missing(page: Path) -> list[str]:
        targets = re.findall(r'\]\(([^)#\s]+)(?:#[^)]*)?\)', page.read_text(encoding='utf-8'))
        return [t for t in targets if '://' not in t and not source_of(page.parent / t).exists()]

    assert not wrong(missing)


def test_readme_is_short_and_leads_to_every_how_to_page():
    text = (PROJECT / 'README.md').read_text(encoding='utf-8')
    assert len(text.encode()) <= 8000
    pages = {path.name for path in PROJECT.glob('docs/how_to/*.md')} - {'index.md'}
    assert not [name for name in sorted(pages) if f'](docs/how_to/{name})' not in text]


def source_of(path: Path) -> Path:
    """The file itself, or for a page that the build makes, what it is made from."""
    if path.parent.name == 'generated':
        return PROJECT / 'configs' / path.stem / 'README.md'
    return path


def test_files_of_the_project_are_called_what_they_are_called():
    def missing(page: Path) -> list[str]:
        named = {name.rstrip('.') for name in _PATH.findall(own_words(page))} - NEW_FILES
        return sorted(
            name for name in named if '_N.' not in name and not any(PROJECT.glob(name.rstrip('/')))
        )

    assert not wrong(missing)


def test_registered_names_exist():
    def unknown(page: Path) -> list[str]:
        names = set(re.findall(r'openseg_plugin\.([A-Z]\w+)', page.read_text(encoding='utf-8')))
        return sorted(
            name
            for name in names - NEW_CLASSES
            if not any(known.get(f'openseg_plugin.{name}') for known in REGISTRIES)
        )

    assert not wrong(unknown)


def test_marks_of_blocks_are_known():
    assert not wrong(lambda page: sorted({block.needs for block in blocks(page)} - NEEDS - {''}))
