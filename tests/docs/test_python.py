"""The Python blocks of the documentation run, page by page, from top to bottom."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from doc_pages import PROJECT, Block, blocks, pages
from mmengine.config import Config

from openseg_plugin.registry import MODELS


def python_blocks() -> dict[str, list[Block]]:
    found = {
        page.relative_to(PROJECT).as_posix(): [b for b in blocks(page) if b.language == 'python']
        for page in pages()
    }
    return {page: there for page, there in found.items() if there}


@pytest.mark.parametrize('page', python_blocks())
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {'__name__': 'page'}
    for number, block in enumerate(python_blocks()[page]):
        if block.needs:
            compile(block.text, page, 'exec')
        elif block.text.startswith('_base_'):
            read_as_config(block, tmp_path / str(number))
        else:
            exec(compile('\n' * (block.line - 1) + block.text, str(PROJECT / page), 'exec'), names)
            build_parts(names)


def read_as_config(block: Block, folder: Path) -> None:
    """A block that derives from bases must be a config that can be read in the place it is for."""
    shutil.copytree(PROJECT / 'configs/_base_', folder / '_base_')
    path = folder / ('_base_/datasets' if "'../pipelines/" in block.text else 'ocr') / 'page.py'
    path.parent.mkdir(exist_ok=True)
    path.write_text(block.text, encoding='utf-8')
    Config.fromfile(path)


def build_parts(names: dict[str, Any]) -> None:
    """Heads and losses that a block configures can be built."""
    model = names.get('model')
    head = model.get('decode_head') if isinstance(model, dict) else None
    for part in (head, names.get('loss_decode')):
        if isinstance(part, dict) and part.get('type', '').startswith('openseg_plugin.'):
            MODELS.build(dict(part))
