"""Errors that are the user's to fix: one sentence with what was found, what is needed, what to do.

The command line tools print the message alone and exit with status 2; ``--debug`` adds the
traceback.
Every class is a ``ValueError``, so library callers can catch them without importing this module.
"""


class UserError(ValueError):
    """Something the user can fix; the message stands alone.

    ``exit_status`` is that of a command that ends with it.
    """

    exit_status = 2


class ConfigError(UserError):
    """A config file or option that cannot work."""


class MachineError(UserError):
    """The machine gave up, not the input: a process was killed, another one cannot be reached."""

    exit_status = 1


class DataError(UserError):
    """An image, label, folder or archive that cannot be used; names the file."""


class CheckpointError(UserError):
    """A weight file that cannot be read, is not recognized or does not fit; names file or keys.

    Args:
        message: the sentence.
        details: what it leaves out, such as hundreds of keys; ``--debug`` shows it.
    """

    def __init__(self, message: str, *, details: str = '') -> None:
        super().__init__(message)
        self.details = details


class DependencyError(UserError):
    """A missing or wrong dependency: what was found, what is needed, the command to install it.

    No ``ImportError``: mmengine swallows those when it imports a registry, sentence and all.
    """
