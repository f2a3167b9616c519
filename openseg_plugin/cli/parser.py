"""The one parser of all tools and verbs; what stands in ``--cfg-options``.

``--cfg-options key=value``: values as mmengine reads them, and dicts and lists of dicts too.
"""

import argparse
import ast
import contextlib
import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from openseg_plugin import __version__
from openseg_plugin.errors import ConfigError

_MANY = 12  # options, from which on the first line of a help does not list them
_WORDS = {'true': True, 'false': False, 'None': None}
_FILES = {'.pkl', '.pickle', '.json', '.npy', '.npz', '.pth', '.png', '.jpg', '.txt', '.csv'}
_BRACKETS = {'[': ']', '(': ')', '{': '}'}


class CfgOptions(argparse.Action):
    """Collects ``key=value`` pairs into one dict of dotted keys; may be given several times."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        options = dict(getattr(namespace, self.dest) or {})
        for pair in values or ():
            key, sign, text = str(pair).partition('=')
            if not sign or not key:
                raise argparse.ArgumentError(self, f'{pair} is not of the form key=value')
            options[key] = parse_value(text)
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """The value that a text means; nothing in it is executed.

    Numbers, ``true``, ``false`` and ``None``; Python literals, with ``dict(a=1)`` too; ``a,b`` and
    ``[a,b]`` as lists, ``(a,b)`` as a tuple of words without quotes; any other text as
    it is.
    """
    with contextlib.suppress(ValueError, SyntaxError, RecursionError):
        return _literal(ast.parse(text.strip(), mode='eval').body)
    if text in _WORDS:
        return _WORDS[text]
    if text[:1] in ('[', '(') and text[-1:] == _BRACKETS[text[0]]:
        items = [parse_value(one) for one in _split(text[1:-1])]
        return tuple(items) if text[0] == '(' else items
    parts = _split(text)
    if len(parts) > 1 and ' ' not in text:
        return [parse_value(one) for one in parts]
    return text


def _literal(node: ast.expr) -> Any:
    """Value of an expression made of literals and calls of ``dict``.

    Raises:
        ValueError: there is something else in it.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if node.args or any(one.arg is None for one in node.keywords):
            raise ValueError('dict() takes key=value here')
        return {str(one.arg): _literal(one.value) for one in node.keywords}
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values) if key}
    if isinstance(node, ast.List):
        return [_literal(one) for one in node.elts]
    if isinstance(node, ast.Tuple):
        # "1,2" without brackets is a list, as mmengine has it; "(1,2)" starts before its elements
        items = [_literal(one) for one in node.elts]
        return tuple(items) if _has_brackets(node) else items
    return ast.literal_eval(node)


def _has_brackets(node: ast.Tuple) -> bool:
    return not node.elts or node.col_offset < node.elts[0].col_offset


def _split(text: str) -> list[str]:
    """Parts between commas that are in no brackets and no quotes."""
    parts, depth, quote, start = [], 0, '', 0
    for index, char in enumerate(text):
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"':
            quote = char
        elif char in '[({':
            depth += 1
        elif char in '])}':
            depth -= 1
        elif char == ',' and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part] if len(parts) > 1 else parts


def whole_number(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """Type of an option that takes a whole number from ``least`` to ``most``."""
    wanted = f'of {least} or more' if most is None else f'from {least} to {most}'

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f'{text}: give a whole number {wanted}')
        return value

    return read


