"""``openseg``: verbs that load nothing before they are chosen."""

import argparse
import configparser
import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import openseg_plugin
from openseg_plugin import __version__
from openseg_plugin.cli.info import EXTRAS
from openseg_plugin.cli.main import VERBS, main

HEAVY = ('torch', 'mmengine', 'mmcv', 'mmseg', 'scipy', 'matplotlib', 'timm')
LINES = 60


def helps() -> dict[str, tuple[list[str], list[str]]]:
    """Verb -> (lines of its help, packages in HEAVY that are there after it); '' is the overview.

    One process, one verb after the other: what one of them imports is seen with the next too.
    """
    code = f"""
import contextlib, io, json, sys
from openseg_plugin.cli.info import EXTRAS
from openseg_plugin.cli.main import VERBS, main
found = {{}}
for verb in ('', *VERBS):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([verb, '--help'] if verb else ['--help'])
    heavy = [name for name in {HEAVY} if name in sys.modules]
    found[verb] = text.getvalue().splitlines(), heavy
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_help_of_every_verb_is_short_has_an_example_and_imports_nothing_heavy():
    found = helps()
    assert found.keys() == {'', *VERBS}
    for verb, (lines, heavy) in found.items():
        assert not heavy, f'openseg {verb} --help imports {heavy}'
        assert 5 < len(lines) <= LINES, f'openseg {verb} --help has {len(lines)} lines'
        if verb:
            assert any(line.startswith('  openseg ') for line in lines), f'{verb}'


def parsers(name: str, parser: argparse.ArgumentParser):
    """The parser and those of its steps, with their names."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for step, inner in action.choices.items():
                yield from parsers(f'{name} {step}', inner)


