"""What the doctor says: a finding, and the settings or commands that mend it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from openseg_plugin.doctor.examine import Record
from openseg_plugin.doctor.source import Source

NAMED = 5  # files that are named in the text; the report has lists of all
PLACE = '@REPORT@'  # stands for the report folder in commands
FILE_LIST = '@LIST@'  # stands for the list of the finding's files in commands


@dataclass
class Finding:
    """Something wrong with the data or the config.

    Attributes:
        key: short name, the same for the same kind of mistake.
        stops: training must not start.
        title: one line: what was found, with numbers.
        meaning: what happens in training if it stays.
        files: the files concerned.
        records: pairs to show, in the order of ``files`` where both are known.
        settings: ``key=value`` for ``--cfg-options`` that mend it.
        commands: shell commands that mend it; PLACE and FILE_LIST are filled in when printed.
        advice: what to do in words, where there is more (or nothing else) to say.
        tables: files to write into the report folder, name -> content; commands use them.
    """

    key: str
    stops: bool
    title: str
    meaning: str
    files: list[Path] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    advice: str = ''
    tables: dict[str, str] = field(default_factory=dict)

    @property
    def needs_report(self) -> bool:
        """Whether its commands read files that only ``--report`` writes."""
        return any(PLACE in text or FILE_LIST in text for text in self.commands)


def list_value(values: Sequence) -> str:
    """A list as ``--cfg-options`` takes it."""
    return repr(list(values))


def split_settings(source: Source, name: str, value: object) -> list[str]:
    """The same setting for every data set of the config that is looked at."""
    keys = dict.fromkeys(split.key for split in source.splits if split.key)
    return [f'{key}.{name}={value}' for key in keys]


def conversion(source: Source, *arguments: str) -> tuple[list[str], list[str]]:
    """Command that makes mended labels in a new folder, and the settings that use it there.

    Args:
        source: the data set.
        arguments: of the converter of masks; ``--classes`` is added.

    Returns:
        Commands and settings; both empty where the converter cannot read the layout.
    """
    if source.root is None or not source.image_folder:
        return [], []
    target = f'{source.root}-mended'
    words = ['python', 'tools/convert_dataset.py', 'masks', str(source.root), target]
    words += ['--image-folder', source.image_folder, '--label-folder', source.label_folder]
    command = shlex.join([*words, *arguments])
    return [command], settings_for(source, target) if source.is_config else []


def settings_for(source: Source, target: str) -> list[str]:
    """Settings that read all splits from the converted folder ``target``."""
    found = []
    for split in source.splits:
        if not split.key:
            continue
        found += [
            f'{split.key}.data_root={target}',
            f'{split.key}.data_prefix.img_path={split.part or "train"}/image',
            f'{split.key}.data_prefix.seg_map_path={split.part or "train"}/label',
            f'{split.key}.seg_map_suffix=.png',
        ]
    return list(dict.fromkeys(found))


def class_arguments(names: Sequence[str]) -> list[str]:
    """``--classes`` of the converter for these names, in label order."""
    return ['--classes', *names] if names else []
