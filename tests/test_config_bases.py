"""Configs say a thing once: options of heads follow their dataset, leaves derive from siblings."""

from collections import Counter

from leaves import LEAVES, ROOT
from mmengine.config import Config


def test_options_of_heads_repeat_what_their_dataset_says():
    wrong = []
    for path in sorted((ROOT / '_base_' / 'datasets').glob('*.py')):
        cfg = Config.fromfile(path)
        if 'num_classes' in cfg:
            weights = dict(class_weight=cfg.get('class_weight'))
            head = dict(num_classes=cfg.num_classes, loss_decode=weights)
            expected = (head, dict(head, loss_region=weights), dict.fromkeys(HEADS, head))
            if (cfg.head, cfg.ocr_head, cfg.heads) != expected:
                wrong.append(path.name)
    assert not wrong


HEADS = ('decode_head', 'auxiliary_head')


def test_leaves_derive_instead_of_repeating_each_other():
    leaves = [[line for line in (ROOT / leaf).read_text().splitlines() if line] for leaf in LEAVES]
    runs = Counter(run for lines in leaves for run in {*zip(*(lines[i:] for i in range(5)))})
    repeated = sum(
        len(
            {
                i + j
                for i in range(len(lines) - 4)
                for j in range(5)
                if runs[tuple(lines[i : i + 5])] > 1
            }
        )
        for lines in leaves
    )
    assert repeated <= 0.45 * sum(map(len, leaves))
