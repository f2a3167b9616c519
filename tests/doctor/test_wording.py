"""Messages read well for one file and for many."""

import inspect
import re
from pathlib import Path

import pytest

from openseg_plugin import doctor
from openseg_plugin.doctor.wording import several, verb

SOURCES = sorted(Path(inspect.getfile(doctor)).parent.glob('*.py'))
NOUNS = 'labels?|pictures?|files?|pixels?|classes|class|findings?|warnings?|colours?|numbers?'


@pytest.mark.parametrize(
    ('number', 'wanted'), [(0, '0 classes have'), (1, '1 class has'), (2, '2 classes have')]
)
def test_numbers_and_verbs_agree(number, wanted):
    text = f'{several(number, "class", "classes")} {verb(number, "has", "have")}'
    assert text == wanted
    assert several(number, 'label') == f'{number} label{"" if number == 1 else "s"}'


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: path.name)
def test_no_number_stands_before_a_noun_without_the_helper(path):
    text = path.read_text(encoding='utf-8')
    # MANY_COLOURS is never 1
    found = re.findall(rf'\{{(?!MANY_COLOURS)[^{{}}"]*\}} (?:{NOUNS})\b(?!\.)', text)
    allowed = ('{number + 1} classes',)  # of a data set with one class at least
    assert [f for f in found if f not in allowed] == []
    assert re.findall(rf'(?:{NOUNS})\(s\)', text) == []
