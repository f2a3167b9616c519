"""Options that do not exist are answered with what does the same."""

import pytest

from openseg_plugin.cli.main import run
from openseg_plugin.cli.parser import _ELSEWHERE, ArgumentParser
from openseg_plugin.errors import ConfigError


@pytest.mark.parametrize('option', sorted(_ELSEWHERE))
def test_option_of_another_tool_names_ours(option):
    parser = ArgumentParser('Test.')
    with pytest.raises(ConfigError, match=f'has no option {option}: '):
        parser.parse_args([option, '1'])


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        ('--load-from', '--cfg-options load_from=PATH'),
        ('--lr', '--cfg-options optim_wrapper.optimizer.lr=LR'),
        ('--no-validate', 'val_dataloader=None'),
        ('--gpu-ids', 'CUDA_VISIBLE_DEVICES'),
        ('--work-dirs', 'did you mean --work-dir?'),
    ],
)
def test_train_names_the_remedy(capsys, option, expected):
    from openseg_plugin.cli.train import main

    assert run(main, ['config.py', option, '1']) == 2
    assert expected in capsys.readouterr().err
