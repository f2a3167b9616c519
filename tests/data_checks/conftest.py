"""The data check as a command."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openseg_plugin.cli.check_dataset import main


@pytest.fixture
def run_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the tool; gives the exit status, and what it said."""

    def run(source: Path, *arguments: str) -> tuple[int, str]:
        status = main([str(source), '--cache', str(tmp_path / 'cache'), *arguments])
        return status, capsys.readouterr().out

    return run
