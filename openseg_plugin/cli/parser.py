"""The one parser of all tools and verbs."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from openseg_plugin.cli.cfg_options import CfgOptions
from openseg_plugin.errors import ConfigError


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, and the lines of descriptions and examples as they are written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, (), []) or '(default' in (action.help or ''):
            return action.help
        return super()._get_help_string(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if '\n' in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


# options of other tools and of mmseg 0.x, and what does the same here
_ELSEWHERE = {
    '--auto-resume': 'use --resume',
    '--batch-size': 'use --cfg-options train_dataloader.batch_size=N',
    '--epochs': 'use --cfg-options train_cfg.max_epochs=N',
    '--eval-options': 'set the options of test_evaluator with --cfg-options',
    '--gpu-id': 'set the environment variable CUDA_VISIBLE_DEVICES',
    '--gpu-ids': 'set the environment variable CUDA_VISIBLE_DEVICES',
    '--gpus': 'use tools/dist_train.sh CONFIG GPUS, or the environment variable '
    'CUDA_VISIBLE_DEVICES',
    '--load-from': 'use --cfg-options load_from=PATH',
    '--lr': 'use --cfg-options optim_wrapper.optimizer.lr=LR, or --resume --override-lr LR',
    '--max-iters': 'use --cfg-options train_cfg.max_iters=N',
    '--no-validate': 'use --cfg-options val_dataloader=None val_cfg=None val_evaluator=None',
    '--opacity': '--show-dir draws images and predictions side by side and knows none',
    '--options': 'use --cfg-options',
    '--pretrained': 'use --cfg-options load_from=PATH',
    '--resume-from': 'use --resume PATH',
    '--save': 'use --cfg-options work_dir=DIR, or --work-dir DIR; test.py writes label maps with '
    '--out DIR and drawn ones with --show-dir DIR',
    '--show': 'use --show-dir DIR',
    '--workers': 'use --cfg-options train_dataloader.num_workers=N',
}


class ArgumentParser(argparse.ArgumentParser):
    """Parser whose mistakes are :class:`ConfigError`; adds ``--debug``.

    An option that does not exist is answered with the nearest one that does, options are not
    abbreviated, and the parsers of sub-commands are of the same kind.
    """

    def __init__(self, description: str | None = None, **settings: Any) -> None:
        settings.setdefault('formatter_class', HelpFormatter)
        super().__init__(description=description, **(settings | {'allow_abbrev': False}))
        self.add_argument(
            '--debug', action='store_true', help='show the traceback when something goes wrong'
        )

    def add_cfg_options(self) -> None:
        """Adds ``--cfg-options KEY=VALUE ...``, a dict of dotted keys in the parsed arguments."""
        self.add_argument(
            '--cfg-options',
            nargs='+',
            action=CfgOptions,
            metavar='KEY=VALUE',
            help='settings to change in the config, such as train_dataloader.batch_size=4; lists '
            'as key="[a,b]", dicts as key="dict(a=1)"',
        )

    def parse_args(  # type: ignore[override]  # argparse overloads it for other namespaces
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse's.

        Raises:
            ConfigError: unknown options, missing or malformed arguments.
        """
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            known = list(self._option_names(vars(parsed).values()))
            raise ConfigError(f'{self.prog} has no {_described(unknown, known)}')
        return parsed

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f'{self.prog}: {message}; {self.prog} --help lists what there is')

    def _option_names(self, chosen: Iterable[Any]) -> Iterable[str]:
        """Options of this parser and of the chosen sub-commands."""
        values = list(chosen)
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for name, parser in action.choices.items():
                    if name in values:
                        yield from parser._option_names(values)


def _described(unknown: list[str], known: list[str]) -> str:
    """Names the arguments nobody asked for, with the nearest option."""
    options = [argument.split('=')[0] for argument in unknown if argument.startswith('-')]
    if not options:
        return f'argument {" ".join(unknown)}: --help lists what there is'
    if options[0] in _ELSEWHERE:
        return f'option {options[0]}: {_ELSEWHERE[options[0]]}'
    near = difflib.get_close_matches(options[0], known, n=1)
    hint = f'did you mean {near[0]}?' if near else '--help lists what there is'
    return f'option {" ".join(options)}: {hint}'
