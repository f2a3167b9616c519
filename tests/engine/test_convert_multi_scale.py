"""Files of NVIDIA and PaddleSeg through the converter's command line and loaded as they are."""

import pickle

import published_hmsa
import published_ocr
import pytest
import torch

from openseg_plugin.cli.convert_checkpoint import main
from openseg_plugin.cli.main import run
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.errors import CheckpointError

MAPILLARY_CLASSES, CITYSCAPES_CLASSES = 65, 19
CLASSIFIERS = {
    f'decode_head.{layer}.{entry}'
    for layer in ('conv_seg', 'region_seg')
    for entry in ('weight', 'bias')
}


@pytest.fixture(scope='module', autouse=True)
def shallow_tables():
    with published_ocr.shallow_tables():
        yield


def nvidia_file(folder, model):
    path = folder / 'theirs.pth'
    torch.save({'epoch': 3, 'state_dict': published_hmsa.nvidia_weights(model)}, path)
    return path


def paddleseg_file(folder, model):
    path = folder / 'theirs.pdparams'
    weights = published_hmsa.paddleseg_weights(model)
    table = {'StructuredToParameterName@@': {name: name for name in weights}}
    path.write_bytes(pickle.dumps(weights | table, protocol=4))
    return path


FILES = {
    'ocrnet.HRNet_Mscale of nvidia': (nvidia_file, 'hmsa/hrnet48_cityscapes_175e.py'),
    'MscaleOCRNet of paddleseg': (paddleseg_file, 'hmsa/hrnet48_paddleseg_cityscapes_65k.py'),
}


@pytest.mark.parametrize('source', FILES)
def test_multi_scale_file_is_written_whole_and_named(source, tmp_path, capsys):
    make, config = FILES[source]
    model = published_hmsa.filled()
    target = tmp_path / 'ours.safetensors'
    assert run(main, [str(make(tmp_path, model)), str(target)]) == 0
    said = capsys.readouterr().out
    assert source in said
    assert f'openseg test configs/{config} {target} --cfg-options model.backbone.width=4' in said
    read = read_checkpoint(target)
    expected = model.state_dict()
    assert read['state_dict'].keys() == expected.keys()
    for name, value in read['state_dict'].items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)
    options = read['meta']['cfg_options']
    assert options['model.decode_head.num_classes'] == published_hmsa.CLASSES
    assert options['model.scale_attention.channels'] == 5


@pytest.mark.parametrize('source', FILES)
def test_multi_scale_file_loads_as_it_is_and_predicts_the_same(source, tmp_path):
    make, _ = FILES[source]
    model, other = published_hmsa.filled(), published_hmsa.build()
    read = read_checkpoint(make(tmp_path, model))
    other.load_state_dict(read.get('state_dict', read))
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(other.decode(image), model.decode(image), rtol=0, atol=0)


def test_single_scale_file_of_nvidia_is_written_for_its_config(tmp_path, capsys):
    model = published_hmsa.filled(single=True)
    target = tmp_path / 'ours.pth'
    assert run(main, [str(nvidia_file(tmp_path, model)), str(target)]) == 0
    assert 'configs/hmsa/hrnet48_single_cityscapes_175e.py' in capsys.readouterr().out
    assert read_checkpoint(target)['state_dict'].keys() == model.state_dict().keys()


@pytest.mark.parametrize('source', FILES)
def test_file_without_an_entry_is_refused_by_name(source, tmp_path, capsys):
    make, _ = FILES[source]
    model = published_hmsa.filled()
    del model.scale_attention.conv_attention
    assert run(main, [str(make(tmp_path, model)), str(tmp_path / 'ours.pth')]) == 2
    said = capsys.readouterr().err
    assert '1 entry is missing: scale_attn.' in said
    assert not (tmp_path / 'ours.pth').exists()


def test_mapillary_weights_start_19_classes_with_the_classifiers_dropped_and_named(
    tmp_path, monkeypatch
):
    single = published_hmsa.filled(single=True, classes=MAPILLARY_CLASSES)
    weights = read_checkpoint(nvidia_file(tmp_path, single))['state_dict']
    model = published_hmsa.build(classes=CITYSCAPES_CLASSES)
    with pytest.raises(CheckpointError, match=r'65.*19|drop'):
        model.load_state_dict(weights, strict=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    said = []
    monkeypatch.setattr(
        'openseg_plugin.models.foreign_weights.print_log', lambda text, **_: said.append(text)
    )
    model.drop_classifier = True
    model.load_state_dict(weights, strict=False)
    (line,) = [text for text in said if 'drop_classifier' in text]
    assert all(name in line for name in CLASSIFIERS)
    theirs = single.state_dict()
    for name, value in model.state_dict().items():
        kept = name in CLASSIFIERS or name.startswith('scale_attention.')
        assert torch.equal(value, before[name] if kept else theirs[name]), name


def test_mapillary_file_is_converted_without_its_classifiers(tmp_path, capsys):
    single = published_hmsa.filled(single=True, classes=MAPILLARY_CLASSES)
    target = tmp_path / 'ours.pth'
    path = nvidia_file(tmp_path, single)
    assert run(main, [str(path), str(target), '--drop-classifier']) == 0
    said = capsys.readouterr().out
    assert f'classes        {MAPILLARY_CLASSES}' in said
    assert all(name in said for name in CLASSIFIERS)
    written = read_checkpoint(target)['state_dict']
    assert written.keys() == single.state_dict().keys() - CLASSIFIERS
