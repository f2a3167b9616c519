"""The commands and Python examples of the README and of every page of the documentation.

A block that cannot run on tiny data without a network, GPUs or a cluster is marked in the page, by
a comment in the line before it: ``<!-- needs: download -->``. Its commands are parsed all the same.
"""

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
NEEDS = {
    *(
        'bfloat16',
        'checkpoint',
        'cluster',
        'download',
        'extra',
        'gpus',
        'memory',
        'minutes',
        'shell',
    ),
}
_FENCE = re.compile(
    r'^(?:<!-- needs: (?P<needs>[^>]*?) -->\n)?'
    r'^(?P<fence>```|~~~)(?P<language>\S*)\n(?P<text>.*?)^(?P=fence)$',
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r'`((?:openseg |bash tools/)[^`]*)`')


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: path of the page, relative to the project.
        line: number of its first line, from 1.
        language: ``bash``, ``python``, or what else stands behind the fence.
        text: what is inside.
        needs: what it takes beyond tiny data and a CPU; empty: it runs in the tests.
    """

    page: str
    line: int
    language: str
    text: str
    needs: str

    def commands(self) -> list[str]:
        """Commands of a ``bash`` block, continued lines joined, comment lines left out."""
        lines = self.text.replace('\\\n', ' ').splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def pages() -> list[Path]:
    """README, CONTRIBUTING, the pages in docs/ and the README of every method."""
    found = [*PROJECT.glob('docs/**/*.md'), *PROJECT.glob('configs/*/README.md')]
    made = {'_build', '_generated', 'generated'}
    written = [path for path in found if not made & set(path.parts)]
    return [PROJECT / 'README.md', PROJECT / 'CONTRIBUTING.md', *sorted(written)]


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page, in order."""
    text = page.read_text(encoding='utf-8')
    return [
        Block(
            page.relative_to(PROJECT).as_posix(),
            text.count('\n', 0, found.start('text')) + 1,
            found['language'],
            found['text'],
            found['needs'] or '',
        )
        for found in _FENCE.finditer(text)
    ]


def inline_commands(page: Path) -> list[str]:
    """Commands in the running text and in tables, between back quotes."""
    text = _FENCE.sub('', page.read_text(encoding='utf-8'))
    return [' '.join(command.split()) for command in _INLINE.findall(text)]
