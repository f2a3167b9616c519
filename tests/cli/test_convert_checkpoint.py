"""The command line of the converter, in process, on a small network."""

import hashlib
import json
import re

import numpy as np
import published_ocr
import pytest
import torch
from PIL import Image
from published_ocr import CLASSES, build, filled, published_weights

from openseg_plugin.cli import verify_checkpoint
from openseg_plugin.cli.convert_checkpoint import main
from openseg_plugin.cli.main import run
from openseg_plugin.config import loading
from openseg_plugin.converters.checkpoints import convert, read_checkpoint
from openseg_plugin.converters.checkpoints.stored_config import (
    STORED_CONFIG,
    as_data,
    stored_config,
)


@pytest.fixture(scope='module', autouse=True)
def shallow_tables():
    with published_ocr.shallow_tables():
        yield


@pytest.fixture(scope='module')
def weights():
    return published_weights(filled())


@pytest.fixture
def file(weights, tmp_path):
    torch.save({'state_dict': weights, 'config_dict': {'x': None}}, tmp_path / 'theirs.pth')
    return tmp_path / 'theirs.pth'


def test_without_target_it_says_what_was_found_and_writes_nothing(file, capsys):
    assert run(main, [str(file)]) == 0
    said = capsys.readouterr().out
    for part in (
        'source         openseg, network hrnet_w48_ocr', 'ocr', 'hrnet4',
        f'classes        {CLASSES}', 'inplace_abn',
        'configs/ocr/hrnet48_iabn_cityscapes_80k.py --cfg-options model.backbone.width=4',
        'model.decode_head.in_channels=[4,8,16,32]',
        'BGR, minus (123.675, 116.28, 103.53)', '; the config does it',
    ):  # fmt: skip
        assert part in said
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_converted_file_loads_and_says_where_it_came_from(file, weights, suffix, capsys):
    target = file.with_name(f'ours{suffix}')
    assert run(main, [str(file), str(target)]) == 0
    read = read_checkpoint(target)
    expected = convert(weights)
    assert read['state_dict'].keys() == expected.state_dict.keys()
    assert all(torch.equal(v, expected.state_dict[k]) for k, v in read['state_dict'].items())
    assert read['meta']['source'] == 'hrnet_w48_ocr of openseg'
    assert read['meta']['cfg_options'] == json.loads(json.dumps(expected.cfg_options))
    build().load_state_dict(read['state_dict'])
    command = f'openseg test configs/{expected.config} {target} --cfg-options'
    assert command in capsys.readouterr().out


def test_format_alone_puts_the_result_beside_the_source(file):
    assert run(main, [str(file), '--format', 'safetensors']) == 0
    assert sorted(p.name for p in file.parent.iterdir()) == ['theirs.pth', 'theirs.safetensors']


def test_own_file_changes_its_format_and_keeps_its_classes(tmp_path):
    model = build()
    meta = {'dataset_meta': {'classes': ('a', 'b'), 'palette': np.eye(2, 3)}, 'iter': 5}
    torch.save({'state_dict': model.state_dict(), 'meta': meta, 'optimizer': {}},
               tmp_path / 'own.pth')  # fmt: skip
    assert run(main, [str(tmp_path / 'own.pth'), '--format', 'safetensors']) == 0
    read = read_checkpoint(tmp_path / 'own.safetensors')
    assert read['meta']['dataset_meta'] == {
        'classes': ['a', 'b'], 'palette': [[1, 0, 0], [0, 1, 0]]
    }  # fmt: skip
    assert read['state_dict'].keys() == model.state_dict().keys()


@pytest.fixture
def shallow_config(monkeypatch):
    """The published configs on the shallow network of the tables above."""
    depth = {'model.backbone.num_modules': (1, 1, 1), 'model.backbone.num_blocks': 1,
             'model.backbone.init_cfg': None}  # fmt: skip
    load = loading.load_config
    for module in (loading, verify_checkpoint):
        monkeypatch.setattr(
            module, 'load_config',
            lambda name, *, data, options: load(name, data=data, options={**options, **depth}),
        )  # fmt: skip


