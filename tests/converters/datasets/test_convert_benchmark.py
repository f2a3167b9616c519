"""The benchmark of the converters: our way gives what the original steps give."""

import pytest

from benchmarks.convert import cases
from benchmarks.core import Setting


@pytest.mark.parametrize('size', [(64, 96), (33, 41)])
def test_benchmark_cases_give_equal_results(size: tuple[int, int]) -> None:
    names = []
    for case in cases(Setting(size=size)):
        names.append(case.name)
        if not case.wall:
            assert case.compare(case.stock(), case.ours()).is_equal, case.name
    assert names == [
        *('ids to trainids', 'label file', 'polygons', 'edges'),
        *('labelme -> coco_polygons', '1 -> 2 processes'),
    ]