def test_help_of_every_step_is_short_has_an_example_and_shows_defaults(monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    for verb, (module, _) in VERBS.items():
        parser = importlib.import_module(f'openseg_plugin.cli.{module}').build_parser()
        for name, one in parsers(verb, parser):
            text = one.format_help()
            assert len(text.splitlines()) <= LINES, f'openseg {name} --help'
            assert f'  openseg {name} ' in f'{text} '.replace('\n', ' \n'), f'openseg {name} --help'
            assert '--version' in one._option_string_actions, name
            for action in one._actions:
                if isinstance(action, argparse._SubParsersAction):
                    continue
                assert action.help, f'{name}: {action.dest} is not explained'
                default = action.default
                if default is None or default is False or default in ((), [], argparse.SUPPRESS):
                    continue
                said = one._get_formatter()._expand_help(action)
                assert said.count('default') == 1, f'{name}: {action.dest}: {said}'


def test_help_of_a_step_that_is_a_command_of_its_own_names_the_whole_command(capsys):
    with contextlib.suppress(SystemExit):
        main(['weights', 'convert', '--help'])
    assert capsys.readouterr().out.startswith('usage: openseg weights convert ')


def test_verbs_with_results_know_json():
    options = {
        name: {option for action in one._actions for option in action.option_strings}
        for verb, (module, _) in VERBS.items()
        for name, one in parsers(
            verb, importlib.import_module(f'openseg_plugin.cli.{module}').build_parser()
        )
    }
    wanted = [
        'test',
        'predict',
        'report',
        'curves',
        'configure',
        'check-dataset',
        'config',
        'flops',
    ]
    wanted += ['info', 'convert-dataset labelme', 'train', 'synth', 'browse-dataset']
    wanted += [f'segfix {step}' for step in ('apply', 'predict', 'make-targets')]
    wanted += [f'weights {step}' for step in ('list', 'show', 'get', 'score', 'convert')]
    assert not [name for name in wanted if '--json' not in options[name]]


COMPLETE = """
source <("$PYTHON" -m openseg_plugin --print-completion bash)
complete -p openseg >/dev/null || exit 1
for line in "$@"; do
  read -ra COMP_WORDS <<<"$line"
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMPREPLY=()
  _shtab_openseg
  echo "${COMPREPLY[@]}"
done
"""


def test_bash_completes_verbs_options_and_the_steps_of_a_verb():
    lines = ['openseg tr', 'openseg train --res', 'openseg convert-dataset labelm', 'openseg nothi']
    done = subprocess.run(
        ['bash', '-c', COMPLETE, 'bash', *lines],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHON': sys.executable},
    )
    assert done.stderr == ''
    assert done.stdout.splitlines() == ['train', '--resume', 'labelme', '']


def test_unknown_shell_is_one_sentence(capsys):
    assert main(['--print-completion', 'cmd']) == 2
    assert 'give one of bash' in capsys.readouterr().err


def test_module_that_is_run_as_a_script_works_or_says_what_does():
    package = Path(openseg_plugin.__file__).parent
    commands = {
        ('-m', 'openseg_plugin.engine.runner.training', 'x.py'): 'run openseg VERB',
        ('-m', 'openseg_plugin.data_checks.examine'): 'does nothing by itself',
        (str(package / 'engine/hooks/plots.py'),): 'does nothing by itself',
        ('-m', 'openseg_plugin.cli.train', 'x.py'): 'there is no config x.py',
        (str(package / 'cli/train.py'), 'x.py'): 'there is no config x.py',
    }
    for arguments, sentence in commands.items():
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
        assert done.returncode == 2, arguments
        assert sentence in done.stderr, arguments
        assert done.stderr.count('\n') == 1, arguments


def test_every_verb_has_its_script_in_tools():
    tools = Path(__file__).parents[2] / 'tools'
    called = ''.join(file.read_text() for file in tools.glob('*.py'))
    modules = [module for module, _ in VERBS.values()]
    assert not [one for one in modules if f"run('openseg_plugin.cli.{one}')" not in called]


def test_overview_names_every_verb(capsys):
    assert main(['--help']) == 0
    shown = capsys.readouterr().out
    assert all(f'\n  {verb} ' in shown for verb in VERBS)


def test_version(capsys):
    assert main(['--version']) == 0
    assert capsys.readouterr().out.split() == ['openseg_plugin', __version__]


def test_unknown_verb_is_answered_with_the_nearest(capsys):
    assert main(['tran']) == 2
    assert 'did you mean train?' in capsys.readouterr().err


def test_config_prints_what_differs(capsys):
    leaf = 'ocr/hrnet48_cityscapes_80k.py'
    assert main(['config', leaf, '--cfg-options', 'model.decode_head.num_classes=7']) == 0
    assert '80000' in capsys.readouterr().out
    assert main(['config', leaf, '--diff', 'ocr/hrnet18_cityscapes_80k.py', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['width'] == [18, 48]


def test_flops_counts_what_the_modules_hold(capsys):
    arguments = ['flops', 'ocr/hrnet18_cityscapes_80k.py', '--size', '64', '128', '--json']
    assert main(arguments) == 0
    small = json.loads(capsys.readouterr().out)
    arguments[4] = '256'
    assert main(arguments) == 0
    wide = json.loads(capsys.readouterr().out)
    assert small['parameters'] == wide['parameters'] > 12e6
    assert 1.9 < wide['multiply_adds'] / small['multiply_adds'] < 2.1
    assert wide['bytes'] > small['bytes'] > 64 * 128 * 3 * 4


def test_flops_prints_numbers_alone():
    words = ['flops', 'ocr/hrnet18_cityscapes_80k.py', '--size', '64', '128']
    done = subprocess.run(  # a process of its own, which has logged nothing before
        [sys.executable, '-m', 'openseg_plugin', *words], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        'parameters',
        'multiply-adds',
        'memory',
    ]


def test_weights_are_listed_and_shown_as_json(capsys):
    assert main(['weights', 'list', 'hmsa', '--json']) == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) > 3 and {'hmsa'} == {entry['method'] for entry in listed}
    assert main(['weights', 'show', listed[0]['name'], '--json']) == 0
    assert json.loads(capsys.readouterr().out) == listed[0]


def test_info_and_the_install_page_know_every_extra():
    project = Path(openseg_plugin.__file__).parents[1]
    setup = configparser.ConfigParser()
    setup.read(project / 'setup.cfg')
    extras = {
        extra: {re.split('[<>=]', line)[0] for line in text.split()}
        for extra, text in setup['options.extras_require'].items()
    }
    page = (project / 'docs/get_started/install.md').read_text()
    assert not [extra for extra in extras if f'`{extra}`' not in page]
    for extra in ('lite', 'docs', 'dev'):  # the import asks for the first, the others are ours
        del extras[extra]
    assert {extra: set(names) for extra, *names in EXTRAS.values()} == extras


def test_info_names_versions(capsys):
    assert main(['info', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['versions']['openseg_plugin'] == __version__