@pytest.fixture
def images(tmp_path):
    (tmp_path / 'images').mkdir()
    paths = [tmp_path / 'images' / f'{name}.png' for name in ('a', 'b')]
    for path, size in zip(paths, ((64, 96), (48, 80))):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)).save(path)
    return paths


def test_verifying_draws_every_image_beside_the_result(file, images, shallow_config, capsys):
    target = file.parent / 'out' / 'ours.pth'
    target.parent.mkdir()
    assert run(main, [str(file), str(target), '--verify', *map(str, images)]) == 0
    said = capsys.readouterr().out
    for name in ('a', 'b'):
        drawn = target.parent / f'ours_{name}.jpg'
        assert re.search(f'{drawn}: class [0-2] [0-9]+ %', said)
        with Image.open(drawn) as panel:
            assert panel.size[0] >= 2 * 320  # image and prediction side by side


def test_verifying_what_was_converted_earlier_needs_no_config(
    file, images, shallow_config, tmp_path, capsys
):
    ours, shown = tmp_path / 'ours.pth', tmp_path / 'shown'
    assert run(main, [str(file), str(ours)]) == 0
    verify = [str(ours), '--verify', str(images[0]), '--verify-dir', str(shown)]
    assert run(main, verify) == 0, capsys.readouterr().err
    assert [path.name for path in shown.iterdir()] == ['ours_a.jpg']
    assert not list(tmp_path.glob('*.jpg'))


def test_verifying_a_broken_image_names_it(file, shallow_config, tmp_path, capsys):
    (tmp_path / 'x.png').write_text('no image')
    assert run(main, [str(file), '--verify', str(tmp_path / 'x.png')]) == 2
    assert 'x.png is missing or no intact image' in capsys.readouterr().err


def test_verifying_weights_that_nobody_knows_a_config_for_is_refused(tmp_path, capsys):
    torch.save({'state_dict': build().state_dict()}, tmp_path / 'own.pth')
    assert run(main, [str(tmp_path / 'own.pth'), '--verify', 'x.png']) == 2
    assert 'openseg test CONFIG FILE --show-dir' in capsys.readouterr().err


def test_dropping_leaves_out_exactly_the_classifier(file, weights, capsys):
    target = file.with_name('ours.pth')
    assert run(main, [str(file), str(target), '--drop-classifier']) == 0
    missing = convert(weights).state_dict.keys() - read_checkpoint(target)['state_dict'].keys()
    assert missing == {
        f'decode_head.{layer}.{entry}'
        for layer in ('conv_seg', 'region_seg')
        for entry in ('weight', 'bias')
    }
    said = capsys.readouterr().out
    assert all(name in said for name in missing)
    model = build(classes=7)
    model.drop_classifier = True
    model.load_state_dict(read_checkpoint(target)['state_dict'])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['missing.pth'], 'missing.pth does not exist'),
        (['theirs.pth', 'theirs.pth'], 'would be overwritten'),
        (['theirs.pth', 'ours.pth', '--format', 'safetensors'], 'does not end in .safetensors'),
        (['theirs.pth', '--too', 'pth'], 'no option --too'),
        (['page.pth'], 'is a web page'),
        (['half.pth', 'ours.pth'], '1 entry is missing: cls_head.bias'),
        (['strange.pth'], 'strange.pth: no known project'),
    ],
)
def test_mistake_is_one_sentence_and_status_2(file, weights, arguments, message, capsys):
    folder = file.parent
    (folder / 'page.pth').write_text('<html>')
    half = {k: v for k, v in weights.items() if k != 'module.cls_head.bias'}
    torch.save(half, folder / 'half.pth')
    torch.save({'a.weight': torch.zeros(1)}, folder / 'strange.pth')
    before = file.read_bytes()
    arguments = [str(folder / a) if a.endswith('.pth') else a for a in arguments]
    assert run(main, arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count('\n') == 1
    assert file.read_bytes() == before
    assert not (folder / 'ours.pth').exists()


def test_crafted_file_runs_only_when_trusted(tmp_path, capsys):
    import os

    class Command:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'ran'),)

    torch.save({'w': Command()}, tmp_path / 'crafted.pth')
    assert run(main, [str(tmp_path / 'crafted.pth')]) == 2
    assert '--trust-checkpoint' in capsys.readouterr().err
    assert not (tmp_path / 'ran').exists()
    assert run(main, [str(tmp_path / 'crafted.pth'), '--trust-checkpoint']) == 2  # no weights
    assert (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    'words, message',
    [(['--drop-classifier'], 'give DST or --format'), (['--verify-dir', 'x'], 'give')],
)
def test_an_option_that_would_do_nothing_is_refused(file, words, message, capsys):
    assert run(main, [str(file), *words]) == 2
    assert message in capsys.readouterr().err


