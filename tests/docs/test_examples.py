"""The worked examples of docs/contributing do what their pages say."""

import numpy as np
import pytest
import torch
from head_contract import HeadContract
from PIL import Image

from docs.contributing.examples import acme_source, mean_context_head, rooftops
from openseg_plugin.converters.checkpoints import sources
from openseg_plugin.converters.datasets import convert
from openseg_plugin.errors import CheckpointError, DataError
from openseg_plugin.paths import config_path
from openseg_plugin.registry import DATASETS, MODELS


class TestMeanContextHead(HeadContract):
    HEAD = mean_context_head.MeanContextHead.__name__
    DEFAULT_ARGS = dict(in_channels=(4, 6, 8, 10), channels=8)
    LOSSES = {'loss_ce'}


def write_raw(folder, mask):
    """Two splits of one photograph each, with the same mask."""
    for split in ('train', 'val'):
        for kind, values, ending in (('photos', [[60] * 3] * 2, 'jpg'), ('roofs', mask, 'png')):
            (folder / kind / split).mkdir(parents=True)
            image = Image.fromarray(np.array(values, np.uint8))
            image.save(folder / kind / split / f'a.{ending}')


def test_converter_gives_train_ids_and_ignores_what_nobody_saw(tmp_path):
    write_raw(tmp_path / 'raw', [[0, 128, 255], [0, 0, 128]])
    report = convert('rooftops', tmp_path / 'raw', tmp_path / 'data')
    label = np.asarray(Image.open(tmp_path / 'data/train/label/a.png'))
    assert report.samples == {'train': 1, 'val': 1}
    assert label.tolist() == [[0, 1, 255], [0, 0, 1]]


def test_converter_names_a_mask_with_other_values(tmp_path):
    write_raw(tmp_path / 'raw', [[0, 77, 255], [0, 0, 128]])
    with pytest.raises(DataError, match=r'a\.png holds 77'):
        convert('rooftops', tmp_path / 'raw', tmp_path / 'data')


def test_dataset_reads_the_converted_tree(tmp_path):
    write_raw(tmp_path / 'raw', [[0, 128, 255], [0, 0, 128]])
    convert('rooftops', tmp_path / 'raw', tmp_path / 'data')
    dataset = DATASETS.build(
        dict(
            type='openseg_plugin.RooftopsDataset',
            data_root=str(tmp_path / 'data'),
            data_prefix=dict(img_path='val/image', seg_map_path='val/label'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')],
        )
    )
    assert dataset.metainfo['classes'] == rooftops.CLASSES
    assert dataset[0]['img'].shape == (2, 3, 3)
    assert dataset[0]['gt_seg_map'].tolist() == [[0, 1, 255], [0, 0, 1]]


@pytest.fixture
def acme(monkeypatch):
    """A file of the invented code base, and the model whose weights it holds under other names."""
    from mmengine.config import Config

    monkeypatch.setattr(sources, 'SOURCES', (acme_source, *sources.SOURCES))
    cfg = Config.fromfile(config_path('fcn/hrnet48_hrnetocr_cityscapes_484e.py'))
    cfg.merge_from_dict(acme_source.backbone_options(width=8))
    cfg.model.backbone.init_cfg = None
    cfg.model.decode_head.update(in_channels=(8, 16, 32, 64), channels=120, num_classes=4)
    cfg.model.decode_head.loss_decode.class_weight = None
    model = MODELS.build(cfg.model)
    theirs = {}
    for unit in acme_source.table():
        for ours, name in ((unit.target, unit.source), (unit.target_norm, unit.source_norm)):
            for key, value in model.state_dict().items():
                if ours and key.rpartition('.')[0] == ours:
                    theirs[f'{name}.{key.rpartition(".")[2]}'] = torch.rand_like(value.float())
    return theirs, model


def test_source_fills_our_network_with_every_entry(acme):
    theirs, model = acme
    conversion = sources.convert(theirs)
    assert (conversion.source.name, conversion.num_classes) == ('acme', 4)
    assert len(conversion.state_dict) == len(theirs)
    model.load_state_dict(conversion.state_dict, strict=True)


def test_source_lists_an_entry_without_a_place(acme):
    theirs, _ = acme
    theirs['encoder.extra.weight'] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r'encoder\.extra\.weight'):
        sources.convert(theirs)
