"""Published files as a user has them: saved by torch, loaded into a model by mmengine."""

import pickle
from pathlib import Path

import pytest
import torch
from mmengine.runner import load_checkpoint
from parity import catalog, reference_run, stored

from openseg_plugin.converters.checkpoints import convert
from openseg_plugin.converters.checkpoints.reader import NAME_TABLE


def as_openseg_saves(weights):
    return {
        'config_dict': {'network': {'resume': None}, 'phase': 'train', 'gpu': [0, 1]},
        'state_dict': {f'module.{name}': value for name, value in weights.items()},
    }


def as_hrnet_ocr_saves(weights):
    saved = {f'model.{name}': value for name, value in weights.items()}
    return {**saved, 'loss.criterion.weight': torch.ones(20)}


def write_pdparams(weights, path, *, protocol):
    """As ``paddle.save``: a pickle of arrays and of the table of Paddle's internal names."""
    arrays = {name: value.numpy() for name, value in weights.items()}
    table = {name: f'param_{index}.w_0' for index, name in enumerate(arrays)}
    path.write_bytes(pickle.dumps({**arrays, NAME_TABLE: table}, protocol=protocol))


SAVED = {'openseg': as_openseg_saves, 'hrnet_ocr': as_hrnet_ocr_saves}


def first_of_each_family() -> list:
    """One network of every family: torch's older file format is the same for all."""
    found = {}
    for param in catalog.params('network'):
        found.setdefault(param.values[0], param)
    return list(found.values())


@pytest.mark.parametrize(('family', 'name'), catalog.params('network'))
def test_published_file_arrives_bit_for_bit_as_converted(tmp_path, family, name):
    check_arrival(tmp_path, family, name, is_zip=True)


@pytest.mark.slow
@pytest.mark.parametrize(('family', 'name'), first_of_each_family())
def test_published_file_of_an_older_format_arrives_bit_for_bit(tmp_path, family, name):
    check_arrival(tmp_path, family, name, is_zip=False)


def check_arrival(tmp_path: Path, family: str, name: str, *, is_zip: bool) -> None:
    fixture = stored.read(catalog.files()[family, name], family)
    weights = {k: torch.from_numpy(v) for k, v in stored.state_dict(fixture).items()}
    path = tmp_path / 'published.pth'
    if family == 'paddleseg':
        write_pdparams(weights, path, protocol=4 if is_zip else 2)
    else:
        torch.save(SAVED.get(family, dict)(weights), path, _use_new_zipfile_serialization=is_zip)
    conversion = convert(weights)
    model = reference_run.build_empty(conversion).float()
    load_checkpoint(model, str(path))
    loaded = model.state_dict()
    assert loaded.keys() == conversion.state_dict.keys()
    different = [k for k, v in conversion.state_dict.items() if not torch.equal(loaded[k], v)]
    assert not different
