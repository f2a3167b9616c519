"""Merging the logits of overlapping windows; the network itself is left out."""

from collections.abc import Iterator

from benchmarks.core import Case, Setting, exactly
from benchmarks.inputs import segmentors, smooth


def cases(setting: Setting) -> Iterator[Case]:
    """Windows of half the size with a stride of two thirds of that."""
    height, width = setting.size
    window = (height // 2, width // 2)
    stride = tuple(side * 2 // 3 for side in window)
    test_cfg = dict(crop_size=window, stride=stride)
    stock, ours = segmentors(setting, **test_cfg)
    ours.test_cfg['mode'] = 'slide'
    logits = [
        smooth((1, setting.classes, *window), seed=seed).to(setting.device) for seed in range(3)
    ]
    calls = [0]

    def network(*_):
        calls[0] += 1
        return logits[calls[0] % len(logits)]

    stock.encode_decode = ours.encode_decode = network
    image = smooth((1, 3, *setting.size)).to(setting.device)

    def run(way):
        calls[0] = 0
        return way()

    yield Case(
        'slide',
        lambda: run(lambda: stock.slide_inference(image, [{}])),
        lambda: run(lambda: ours.inference(image)),
        exactly,
        5.0,
    )
