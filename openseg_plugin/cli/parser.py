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
    near = difflib.get_close_matches(options[0], known, n=1)
    hint = f'did you mean {near[0]}?' if near else '--help lists what there is'
    return f'option {" ".join(options)}: {hint}'
