"""The type checker is silent because types are right, not because it was told to be."""

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / 'openseg_plugin'
MOST = 40
IGNORED = re.compile(r'#\s*type:\s*ignore(?P<code>\[[a-z-]+(, ?[a-z-]+)*\])?(?P<rest>.*)')


def test_few_lines_are_ignored_and_each_says_which_error_and_why():
    places, bad = [], []
    for path in sorted(PACKAGE.rglob('*.py')):
        lines = path.read_text(encoding='utf-8').splitlines()
        for number, line in enumerate(lines):
            found = IGNORED.search(line)
            if not found:
                continue
            place = f'{path.relative_to(PACKAGE.parent)}:{number + 1}'
            places.append(place)
            reason = re.match(r'\s+# \w.{6,}', found['rest'])
            above = number > 0 and lines[number - 1].lstrip().startswith('# ')
            if not found['code'] or not (reason or above):
                bad.append(f'{place}: {line.strip()}')
    assert not bad, 'write "# type: ignore[code]  # reason", or the reason above:\n' + '\n'.join(
        bad
    )
    assert places, 'the pattern finds none at all'
    assert len(places) <= MOST, f'{len(places)} lines are ignored: {places}'
