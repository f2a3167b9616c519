"""Metrics per class as a text table, CSV and JSON."""

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from prettytable import PrettyTable


def class_table(classes: Sequence[str], metrics: Mapping[str, np.ndarray]) -> str:
    """Text table with one row per class.

    Args:
        classes: K names.
        metrics: column name -> (K,) values; scalars have no column.
    """
    table = PrettyTable()
    table.add_column('Class', list(classes))
    for name, values in metrics.items():
        if np.ndim(values):
            table.add_column(name, list(values))
    return table.get_string()


def write_report(
    folder: str,
    classes: Sequence[str],
    *,
    metrics: Mapping[str, np.ndarray],
    means: Mapping[str, float],
) -> None:
    """``per_class.csv`` and ``metrics.json`` (means and classes, null for NaN) in ``folder``.

    Args:
        folder: made if it is not there.
        classes: K names.
        metrics: name -> (K,) values; scalars are left out.
        means: name -> value.
    """
    os.makedirs(folder, exist_ok=True)
    columns = {name: values for name, values in metrics.items() if np.ndim(values)}
    rows = [
        {'Class': name, **{key: _plain(values[i]) for key, values in columns.items()}}
        for i, name in enumerate(classes)
    ]
    with open(os.path.join(folder, 'per_class.csv'), 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, ['Class', *columns], lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    content = {'means': {name: _plain(value) for name, value in means.items()}, 'classes': rows}
    with open(os.path.join(folder, 'metrics.json'), 'w', encoding='utf-8') as file:
        json.dump(content, file, indent=1)
        file.write('\n')


def _plain(value: float) -> float | None:
    value = float(value)
    return None if math.isnan(value) else round(value, 4)
