"""``in_one_test`` loses no case: every one runs, and each that fails is named."""

import os
import re
import subprocess
import sys
from pathlib import Path

SOURCE = """
import random
from in_one_test import in_one_test

@in_one_test('letter', ['x', 'y'], ids=['first', 'second'])
@in_one_test(('number', 'square'), [(1, 1), (2, 4), (3, 8)])
def test_cases(number, square, letter, tmp_path, monkeypatch, capsys):
    print(letter, random.random())
    assert capsys.readouterr().out == letter + ' 0.8444218515250481\\n'
    assert not list(tmp_path.iterdir())
    (tmp_path / 'file').touch()
    with open('ran', 'a') as ran:
        ran.write(letter + str(number) + ' ')
    assert number**2 == square

class TestClass:
    @in_one_test('number', [1, 2])
    def test_method(self, number):
        assert number != 2

@in_one_test('number', [])
def test_nothing(number):
    assert False
"""


def test_every_case_runs_and_each_that_fails_is_named(tmp_path):
    (tmp_path / 'test_source.py').write_text(SOURCE)
    command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', 'test_source.py']
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parent / 'helpers')}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert (tmp_path / 'ran').read_text() == 'x1 x2 x3 y1 y2 y3 '
    names = re.findall(r'^SUBFAILED\[(.*?)\]', done.stdout, re.M)
    assert names == ['first, number=3, square=8', 'second, number=3, square=8', 'number=2']
    assert '1 skipped' in done.stdout