def positive_number(text: str) -> float:
    """Type of an option that takes a number above 0, neither inf nor nan."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'{text}: give a number above 0')
    return value


def duration(text: str) -> float:
    """Type of an option that takes a time, in seconds: 90, 45s, 30m, 2h, 1h30m, 2d."""
    match = re.fullmatch(r'(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?', text.strip().lower())
    parts = [int(part or 0) for part in match.groups()] if match else [0]
    seconds = float(sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1))))
    if seconds == 0:
        raise argparse.ArgumentTypeError(f'{text}: give a time above 0, such as 45m, 2h or 1h30m')
    return seconds


def batch_size(text: str) -> int | str:
    """Type of an option that takes a number of images, or ``auto``."""
    return text if text == 'auto' else whole_number(1)(text)


def folder(text: str) -> str:
    """Type of an option that names a folder for results, and not a file as in mmseg 0.x."""
    if Path(text).suffix.lower() in _FILES or Path(text).is_file():
        raise argparse.ArgumentTypeError(f'{text} is a file: results go into a folder, name one')
    return text


def folder_path(text: str) -> Path:
    """:func:`folder` as a path."""
    return Path(folder(text))


seed = whole_number(0, 2**32 - 1)


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, and the lines of descriptions and examples as they are written."""

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
        # many options fill a screen before the first one is explained
        kept = [one for one in actions if one.required or not one.option_strings]
        if usage is not None or len(actions) - len(kept) <= _MANY:
            return super()._format_usage(usage, actions, groups, prefix)
        text = super()._format_usage(usage, kept, [], prefix)
        return text.replace(self._prog, f'{self._prog} [options]', 1)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        is_none = action.default is None or action.default is False or action.default in ((), [])
        if is_none or '(default' in (action.help or ''):  # 0 is a default like others
            return action.help
        return super()._get_help_string(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if '\n' in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


# options of other tools and of mmseg 0.x, and what does the same here
_ELSEWHERE = {
    '--auto-resume': 'use --resume',
    '--batch-size': 'use --cfg-options test_dataloader.batch_size=N',
    '--epochs': 'use --cfg-options train_cfg.max_epochs=N',
    '--eval-options': 'set the options of test_evaluator with --cfg-options',
    '--gpu-id': 'set the environment variable CUDA_VISIBLE_DEVICES',
    '--gpu-ids': 'set the environment variable CUDA_VISIBLE_DEVICES',
    '--gpus': 'use tools/dist_train.sh CONFIG GPUS, or the environment variable '
    'CUDA_VISIBLE_DEVICES',
    '--load-from': 'openseg train has it; elsewhere the weights are an argument of their own',
    '--lr': 'use --cfg-options optim_wrapper.optimizer.lr=LR, or --resume --override-lr LR',
    '--max-iters': 'use --cfg-options train_cfg.max_iters=N',
    '--no-validate': 'use --cfg-options val_dataloader=None val_cfg=None val_evaluator=None',
    '--opacity': '--show-dir draws images and predictions side by side and knows none',
    '--options': 'use --cfg-options',
    '--pretrained': 'use --load-from FILE',
    '--resume-from': 'use --resume PATH',
    '--save': 'use --work-dir DIR; openseg test has --out DIR for label maps, --show-dir DIR for '
    'drawn ones',
    '--show': 'use --show-dir DIR',
    '--wait-time': 'nothing is shown while it runs: leave it out',
    '--workers': 'use --cfg-options train_dataloader.num_workers=N',
    '--num-workers': 'use --cfg-options train_dataloader.num_workers=N',
    '--optimizer': 'use --cfg-options optim_wrapper.optimizer.type=NAME',
    '--gpu-collect': 'use --cfg-options test_evaluator.collect_device=gpu',
    '--bs': 'use --batch-size N',
}


class ArgumentParser(argparse.ArgumentParser):
    """Parser whose mistakes are :class:`ConfigError`; adds ``--debug`` and ``--version``.

    An option that does not exist is answered with the nearest one that does, options are not
    abbreviated, and the parsers of sub-commands are of the same kind.
    """

    def __init__(self, description: str | None = None, **settings: Any) -> None:
        settings.setdefault('formatter_class', HelpFormatter)
        super().__init__(description=description, **(settings | {'allow_abbrev': False}))
        self.add_argument(
            '--debug', action='store_true', help='show the traceback when something goes wrong'
        )
        self.add_argument(
            '--version',
            action='version',
            version=f'openseg_plugin {__version__}',
            help='print the version',
        )

    def add_cache_option(self) -> None:
        """Adds ``--cache KIND``."""
        self.add_argument(
            '--cache',
            metavar='ram|disk[:DIR]',
            help='keep decoded images and labels in memory, or on a disk (work_dirs/decoded)',
        )

    def add_config_argument(self) -> None:
        """Adds ``config``: a config, or a MODEL that has one."""
        self.add_argument(
            'config',
            metavar='CONFIG|MODEL',
            help='a file, the name of a config of ours, or a MODEL: checkpoint, name of the model '
            'zoo, exported file, hf://user/name',
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

    def add_preparation_options(self) -> None:
        """Adds ``--exact``, ``--precision`` and ``--compile``: how a model predicts."""
        self.add_argument(
            '--exact',
            action='store_true',
            help='no faster form of the network, which rounds otherwise',
        )
        self.add_argument(
            '--precision',
            choices=('fp32', 'bf16', 'fp16'),
            default='fp32',
            help='of the network; half precision changes some labels',
        )
        self.add_argument(
            '--compile',
            action='store_true',
            dest='compiled',
            help='compile it, in minutes',
        )
        self.add_argument(
            '--backend',
            choices=('torch', 'onnxruntime', 'openvino'),
            default='torch',
            help='runs the network, exported the first time',
        )

    def parse_args(  # type: ignore[override]  # argparse overloads it for other namespaces
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse's.

        Raises:
            ConfigError: unknown options, missing or malformed arguments.
        """
        # an optional argument may follow options: CONFIG --out DIR CHECKPOINT
        is_mixed = any(not one.option_strings and one.nargs == '?' for one in self._actions)
        parse = self.parse_known_intermixed_args if is_mixed else self.parse_known_args
        parsed, unknown = parse(args, namespace)
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


def example(words: str) -> str:
    """Epilog of a sub-command: one call, without the program's name."""
    return f'example:\n  openseg {words}'


def check_backend(args: argparse.Namespace) -> None:
    """Options that another backend than torch does not know.

    Raises:
        ConfigError: one of them is given.
    """
    if args.backend == 'torch':
        return
    named = {'--exact': args.exact, '--compile': args.compiled, '--device': _device_of(args)}
    for option, value in named.items():
        if value:
            raise ConfigError(
                f'{option} is about torch, but --backend {args.backend} runs the network: leave '
                'one out'
            )


def to_load(args: argparse.Namespace) -> tuple[str, str | None, dict[str, Any] | None, str]:
    """Model, checkpoint, options and precision to load; with ``--backend`` the exported file alone.

    Args:
        args: of a verb with ``--backend``.

    Raises:
        UserError: the model cannot be exported.
    """
    if args.backend == 'torch':
        return args.model, args.checkpoint, args.cfg_options, args.precision
    from openseg_plugin.inference.exported import for_backend

    file = for_backend(
        args.backend,
        args.model,
        args.checkpoint,
        precision=args.precision,
        options=args.cfg_options,
    )
    return str(file), None, None, 'fp32'  # the file has the precision


def _device_of(args: argparse.Namespace) -> str | None:
    device = getattr(args, 'device', None)
    return None if device == 'cpu' else device


def _described(unknown: list[str], known: list[str]) -> str:
    """Names the arguments nobody asked for, with the nearest option."""
    options = [argument.split('=')[0] for argument in unknown if argument.startswith('-')]
    if not options:
        return f'argument {" ".join(unknown)}: --help lists what there is'
    hint = _ELSEWHERE.get(options[0], '')
    if '--resume' not in known:  # no training
        hint = hint.replace('train_dataloader', 'test_dataloader')
    named = re.findall(r'--[a-z-]+', hint)  # an option that this verb lacks is no hint
    if hint and ('openseg' in hint or not named or not set(named).isdisjoint(known)):
        return f'option {options[0]}: {hint}'
    near = difflib.get_close_matches(options[0], known, n=1)
    hint = f'did you mean {near[0]}?' if near else '--help lists what there is'
    return f'option {" ".join(options)}: {hint}'
