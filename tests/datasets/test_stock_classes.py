"""mmseg's own classes and ours see the same labels, in the converted tree and in mmseg's layout.

The trees are made from the stored raw ones in tests/data/converters.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmseg.registry import DATASETS

from openseg_plugin.converters.datasets import Settings, convert

PROJECT = Path(__file__).parents[2]
RAW = PROJECT / 'tests/data/converters'
BASES = PROJECT / 'configs/_base_/datasets'
SETTINGS = Settings(workers=1, show_progress=False)


@dataclass(frozen=True)
class Case:
    """One dataset: ours, and mmseg's.

    Attributes:
        base: our base config; ``<base>_stock`` is mmseg's, but for the 65 classes of Mapillary.
        converter: makes both trees.
        stock_class: of mmseg.
        stock_home: where the stock layout is, below DATA_ROOT.
        image: ending of the images.
        options: what the stock class needs to read the converted tree.
    """

    base: str
    converter: str
    stock_class: str
    stock_home: str
    image: str = '.jpg'
    options: tuple[tuple[str, object], ...] = ()


CASES = [
    Case('cityscapes', 'cityscapes', 'CityscapesDataset', 'cityscapes', image='.png'),
    Case('voc', 'pascal_voc', 'PascalVOCDataset', ''),
    Case('pascal_context', 'pascal_context', 'PascalContextDataset59', ''),
    Case('pascal_context60', 'pascal_context', 'PascalContextDataset', ''),
    Case('ade20k', 'ade20k', 'ADE20KDataset', 'ade'),
    Case(
        'coco_stuff10k',
        'coco_stuff10k',
        'COCOStuffDataset',
        'coco_stuff10k',
        options=(('reduce_zero_label', True),),
    ),
    Case('coco_stuff164k', 'coco_stuff164k', 'COCOStuffDataset', 'coco_stuff164k'),
    Case('mapillary66', 'mapillary', 'MapillaryDataset_v1', 'mapillary'),
    Case('lip', 'lip', 'LIPDataset', ''),
]
IDS = [case.base for case in CASES]
SPLITS = ('train', 'val')


def load(base: str, root: Path, monkeypatch) -> Config:
    monkeypatch.setenv('DATA_ROOT', str(root))
    return Config.fromfile(BASES / f'{base}.py')


def labels_of(dataset) -> dict[str, np.ndarray]:
    """Stem of the image -> train ids (H, W), through mmseg's loader of labels."""
    parts = dataset.datasets if isinstance(dataset, ConcatDataset) else [dataset]
    found = {}
    for part in parts:
        for k in range(len(part)):
            sample = part[k]
            assert Path(sample['img_path']).is_file()
            found[Path(sample['img_path']).stem] = sample['gt_seg_map']
    return found


def build(cfg: dict) -> object:
    """The dataset of a config with nothing in its pipeline but mmseg's loader of labels."""
    for part in cfg.get('datasets', [cfg]):
        part.pipeline = [dict(type='LoadAnnotations')]
    return DATASETS.build(cfg)


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys() and expected
    for name, label in expected.items():
        np.testing.assert_array_equal(found[name], label, err_msg=name)


@pytest.fixture
def ours(request, tmp_path, monkeypatch) -> tuple[Case, Path, dict]:
    """A case, the folder of its converted tree, and the labels of our class: split -> labels."""
    case = request.param
    cfg = load(case.base, tmp_path, monkeypatch)
    home = Path(cfg.data_root)
    convert(case.converter, RAW / case.converter / 'raw', home, settings=SETTINGS)
    loaders = dict(train=cfg.train_dataloader, val=cfg.val_dataloader)
    labels = {split: labels_of(build(loader.dataset)) for split, loader in loaders.items()}
    for label in (label for one in labels.values() for label in one.values()):
        assert label.max() == 255 or label.max() < cfg.num_classes
        assert (label < cfg.num_classes).any()
    return case, home, labels