def test_release_has_the_averaged_weights_alone_and_its_hash_in_the_name(tmp_path, capsys):
    last, averaged = build().state_dict(), build().state_dict()
    saved = {'state_dict': last, 'model_ema': averaged, 'optimizer': {'state': {}},
             'meta': {'dataset_meta': {'classes': ('a', 'b', 'c')}, 'iter': 5}}  # fmt: skip
    torch.save(saved, tmp_path / 'iter_5.pth')
    assert run(main, [str(tmp_path / 'iter_5.pth'), str(tmp_path / 'o.pth'), '--for-release']) == 0
    (file,) = tmp_path.glob('o*.pth')
    assert file.stem == f'o-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}'
    read = read_checkpoint(file)
    assert read.keys() == {'state_dict', 'meta'}
    assert all(torch.equal(read['state_dict'][name], averaged[name]) for name in averaged)
    assert read['meta']['dataset_meta']['classes'] == ('a', 'b', 'c')


def test_hub_folder_holds_weights_config_and_card_and_reads_as_a_checkpoint(tmp_path, capsys):
    config = {'model': {'type': 'mmseg.EncoderDecoder', 'decode_head': {'scale': (1, 2)}}}
    meta = {'dataset_meta': {'classes': ('a', 'b')}, STORED_CONFIG: as_data(config)}
    torch.save({'state_dict': build().state_dict(), 'meta': meta}, tmp_path / 'own.pth')
    words = [str(tmp_path / 'own.pth'), str(tmp_path / 'hub'), '--format', 'hub']
    assert run(main, [*words, '--license', 'cc-by-4.0']) == 0
    assert {p.name for p in (tmp_path / 'hub').iterdir()} == {
        'model.safetensors', 'config.json', 'README.md'
    }  # fmt: skip
    card = (tmp_path / 'hub' / 'README.md').read_text()
    assert 'license: cc-by-4.0' in card and 'a, b' in card and 'EncoderDecoder' in card
    assert 'pip install "openseg_plugin[lite,hub]"' in card
    assert 'openseg predict hf://USER/hub image.jpg' in card and "load('hf://USER/hub')" in card
    read = read_checkpoint(tmp_path / 'hub')
    assert stored_config(read) == config
    assert read['state_dict'].keys() == build().state_dict().keys()
    assert json.loads((tmp_path / 'hub' / 'config.json').read_text())['id2label'] == {
        '0': 'a', '1': 'b'
    }  # fmt: skip
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'photo.jpg').write_text('mine')
    assert run(main, [words[0], str(tmp_path / 'full'), '--format', 'hub']) == 2
    assert 'photo.jpg' in capsys.readouterr().err


def test_json_says_what_the_file_is(file, capsys):
    target = file.with_name('ours.pth')
    assert run(main, [str(file), str(target), '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['file'] == str(target) and target.is_file()
    assert (told['method'], told['num_classes']) == ('ocr', CLASSES)
    assert told['config'] == 'ocr/hrnet48_iabn_cityscapes_80k.py'
