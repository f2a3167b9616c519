"""Options of ``openseg export`` that nothing would come of are refused before anything is read."""

import pytest

from openseg_plugin.cli.export import main
from openseg_plugin.errors import ConfigError


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (['a.tflite', '--triton', 'repository'], '--triton'),
        (['a.pt2', '--triton', 'repository'], '--triton'),
        (['a.pt2', '--runner'], '--runner'),
        (['a.onnx', '--calibrate', 'images'], '--calibrate'),
        (['a.onnx', '--leave-out', 'conv1'], '--leave-out'),
    ],
)
def test_idle_options_are_refused(arguments, named):
    with pytest.raises(ConfigError, match=named):
        main(['no_config.py', 'no_weights.pth', *arguments])


def test_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / 'a.pt2').mkdir()
    with pytest.raises(ConfigError, match=r'a\.pt2 is a folder'):
        main(['no_config.py', 'no_weights.pth', str(tmp_path / 'a.pt2')])


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (['other.onnx'], 'other.onnx'),
        (['--precision', 'int8'], '--precision'),
        (['--size', '64', '64'], '--size'),
        (['--scales', '1'], '--scales'),
    ],
)
def test_page_of_an_exported_file_takes_it_as_it_is(tmp_path, monkeypatch, arguments, named):
    monkeypatch.setattr('openseg_plugin.export.session.metadata_in', lambda path: None)
    names = [str(tmp_path / 'a.onnx'), *arguments[: arguments[0].endswith('.onnx')]]
    options = arguments[len(names) - 1 :]
    with pytest.raises(ConfigError, match=named):
        main([*names, '--web', str(tmp_path / 'page'), *options])
