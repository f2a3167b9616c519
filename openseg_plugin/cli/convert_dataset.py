"""``tools/convert_dataset.py``: the converters; with ``--check`` the label doctor too."""

from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.cli import convert_options
from openseg_plugin.data_checks.examine import examine
from openseg_plugin.data_checks.folder_adapter import read_folder
from openseg_plugin.data_checks.report.text_report import describe
from openseg_plugin.data_checks.rules.all_rules import find_all, may_start
from openseg_plugin.errors import DataError


def main(argv: Sequence[str] | None = None) -> int:
    """Converts or checks; 1 where samples failed or the doctor says that training must not start.

    Raises:
        UserError: an option, source or target that cannot be used.
    """
    status = convert_options.main(argv)
    args = convert_options.build_parser().parse_args(argv)
    if args.check and not args.dry_run:
        status = max(status, _doctor(args.dst))
    return status


def _doctor(folder: Path) -> int:
    """Prints what the doctor finds in the converted folder; 1 where training must not start."""
    try:
        source = read_folder(folder)
    except DataError as error:
        print(f'note: the label doctor does not read this layout ({error})')
        return 0
    findings = find_all(source, examine(source))
    print('label doctor:')
    print('\n'.join(describe(source, findings)))
    return 0 if may_start(findings) else 1
