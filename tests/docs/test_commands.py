"""Every command of the documentation runs on tiny data, or is marked and at least well formed."""

import contextlib
import io
import re
import shlex
import shutil
from functools import cache

import doc_sandbox
import pytest
from doc_pages import PROJECT, Block, blocks, inline_commands, pages
from doc_sandbox import Sandbox, verb_of
from in_one_test import in_one_test

from benchmarks.__main__ import parse as parse_benchmark
from openseg_plugin.cli.main import VERBS, run

# trains, exports or starts several processes
SLOW = {
    'docs/concepts/configs.md',
    *('README.md', 'docs/get_started/tutorial.md', 'docs/reproduction/index.md'),
    *(
        f'docs/how_to/{name}.md'
        for name in ('deployment', 'distributed', 'segfix', 'speed', 'testing', 'training')
    ),
}
OTHERS = {'source', 'tensorboard', 'git', 'pip', 'pre-commit', 'sbatch', 'pytest', 'torchrun'}
OTHERS |= {'cmake', 'curl'}


def commands(*, run_here: bool) -> dict[str, list[tuple[Block, str]]]:
    """Page -> its commands that run here, or those that are marked."""
    found = {}
    for page in pages():
        lines = [
            (block, line)
            for block in blocks(page)
            if block.language == 'bash' and run_here == (not block.needs)
            for line in block.commands()
        ]
        if lines:
            found[page.relative_to(PROJECT).as_posix()] = lines
    return found


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    return doc_sandbox.make(tmp_path_factory.mktemp('pages'))


@pytest.mark.parametrize(
    'page',
    [
        pytest.param(page, marks=pytest.mark.slow if page in SLOW else ())
        for page in commands(run_here=True)
    ],
)
def test_commands_of_a_page_run_one_after_another(page, prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path / 'here', symlinks=True)
    sandbox = Sandbox(tmp_path / 'here', monkeypatch)
    for block, line in commands(run_here=True)[page]:
        assert sandbox.run(line) == 0, f'{page}, block at line {block.line}: {line}'


def test_marked_commands_have_options_that_exist():
    for page, lines in commands(run_here=False).items():
        for block, line in lines:
            assert_is_well_formed(line, f'{page}, block at line {block.line}')


def test_commands_in_the_running_text_have_options_that_exist():
    for page in pages():
        for line in inline_commands(page):
            assert_is_well_formed(line, page.name)


@in_one_test('verb', VERBS)
def test_examples_in_the_help_of_a_verb_have_options_that_exist(verb):
    for line in re.findall(r'^  (openseg .*)', help_text(VERBS[verb][0], ()), re.M):
        assert_is_well_formed(line, f'openseg {verb} --help')


def assert_is_well_formed(line: str, where: str) -> None:
    words = shlex.split(line.removeprefix('export '), comments=True)
    while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
        del words[0]
    if not words or words[0] in OTHERS or words[1:] == ['--help']:
        return
    if words[0] == 'openseg':
        module, arguments = verb_of(words[1:])
        assert not options(arguments) - options_of(module, arguments), f'{where}: {line}'
    elif words[0] == 'bash':
        assert (PROJECT / words[1]).is_file(), f'{where}: {line}'
        module = {'dist_train.sh': 'train', 'dist_test.sh': 'test', 'slurm_train.sh': 'train',
                  'slurm_test.sh': 'test'}.get(words[1].rpartition('/')[2])  # fmt: skip
        if module:
            assert not options(words) - options_of(module, []), f'{where}: {line}'
    elif words[:3] == ['python', '-m', 'benchmarks']:
        parse_benchmark(words[3:])
    elif words[:2] != ['python', 'run.py'] and words[:3] != ['python', '-m', 'http.server']:
        # the first is what openseg export --runner writes
        pytest.fail(f'{where}: nobody knows the command {line}')


def options(words: list[str]) -> set[str]:
    return {word.partition('=')[0] for word in words if word.startswith('--')}


def options_of(module: str, arguments: list[str]) -> set[str]:
    """What the help of a verb, or of its step or converter, lists."""
    nested = module in {'convert_dataset', 'segfix', 'weights'}
    inner = [word for word in arguments[:1] if nested and re.fullmatch(r'[a-z][\w-]*', word)]
    return help_options(module, tuple(inner)) | {'--help', '--debug'}


@cache
def help_options(module: str, inner: tuple[str, ...]) -> set[str]:
    return set(re.findall(r'--[a-z][\w-]*', help_text(module, inner)))


def help_text(module: str, inner: tuple[str, ...]) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        run(f'openseg_plugin.cli.{module}', [*inner, '--help'])
    return text.getvalue()