@pytest.mark.parametrize('ours', CASES, ids=IDS, indirect=True)
def test_stock_class_reads_the_converted_tree(ours):
    case, home, labels = ours
    for split in SPLITS:
        names = sorted(path.stem for path in (home / split / 'label').iterdir())
        (home / 'names.txt').write_text('\n'.join(names) + '\n')
        dataset = DATASETS.get(case.stock_class)(
            data_root=str(home),
            data_prefix=dict(img_path=f'{split}/image', seg_map_path=f'{split}/label'),
            img_suffix=case.image,
            seg_map_suffix='.png',
            pipeline=[dict(type='LoadAnnotations')],
            **_options(case),
        )
        assert_same(labels_of(dataset), labels[split])


@pytest.mark.parametrize('ours', CASES, ids=IDS, indirect=True)
def test_stock_base_class_reads_the_converted_tree_given_its_classes(ours):
    case, home, labels = ours
    kind = DATASETS.get(case.stock_class)
    for split in SPLITS:
        dataset = DATASETS.get('BaseSegDataset')(
            data_root=str(home),
            data_prefix=dict(img_path=f'{split}/image', seg_map_path=f'{split}/label'),
            img_suffix=case.image,
            seg_map_suffix='.png',
            metainfo=dict(classes=kind.METAINFO['classes'], palette=kind.METAINFO['palette']),
            # mmseg's other classes know by themselves which value stands for no class
            reduce_zero_label=case.base in ('ade20k', 'pascal_context', 'coco_stuff10k'),
            pipeline=[dict(type='LoadAnnotations')],
        )
        assert_same(labels_of(dataset), labels[split])


def _options(case: Case) -> dict:
    """Options of the stock class; PASCAL's classes insist on a list."""
    options = dict(case.options)
    if case.converter.startswith('pascal'):
        options['ann_file'] = 'names.txt'
    return options


@pytest.mark.parametrize('ours', [c for c in CASES if c.base != 'lip'], ids=IDS[:-1], indirect=True)
def test_stock_base_reads_mmsegs_layout(ours, tmp_path_factory, monkeypatch):
    case, _, labels = ours
    root = tmp_path_factory.mktemp('stock')
    raw = RAW / case.converter / 'raw'
    if case.base == 'ade20k':
        # the stored tree has an image without a label, which the converter leaves out
        without = shutil.ignore_patterns('ADE_train_00099999.jpg')
        shutil.copytree(raw, root / case.stock_home, ignore=without)
    elif case.base == 'mapillary66':
        for split in ('training', 'validation'):
            shutil.copytree(raw / split / 'images', root / f'mapillary/{split}/images')
            shutil.copytree(raw / split / 'labels', root / f'mapillary/{split}/v1.2/labels')
    else:
        options = {'layout': 'mmseg'}
        convert(case.converter, raw, root / case.stock_home, options, settings=SETTINGS)
    cfg = load(f'{case.base.removesuffix("66")}_stock', root, monkeypatch)
    assert cfg.dataset_type == case.stock_class
    for split, loader in (('train', cfg.train_dataloader), ('val', cfg.val_dataloader)):
        dataset = build(loader.dataset)
        assert_same(labels_of(dataset), labels[split])
        assert len(dataset.metainfo['classes']) == cfg.num_classes


@in_one_test('case', CASES, ids=IDS)
def test_classes_and_colors_are_those_of_mmseg(case):
    cfg = Config.fromfile(BASES / f'{case.base}.py')
    ours, stock = DATASETS.get(cfg.dataset_type), DATASETS.get(case.stock_class)
    names, others = ours.METAINFO['classes'], stock.METAINFO['classes']
    assert [name.strip().lower() for name in names] == [name.strip().lower() for name in others]
    assert ours.METAINFO['palette'] == [list(color) for color in stock.METAINFO['palette']]
