"""Whether checkpoint files may run code, in this process and its children."""

import os

TRUST_VARIABLE = 'OPENSEG_PLUGIN_TRUST_CHECKPOINTS'


def trust_checkpoints(trust: bool) -> None:
    """Say whether checkpoint files may run code while they are read.

    Only for files whose origin you trust; ``--trust-checkpoint`` of the tools. The environment
    variable ``OPENSEG_PLUGIN_TRUST_CHECKPOINTS=1`` does the same for programs of others.
    """
    os.environ[TRUST_VARIABLE] = '1' if trust else '0'


def checkpoints_are_trusted() -> bool:
    """What :func:`trust_checkpoints` or the environment variable says; False without either."""
    return os.environ.get(TRUST_VARIABLE, '0') == '1'
