"""The command line of the converters."""

from pathlib import Path

import pytest
from in_one_test import in_one_test
from tiny_sets import make_cityscapes, save

from openseg_plugin.cli.convert_dataset import build_parser, main
from openseg_plugin.converters.datasets import converters
from openseg_plugin.errors import ConfigError, DataError


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_cityscapes(tmp_path / 'raw')


def test_main_converts_and_says_what_was_done(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ['cityscapes', str(raw), str(tmp_path / 'dst'), '--split', 'train', '--instance']
    assert main(arguments) == 0
    assert '4 made, 0 were there, 0 failed' in capsys.readouterr().out
    assert main([*arguments, '--check']) == 0
    assert 'checked: 4 agree, 0 do not' in capsys.readouterr().out
    assert main([*arguments, '--dry-run']) == 0
    assert 'cityscapes: 4 train samples would become' in capsys.readouterr().out


def test_main_keep_going_lists_failures_and_returns_one(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = next(raw.rglob('bochum_000001*labelIds.png'))
    label.write_bytes(b'no image')
    arguments = ['cityscapes', str(raw), str(tmp_path / 'dst'), '--split', 'train']
    with pytest.raises(DataError, match=label.name):
        main(arguments)
    assert main([*arguments, '--keep-going']) == 1
    out = capsys.readouterr().out
    assert f'{label} cannot be decoded' in out and '1 failed' in out


@in_one_test('name', sorted(converters()))
def test_parser_of_every_converter_has_its_options(name: str) -> None:
    chosen = converters()[name]
    args = build_parser().parse_args([name, 'a', 'b'])
    options = {f: getattr(args, f) for f in chosen.options_type.__dataclass_fields__}
    assert chosen.make_options(options) == chosen.options_type()


@in_one_test(
    'arguments, text',
    [
        (['cityscapes', 'a', 'b', '--labels', 'x'], "invalid choice: 'x'"),
        (['cityscapes', 'a'], 'required: DST'),
        (['nothing', 'a', 'b'], "invalid choice: 'nothing'"),
        (['cityscapes', 'a', 'b', '--color'], 'no option --color'),
        (['pascal_context', 'a', 'b', '--num-classes', '61'], 'invalid choice: 61'),
    ],
)
def test_parser_mistake_is_one_sentence(arguments: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        build_parser().parse_args(arguments)


def test_main_lists_and_numbers_of_the_command_line_are_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny_sets import image, numbers

    save(tmp_path / 'raw/images/a.png', image())
    save(tmp_path / 'raw/labels/a.png', numbers(3))
    arguments = ['masks', str(tmp_path / 'raw'), str(tmp_path / 'dst'), '--ignore', '2', '3']
    assert main([*arguments, '--classes', 'sky', 'power line', '--gray']) == 0
    text = (tmp_path / 'dst/dataset.json').read_text()
    assert '["sky", "power line"]' in text and '"255"' in text
