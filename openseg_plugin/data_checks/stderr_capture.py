"""What image decoders written in C print to the process's standard error, kept apart.

libjpeg goes on after damaged data and prints a line without the file's name; nothing else tells.
"""

import contextlib
import os
import sys
import tempfile
import threading
from types import TracebackType

# libpng has an opinion on colour profiles; the pixels are right.
_HARMLESS = ('libpng warning',)


class StderrCapture:
    """While it is entered, file descriptor 2 goes to a temporary file; Python's stderr does not.

    Where there is no standard error to redirect nothing is caught.
    """

    def __init__(self) -> None:
        self._file = None
        self._before = -1
        self._python = None
        self._lock = threading.Lock()

    def __enter__(self) -> 'StderrCapture':
        try:
            self._before = os.dup(2)
        except OSError:
            return self
        self._file = tempfile.TemporaryFile('a+b')  # appending: reading moves no writer
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
            if sys.stderr.fileno() == 2:  # bars and messages of ours are still to be seen
                self._python = sys.stderr
                sys.stderr = os.fdopen(
                    os.dup(self._before), 'w', 1, encoding=sys.stderr.encoding, errors='replace'
                )
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        os.dup2(self._before, 2)
        os.close(self._before)
        if self._python is not None:
            sys.stderr.close()
            sys.stderr = self._python
        self._file.close()
        self._file = None

    def size(self) -> int:
        """Bytes that were printed so far."""
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_size

    def since(self, size: int) -> str:
        """The first line after ``size`` bytes that is about damage, or ''."""
        if self._file is None or self.size() <= size:
            return ''
        with self._lock:
            os.lseek(self._file.fileno(), size, os.SEEK_SET)
            text = os.read(self._file.fileno(), 1 << 16).decode(errors='replace')
        lines = (line.strip() for line in text.splitlines())
        return next((line for line in lines if line and not line.startswith(_HARMLESS)), '')
