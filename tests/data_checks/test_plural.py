"""Messages read well for one file and for many."""

import pytest

from openseg_plugin.data_checks.finding import several, verb


@pytest.mark.parametrize(
    ('number', 'wanted'), [(0, '0 classes have'), (1, '1 class has'), (2, '2 classes have')]
)
def test_numbers_and_verbs_agree(number, wanted):
    text = f'{several(number, "class", "classes")} {verb(number, "has", "have")}'
    assert text == wanted
    assert several(number, 'label') == f'{number} label{"" if number == 1 else "s"}'
