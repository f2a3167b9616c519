"""What timm (1.0) leaves out when it loads weights: it logs that, where a user must be told.

For: timm 1.0; in force only while our backbone loads weights, so nobody else notices.
Ends when: timm reports what it left out other than in its log.

timm passes ``strict=False`` to torch for every backbone without a classifier, so weights of another
network load as nothing at all.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from torch import nn


@dataclass
class LoadingReport:
    """What happened between a file and timm's model.

    Attributes:
        model: the model that was loaded, before timm made it one of feature maps; None: none was.
        missing: its entries that the file did not fill.
        unexpected: entries of the file that it has no place for.
    """

    model: nn.Module | None = None
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)


@contextmanager
def loading_report() -> Iterator[LoadingReport]:
    """Within it, what timm's ``create_model(pretrained=True)`` leaves out goes into the report.

    timm's own list of it, hundreds of names in the log, is left out.
    """
    from timm.models import _builder

    report = LoadingReport()
    load_pretrained = _builder.load_pretrained

    def load_and_report(model: nn.Module, *arguments: Any, **options: Any) -> None:
        def note(_: nn.Module, keys: Any) -> None:
            report.missing[:] = keys.missing_keys
            report.unexpected[:] = keys.unexpected_keys

        report.model = model
        handle = model.register_load_state_dict_post_hook(note)
        try:
            load_pretrained(model, *arguments, **options)
        finally:
            handle.remove()

    logger = logging.getLogger(_builder.__name__)
    with (
        mock.patch.object(_builder, 'load_pretrained', load_and_report),
        mock.patch.object(logger, 'disabled', True),
    ):
        yield report
