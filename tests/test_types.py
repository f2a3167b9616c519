"""The type checker is silent because types are right, not because it was told to be."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / 'openseg_plugin'
STRICT = ('converters', 'export', 'inference', 'layers', 'segfix', 'utils')
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
            place = f'{path.relative_to(PROJECT)}:{number + 1}'
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


def test_the_checker_runs_on_everything_before_the_tests():
    script = (PROJECT / 'tests' / 'run.sh').read_text(encoding='utf-8')
    assert script.index('-m mypy\n') < script.index('-m pytest')
    settings = (PROJECT / 'pyproject.toml').read_text(encoding='utf-8').partition('[tool.mypy]')[2]
    everywhere, strict, others = settings.split('[[tool.mypy.overrides]]')
    assert 'packages = ["openseg_plugin"]' in everywhere
    assert 'check_untyped_defs = true' in everywhere
    assert 'disallow_untyped_defs = true' in strict
    assert re.findall(r'"openseg_plugin\.(\w+)\.\*"', strict) == list(STRICT)
    assert 'openseg_plugin' not in others and 'ignore_errors' not in settings
