"""Remembers what files held, by path, time and size, in the user's cache folder.

The cache is never in the data set. A cache that cannot be read or written costs time only.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

from openseg_plugin.data_checks.file_facts import Facts

_FORMAT = 3  # raise it when the facts change


def default_folder() -> Path:
    """Where the user's system keeps caches."""
    if os.environ.get('XDG_CACHE_HOME'):
        return Path(os.environ['XDG_CACHE_HOME'], 'openseg_plugin')
    if sys.platform == 'darwin':
        return Path.home() / 'Library' / 'Caches' / 'openseg_plugin'
    if os.environ.get('LOCALAPPDATA'):
        return Path(os.environ['LOCALAPPDATA'], 'openseg_plugin', 'Cache')
    return Path.home() / '.cache' / 'openseg_plugin'


class Cache:
    """Facts of files, kept between runs.

    Args:
        folder: where the cache is; None keeps nothing.
        name: what is looked at; every name has its own cache file.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        key = hashlib.sha256(name.encode()).hexdigest()[:16]
        self.path = None if folder is None else folder / f'labels-{key}.json'
        self._entries: dict[str, list] = {}
        self._is_changed = False
        if self.path is not None:
            try:
                stored = json.loads(self.path.read_text(encoding='utf-8'))
                if stored.get('format') == _FORMAT:
                    self._entries = dict(stored['files'])
            except (OSError, ValueError, AttributeError, KeyError, TypeError):
                pass  # no cache yet, or none that can be used

    def get(self, kind: str, path: Path) -> Facts | None:
        """What the file held, if it has not changed since."""
        entry = self._entries.get(f'{kind} {path}')
        stamp = _stamp(path)
        if stamp is None or not isinstance(entry, list) or len(entry) != 3 or entry[:2] != stamp:
            return None
        return entry[2]

    def put(self, kind: str, path: Path, facts: Facts) -> None:
        """Remembers what a file holds; files that are missing are looked for every time."""
        stamp = _stamp(path)
        if stamp is not None:
            self._entries[f'{kind} {path}'] = [*stamp, facts]
            self._is_changed = True

    def save(self) -> None:
        """Writes the cache in one step."""
        if self.path is None or not self._is_changed:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                'w', dir=self.path.parent, delete=False, encoding='utf-8'
            ) as file:
                json.dump({'format': _FORMAT, 'files': self._entries}, file)
            os.replace(file.name, self.path)
        except OSError:
            return
        self._is_changed = False


def _stamp(path: Path) -> list[int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return [state.st_mtime_ns, state.st_size]
