"""What the data check says: a finding, and the settings or commands that fix it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from openseg_plugin.data_checks.dataset_spec import Rules, Source, Split
from openseg_plugin.data_checks.examine import Record

NAMED = 5  # files that are named in the text; the report has lists of all
PLACE = '@REPORT@'  # stands for the report folder in commands and settings


@dataclass
class Finding:
    """Something wrong with the data or the config.

    Attributes:
        key: short name, the same for the same kind of mistake.
        is_blocking: training must not start.
        title: one line: what was found, with numbers.
        meaning: what happens in training if it stays.
        files: the files concerned.
        records: pairs to show, in the order of ``files`` where both are known.
        settings: ``key=value`` for ``--cfg-options`` that fix it.
        commands: shell commands that fix it; PLACE is filled in when printed, in settings too.
        moves: files that ``--apply-fix`` moves out of the dataset.
        advice: what to do in words, where there is more (or nothing else) to say.
        tables: files to write into the report folder, name -> content; commands use them.
    """

    key: str
    is_blocking: bool
    title: str
    meaning: str
    files: list[Path] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    advice: str = ''
    tables: dict[str, str] = field(default_factory=dict)
    moves: list[Path] = field(default_factory=list)

    @property
    def has_fix(self) -> bool:
        """Whether more than words is offered."""
        return bool(self.settings or self.commands or self.moves)

    @property
    def needs_report(self) -> bool:
        """Whether its fix reads files that only ``--report`` writes."""
        return any(PLACE in text for text in self.commands + self.settings)


def list_value(values: Sequence) -> str:
    """A list as ``--cfg-options`` takes it."""
    return repr(list(values))


def split_settings(source: Source, name: str, value: object) -> list[str]:
    """The same setting for every dataset of the config that is looked at."""
    keys = dict.fromkeys(split.key for split in source.splits if split.key)
    return [f'{key}.{name}={value}' for key in keys]


def conversion(
    source: Source, *arguments: str, splits: Sequence[Split] | None = None
) -> tuple[list[str], list[str]]:
    """Command that makes fixed labels in a new folder, and the settings that use it there.

    Args:
        source: the dataset.
        arguments: of the converter of masks; ``--classes`` is added.
        splits: whose labels are converted; None: all.

    Returns:
        Commands and settings; both empty where the converter cannot read the layout.
    """
    labelled = [s for s in source.splits if any(pair.label for pair in s.pairs)]
    chosen = labelled if splits is None else list(splits)
    parts = [split.part for split in chosen]
    some = len(chosen) < len(labelled)
    if source.root is None or not source.image_folder or (some and not all(parts)):
        return [], []
    target = f'{source.root}-fixed'
    words = ['openseg', 'convert-dataset', 'masks', str(source.root), target]
    words += ['--image-folder', source.image_folder, '--label-folder', source.label_folder]
    words += ['--split', *parts] if some else []
    command = shlex.join([*words, *arguments])
    return [command], settings_for(chosen, target) if source.is_config else []


def settings_for(splits: Sequence[Split], target: str) -> list[str]:
    """Settings that read the splits from the converted folder ``target``."""
    found = []
    for split in splits:
        if not split.key:
            continue
        found += [
            f'{split.key}.data_root={target}',
            f'{split.key}.data_prefix.img_path={split.part or "train"}/image',
            f'{split.key}.data_prefix.seg_map_path={split.part or "train"}/label',
            f'{split.key}.seg_map_suffix=.png',
        ]
    return list(dict.fromkeys(found))


def colors_value(colors: Sequence[Sequence[int]]) -> str:
    """A palette as ``--cfg-options`` takes it."""
    return '[' + ','.join('[' + ','.join(map(str, color)) + ']' for color in colors) + ']'


def remapping(
    source: Source, rules: Rules, meaning: Sequence[int], splits: Sequence[Split] | None = None
) -> tuple[list[str], list[str]]:
    """Command that writes the classes that raw values mean, and the settings that use them.

    Args:
        source: the dataset.
        rules: how the labels are read now; a config must not reduce the new ones again.
        meaning: class of every raw value; what is no class becomes 255.
        splits: whose labels are converted; None: all.
    """
    number = len(rules.classes)
    pairs = [f'{raw}:{k}' for raw, k in enumerate(meaning) if 0 <= k < number]
    arguments = ['--remap', *pairs, *class_arguments(rules.classes)]
    commands, settings = conversion(source, *arguments, splits=splits)
    if settings and rules.reduce_zero_label:
        chosen = replace(source, splits=list(splits or source.splits))
        settings += split_settings(chosen, 'reduce_zero_label', False)
    return commands, settings


def class_arguments(names: Sequence[str]) -> list[str]:
    """``--classes`` of the converter for these names, in label order."""
    return ['--classes', *names] if names else []


def several(number: int, one: str, many: str = '') -> str:
    """'1 label', '2 labels'; ``many`` where the plural is not made with s."""
    return f'{number} {one if number == 1 else many or one + "s"}'


def verb(number: int, one: str, many: str) -> str:
    """The form of a word that goes with a number: 'has' or 'have', 'it' or 'them'."""
    return one if number == 1 else many
