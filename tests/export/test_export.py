"""Exported files give the labels of the model at every size, say what they are, or are refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from PIL import Image
from toy_segmentor import image, segmentor_config
from toy_segmentor import toy_segmentor as stand_in_segmentor

from openseg_plugin.errors import CheckpointError, ConfigError, DependencyError
from openseg_plugin.export import check, metadata, quantization, recording, session, targets
from openseg_plugin.export.graph import GraphOptions, InferenceGraph
from openseg_plugin.export.session import ExportedModel
from openseg_plugin.registry import MODELS

pytest.importorskip('onnxruntime', reason='the extra [export] is not installed')
SIZES = [(83, 107), (64, 96), (97, 33), (130, 201), (250, 171)]
CLASSES = tuple('abcde')
PALETTE = tuple((20 * i, 10 * i, 200 - i) for i in range(5))


def toy_segmentor(**options) -> torch.nn.Module:
    init_default_scope('mmseg')
    torch.manual_seed(7)
    settings = segmentor_config(**options)
    settings['backbone'] = dict(type='openseg_plugin.TwoConvs')
    return MODELS.build(ConfigDict(settings)).eval()


def export(model, path: Path, options: GraphOptions) -> ExportedModel:
    graph = InferenceGraph(model, options).eval()
    made = metadata.metadata_of(
        graph, classes=CLASSES, palette=PALETTE, config={'a': [1]}, checkpoint=None
    )
    targets.write(graph, path, made)
    return ExportedModel(path)


@pytest.fixture(scope='module')
def model():
    preprocessor = dict(bgr_to_rgb=True, test_cfg=dict(size_divisor=8))
    return toy_segmentor(preprocessor=preprocessor, align_corners=True)


@pytest.fixture(scope='module')
def onnx_file(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('onnx') / 'toy.onnx'
    export(model, path, GraphOptions())
    return path


@pytest.mark.parametrize('ending', ['.onnx', '.pt2', '.xml'])
def test_labels_are_those_of_the_model_at_other_sizes(model, tmp_path, ending):
    if ending == '.xml':
        pytest.importorskip('openvino', reason='the extra [openvino] is not installed')
    exported = export(model, tmp_path / f'toy{ending}', GraphOptions())
    result = check.compare(exported, model, [image(*size) for size in SIZES])
    assert result.pixels == sum(h * w for h, w in SIZES)
    assert result.differing <= 2 and result.largest_margin < 1e-3
    assert len({int(x) for x in exported.labels(image(*SIZES[0])).ravel()}) > 1


@pytest.mark.parametrize('ending', ['.onnx', '.xml'])
def test_backbones_that_divide_a_negative_side_give_their_labels_at_odd_sizes(tmp_path, ending):
    if ending == '.xml':
        pytest.importorskip('openvino', reason='the extra [openvino] is not installed')
    divides = stand_in_segmentor()  # -(-side // stride)
    exported = export(divides, tmp_path / f'toy{ending}', GraphOptions())
    images = [image(*size) for size in SIZES]
    for _ in range(2):  # the second in the form for this one size, where the runtime has one
        for pixels in images:
            assert check.compare(exported, divides, [pixels, pixels]).differing <= 2


class PaddedByCeilings(torch.nn.Module):
    """As backbones pad: up to multiples of 4, written in the two ways of Python."""

    def forward(self, images):
        height, width = images.shape[1:3]
        rows, columns = -(-height // 4) * 4 - height, -(width // -4) * 4 - width
        return torch.nn.functional.pad(images, (0, 0, 0, columns, 0, rows))


@pytest.mark.parametrize('size', [(13, 17), (16, 20), (7, 9)])
def test_sizes_are_rounded_up_as_in_python(size):
    from onnxruntime import InferenceSession

    dims = {1: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO}
    example = torch.zeros(1, 24, 28, 3)
    program = torch.export.export(PaddedByCeilings(), (example,), dynamic_shapes=(dims,))
    options = GraphOptions(layout='uint8-nhwc', output='labels')
    content = targets._onnx_model(program, options, opset=targets.OPSET).SerializeToString()
    session = InferenceSession(content, providers=['CPUExecutionProvider'])
    (found,) = session.run(None, {'images': np.zeros((1, *size, 3), np.float32)})
    assert found.shape[1:3] == tuple(-(-side // 4) * 4 for side in size)


@pytest.mark.parametrize('output', ['labels', 'labels+confidence'])
def test_litert_files_of_one_size_give_the_labels_of_the_model(model, tmp_path, output):
    pytest.importorskip('litert_torch', reason='the extra [litert] is not installed')
    path = tmp_path / 'toy.tflite'
    exported = export(model, path, GraphOptions(size=(83, 107), output=output))
    assert exported.metadata.classes == CLASSES
    assert check.compare(exported, model, [image(83, 107)]).differing <= 2
    for _ in range(2):  # metadata are replaced, not added to
        targets.set_metadata(path, replace(exported.metadata, check={'images': 1}))
        size = path.stat().st_size
    targets.set_metadata(path, replace(exported.metadata, check={'images': 2}))
    assert path.stat().st_size == size
    assert ExportedModel(path).metadata.check == {'images': 2}
    assert check.compare(ExportedModel(path), model, [image(83, 107)]).differing <= 2
    script = targets.write_runner(path)
    Image.fromarray(image(83, 107)).save(tmp_path / 'x.png')
    arguments = [str(script), str(tmp_path / 'x.png'), '--out', str(tmp_path / 'out')]
    assert subprocess.run([sys.executable, *arguments]).returncode == 0
    with Image.open(tmp_path / 'out' / 'x.png') as labels:
        assert (np.asarray(labels) != check.reference(model, image(83, 107))[0]).sum() <= 2
    with pytest.raises(ConfigError, match='give --size H W'):
        export(model, path, GraphOptions())


@pytest.mark.parametrize(
    ('package', 'name', 'extra'),
    [
        ('litert_torch', 'a.tflite', 'litert'),
        ('onnxscript', 'a.onnx', 'export'),
        ('openvino', 'a.xml', 'openvino'),
    ],
)
def test_missing_packages_are_named_with_their_extra(monkeypatch, package, name, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf'{package} is needed .*openseg_plugin\[{extra}\]'):
        targets.check_target(Path(name), 'fp32', calibrate=None)


def test_litert_file_that_was_cut_short_is_said_to_be(tmp_path):
    (tmp_path / 'a.tflite').write_bytes(b'\x1c\0\0\0TFL3' + bytes(100))
    with pytest.raises(CheckpointError, match='cut short, or not exported by this package'):
        ExportedModel(tmp_path / 'a.tflite')


@pytest.mark.parametrize(
    'options',
    [
        GraphOptions(layout='uint8-nchw', channels='bgr', output='logits'),
        GraphOptions(layout='float-nchw', output='probabilities', batch=3),
        GraphOptions(output='labels+confidence', size=(83, 107)),
    ],
    ids=['nchw-bgr-logits', 'float-probabilities-3', 'confidence-fixed'],
)
def test_every_form_of_input_and_output_gives_the_same_labels(model, tmp_path, options):
    exported = export(model, tmp_path / 'toy.onnx', options)
    assert check.compare(exported, model, [image(83, 107)]).differing <= 2


@pytest.mark.parametrize('output', ['logits', 'labels'])
def test_flip_and_scales_in_the_graph_are_the_mean_of_the_views(model, tmp_path, output):
    pixels = image(83, 107)
    options = GraphOptions(scales=(0.5, 1.0), flip=True, output=output)
    exported = export(model, tmp_path / 'toy.onnx', options)
    result = check.compare(exported, model, [pixels, image(97, 161)])
    assert result.differing <= 2 and result.largest_margin < check.UNDECIDED
    if output == 'logits':  # whose probabilities are the mean
        mean = exported.probabilities_of(exported.run(pixels)[0])
        assert mean.sum(axis=0) == pytest.approx(np.ones((83, 107)), abs=1e-4)
        assert result.largest_error < 1e-4
        assert not np.allclose(mean, check.reference(model, pixels)[1], atol=1e-3)


def test_classes_that_name_a_side_change_places_in_flipped_views(model):
    pairs = [(1, 2)]
    pixels = image(40, 56)
    graph = InferenceGraph(
        model, GraphOptions(flip=True, output='probabilities'), flip_pairs=pairs
    ).eval()
    with torch.no_grad():
        (found,) = graph(torch.from_numpy(pixels[None].copy())).numpy()
    one = check.reference(model, pixels)[1]
    other = check.reference(model, np.ascontiguousarray(pixels[:, ::-1]))[1][:, :, ::-1]
    expected = (one + other[[0, 2, 1, 3, 4]]) / 2
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.allclose(found, (one + other) / 2, atol=1e-3)
    kept = check.reference(model, pixels, flip=True, flip_pairs=pairs)[1]
    np.testing.assert_allclose(kept, expected, atol=1e-5)


@pytest.mark.parametrize('wrong', ['mean', 'order'])
def test_wrong_preprocessing_is_caught(model, tmp_path, wrong):
    graph = InferenceGraph(model, GraphOptions()).eval()
    made = metadata.metadata_of(graph, classes=CLASSES, palette=PALETTE, config={}, checkpoint=None)
    if wrong == 'mean':
        graph.mean += 40
    else:
        graph.preprocessing = replace(graph.preprocessing, order='bgr')
    targets.write(graph, tmp_path / 'toy.onnx', made)
    result = check.compare(ExportedModel(tmp_path / 'toy.onnx'), model, [image(83, 107)])
    with pytest.raises(check.ExportDiffersError, match='labels'):
        check.require_equal(result)


def test_openvino_compiles_for_the_first_size_and_for_one_that_comes_again(
    model, tmp_path, monkeypatch
):
    pytest.importorskip('openvino')
    shapes = []
    init = session._OpenVino.__init__

    def noting(self, read, compiled):
        def noted(one):
            shapes.append(str(one.inputs[0].partial_shape))
            return compiled(one)

        init(self, read, noted)

    monkeypatch.setattr(session._OpenVino, '__init__', noting)
    options = GraphOptions(output='logits')
    exported = export(model, tmp_path / 'toy.xml', options)
    expected = export(model, tmp_path / 'toy.onnx', options)
    for size in ((36, 48), (36, 48), (36, 48), (50, 61), (36, 48), (50, 61), (50, 61), (36, 48)):
        found = exported.run(image(*size))[0]
        np.testing.assert_allclose(found, expected.run(image(*size))[0], atol=1e-4)
    assert shapes == ['[1,36,48,3]', '[1,?,?,3]', '[1,50,61,3]']
    del shapes[:]
    fixed = export(model, tmp_path / 'c.xml', GraphOptions(size=(36, 48)))
    assert len({fixed.run(image(36, 48))[0].tobytes() for _ in range(3)}) == 1
    assert shapes == ['[1,36,48,3]']


@pytest.mark.parametrize('output', ['logits', 'probabilities', 'labels+confidence'])
def test_wrong_scores_are_caught_where_labels_are_right(model, tmp_path, monkeypatch, output):
    options = GraphOptions(size=(36, 48), output=output)
    right = check.compare(export(model, tmp_path / 'a.pt2', options), model, [image(36, 48)])
    check.require_equal(right)
    assert right.largest_error < 1e-5
    if output != 'probabilities':
        logits = InferenceGraph.logits
        monkeypatch.setattr(InferenceGraph, 'logits', lambda *one: logits(*one) / 20)
    else:
        monkeypatch.setattr(
            InferenceGraph, '_probabilities', lambda _, logits: (logits / 20).softmax(dim=1)
        )
    wrong = check.compare(export(model, tmp_path / 'b.pt2', options), model, [image(36, 48)])
    assert wrong.differing <= 2 and wrong.largest_error > check.LARGEST_ERROR
    assert not wrong.is_right() and wrong.is_right('int8')
    with pytest.raises(check.ExportDiffersError, match=r'scores may differ by at most 0\.001'):
        check.require_equal(wrong)
    for precision in ('fp32', 'int8'):
        assert not replace(right, largest_error=float('inf')).is_right(precision)


def test_confidence_of_a_binary_model_is_that_of_its_labels(tmp_path):
    model = toy_segmentor(num_classes=2, out_channels=1)
    model.decode_head.threshold = 0.4
    options = GraphOptions(size=(36, 48), output='labels+confidence')
    result = check.compare(export(model, tmp_path / 'a.pt2', options), model, [image(36, 48)])
    assert result.is_right() and result.largest_error < 1e-5


def test_mean_iou_of_one_class_counts_what_is_below_the_threshold(tmp_path):
    model = toy_segmentor(num_classes=1, out_channels=1)
    pixels = image(36, 48)
    expected, probabilities = check.reference(model, pixels)
    model.decode_head.threshold = float(np.median(probabilities))
    graph = InferenceGraph(model, GraphOptions(size=(36, 48)))
    made = metadata.metadata_of(
        graph, classes=['a'], palette=[(1, 2, 3)], config={}, checkpoint=None
    )
    targets.write(graph.eval(), tmp_path / 'a.pt2', made)
    expected, _ = check.reference(model, pixels)
    assert 0.3 < expected.mean() < 0.7
    labels = expected.astype(np.uint8)
    labels[0] = 255
    result = check.compare(ExportedModel(tmp_path / 'a.pt2'), model, [pixels], [labels])
    assert result.miou_model == 100 and result.miou_file == pytest.approx(100, abs=0.2)


def test_margin_of_one_channel_is_measured_from_its_threshold():
    scores = np.array([[[0.69, 0.5]]])
    margins = check._margins(scores, threshold=0.7)
    np.testing.assert_allclose(margins, [[0.02, 0.4]])


def test_binary_models_use_their_threshold(tmp_path):
    model = toy_segmentor(num_classes=2, out_channels=1)
    model.decode_head.threshold = 0.7
    exported = export(model, tmp_path / 'toy.onnx', GraphOptions())
    assert exported.metadata.threshold == pytest.approx(0.7)
    assert check.compare(exported, model, [image(83, 107)]).differing <= 2


def test_file_says_what_it_is(onnx_file):
    about = ExportedModel(onnx_file).metadata
    assert (about.classes, about.palette, about.divisor) == (CLASSES, PALETTE, 8)
    assert (about.order, about.config) == ('rgb', {'a': [1]})
    onnx = pytest.importorskip('onnx')
    dims = onnx.load(onnx_file).graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == [1, 'height', 'width', 3]


def test_file_says_what_wrote_it(onnx_file, model, tmp_path):
    about = ExportedModel(onnx_file).metadata
    assert about.opset == targets.OPSET
    assert about.versions['torch'] == torch.__version__ and 'onnx' in about.versions
    about = export(model, tmp_path / 'a.pt2', GraphOptions(size=(36, 48))).metadata
    assert about.opset is None and set(about.versions) == {'torch'}


def test_scales_that_the_network_fuses_are_stated_and_not_averaged_again(tmp_path):
    model = toy_segmentor()
    model.scales = (2.0, 1.0, 0.5)  # as HierarchicalMultiScaleSegmentor has them
    exported = export(model, tmp_path / 'a.pt2', GraphOptions(size=(36, 48)))
    assert exported.metadata.scales == (0.5, 1.0, 2.0)
    assert check.compare(exported, model, [image(36, 48)]).differing <= 2


@pytest.mark.parametrize('opset', [3, 99])
def test_opset_that_cannot_be_is_refused_before_a_model_is_read(opset):
    with pytest.raises(ConfigError, match=f'--opset {opset}: give a number from 7 to'):
        targets.check_target(Path('a.onnx'), 'fp32', calibrate=None, opset=opset)


def test_opset_that_torch_does_not_reach_is_refused(model, tmp_path, caplog):
    graph = InferenceGraph(model, GraphOptions(size=(36, 48))).eval()
    made = metadata.metadata_of(graph, classes=CLASSES, palette=PALETTE, config={}, checkpoint=None)
    with pytest.raises(ConfigError, match=r'--opset 9: .* give --opset 18, or leave it out'):
        targets.write(graph, tmp_path / 'a.onnx', made, opset=9)
    assert not (tmp_path / 'a.onnx').exists() and 'Traceback' not in caplog.text


def test_padding_to_one_size_is_exported_for_that_size(tmp_path):
    model = toy_segmentor(preprocessor=dict(test_cfg=dict(size=(36, 48))))
    exported = export(model, tmp_path / 'a.pt2', GraphOptions(size=(36, 48)))
    assert check.compare(exported, model, [image(36, 48)]).differing <= 2
    for size in (None, (48, 36)):
        with pytest.raises(ConfigError, match=r'size=\(36, 48\) .*: give --size 36 48, or set'):
            InferenceGraph(model, GraphOptions(size=size))


def test_advice_about_sizes_is_about_what_was_not_given(model, monkeypatch):
    with pytest.raises(
        ConfigError, match=r'--scales 0\.01 leaves less than one pixel of --size 36'
    ):
        GraphOptions(size=(36, 48), scales=(0.01, 1.0))

    def fails(*_):
        raise RuntimeError('too small')

    monkeypatch.setattr(recording, 'record_network', fails)
    for scales, advice in (((1.0,), 'size$'), ((0.5,), 'size, or larger --scales$')):
        graph = InferenceGraph(model, GraphOptions(size=(36, 48), scales=scales))
        with pytest.raises(
            ConfigError, match=f'at --size 36 48: too small; give a larger {advice}'
        ):
            recording.record(graph, 3)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'palette': None}, 'lack palette: export the file again'),
        ({'palette': None, 'output': None}, 'lack palette, output'),
        ({'format': 2}, r'have format 2, .* reads up to 1: upgrade it'),
        ({'format': 'x'}, 'have format x'),
    ],
)
def test_metadata_that_cannot_be_used_are_said_to_be(onnx_file, changes, text):
    values = json.loads(ExportedModel(onnx_file).metadata.as_json()) | changes
    values = {key: value for key, value in values.items() if value is not None}
    with pytest.raises(CheckpointError, match=rf'a\.onnx: its metadata .* {text}'):
        metadata.parse(json.dumps(values), path=Path('a.onnx'))


@pytest.mark.parametrize('ending', ['.onnx', '.pt2'])
def test_images_below_the_smallest_recorded_side_are_refused(model, tmp_path, ending):
    exported = export(model, tmp_path / f'toy{ending}', GraphOptions())
    smallest = exported.metadata.smallest
    assert 1 < smallest <= 65
    assert exported.labels(image(smallest, smallest)).shape == (smallest, smallest)
    with pytest.raises(ConfigError, match=f'at least {smallest}x{smallest} pixels, got'):
        exported.run(image(smallest + 9, smallest - 1))


def test_attention_within_windows_is_refused_for_any_size(model):
    class WindowAttention(torch.nn.Module):
        pass

    graph = InferenceGraph(model, GraphOptions())
    graph.model.attention = WindowAttention()
    try:
        with pytest.raises(ConfigError, match=r'WindowAttention .*give --size H W'):
            recording.record(graph, 3)
    finally:
        del graph.model.attention


def test_foreign_and_damaged_files_are_named(onnx_file, tmp_path):
    onnx = pytest.importorskip('onnx')
    bare = onnx.load(onnx_file)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / 'bare.onnx')
    with pytest.raises(CheckpointError, match=r'bare\.onnx was not exported by this package'):
        ExportedModel(tmp_path / 'bare.onnx')
    (tmp_path / 'cut.onnx').write_bytes(onnx_file.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r'cut\.onnx cannot be opened'):
        ExportedModel(tmp_path / 'cut.onnx')


@pytest.mark.parametrize(
    ('name', 'precision', 'text'),
    [
        ('a.tar', 'fp32', r'a\.tar'),
        ('a.onnx', 'fp8', 'fp8'),
        ('a.onnx', 'int8', '--calibrate'),
        ('a.engine', 'int8', r'int8 is not supported for \.engine: choose fp32 or fp16, or for'),
        ('a.tflite', 'int8', r'choose fp32, or for int8 a file ending in \.onnx or \.xml$'),
    ],
)
def test_targets_that_do_not_exist_are_refused(name, precision, text):
    with pytest.raises(ConfigError, match=text):
        targets.check_target(Path(name), precision, calibrate=None)


def test_int8_files_are_smaller_and_nearly_right(model, onnx_file, tmp_path):
    path = tmp_path / 'small.onnx'
    path.write_bytes(onnx_file.read_bytes())
    about = ExportedModel(onnx_file).metadata
    quantization.quantize(path, [image(83, 107), image(97, 161)], about)
    exported = ExportedModel(path)
    assert exported.metadata.classes == CLASSES
    assert check.compare(exported, model, [image(83, 107)]).fraction < 0.2


def test_int8_files_have_the_ranges_that_onnx_runtime_would_measure(
    onnx_file, tmp_path, monkeypatch
):
    about, images = ExportedModel(onnx_file).metadata, [image(83, 107), image(97, 161)]
    ours, theirs = tmp_path / 'ours.onnx', tmp_path / 'theirs.onnx'
    quantization.quantize(onnx_file, images, about, target=ours)
    monkeypatch.setattr(quantization, '_measured_ranges', lambda *_: {})  # as for older versions
    quantization.quantize(onnx_file, images, about, target=theirs)
    assert ours.read_bytes() == theirs.read_bytes()


def test_first_layer_is_left_out_where_its_weights_are_what_rounding_harms(tmp_path):
    model = toy_segmentor(preprocessor=dict(bgr_to_rgb=True))
    with torch.no_grad():
        model.backbone.fine.weight[:, 2] = 2000.0  # of blue, which is the mean: it does nothing
    pixels = image(83, 107)
    pixels[:, :, 2] = 100
    exact, small = tmp_path / 'toy.onnx', tmp_path / 'small.onnx'
    about = export(model, exact, GraphOptions(size=(83, 107))).metadata
    quantization.quantize(exact, [pixels], about, target=small)
    before = check.compare(ExportedModel(small), model, [pixels])
    ranked = quantization.ranked_layers(exact, small, [pixels], about)
    onnx = pytest.importorskip('onnx')
    layers = [one.name for one in onnx.load(exact).graph.node if one.op_type == 'Conv']
    assert ranked[0] == layers[0] and sorted(ranked) == sorted(layers)
    quantization.quantize(exact, [pixels], about, target=small, left_out=ranked[:1])
    with pytest.raises(ConfigError, match=f'--leave-out x{ranked[0]}: .* did you mean {ranked[0]}'):
        quantization.quantize(exact, [pixels], about, target=small, left_out=[f'x{ranked[0]}'])
    after = check.compare(ExportedModel(small), model, [pixels])
    assert after.fraction < 0.1 < before.fraction
    # what is left out already has no place in the order
    assert quantization.ranked_layers(exact, small, [pixels], about)[0] in layers[1:]


def test_nncf_leaves_layers_out_until_labels_are_right(model, tmp_path):
    pytest.importorskip('nncf', reason='nncf is not installed')
    about = export(model, tmp_path / 'toy.xml', GraphOptions(size=(83, 107))).metadata
    images = [image(83, 107), np.ascontiguousarray(image(83, 107)[::-1])]
    small, differing = tmp_path / 'small.xml', []
    for most in (None, 1e-4):
        quantization.quantize(
            tmp_path / 'toy.xml',
            images,
            replace(about, precision='int8'),
            target=small,
            most_differing=most,
        )
        exported = ExportedModel(small)
        assert exported.metadata.precision == 'int8'
        differing.append(check.compare(exported, model, images).differing)
    assert differing[1] <= 2 < differing[0]


def test_runner_needs_nothing_of_ours_and_gives_the_same_labels(model, onnx_file, tmp_path):
    folder = tmp_path / 'model'
    folder.mkdir()
    (folder / 'toy.onnx').write_bytes(onnx_file.read_bytes())
    script = targets.write_runner(folder / 'toy.onnx')
    assert len(script.read_text().splitlines()) < 250
    (tmp_path / 'in' / 'sub').mkdir(parents=True)
    pixels = image(83, 107)
    Image.fromarray(pixels).save(tmp_path / 'in' / 'sub' / 'x.png')
    (tmp_path / 'in' / 'broken.png').write_bytes(b'no image')
    code = (
        'import sys, runpy\n'
        'for name in ("torch", "mmseg", "mmengine", "openseg_plugin"): sys.modules[name] = None\n'
        'sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")'
    )
    arguments = [str(script), str(tmp_path / 'in'), '--out', str(tmp_path / 'out'), '--overlay']
    done = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and 'broken.png' in done.stderr, done.stderr
    with Image.open(tmp_path / 'out/sub/x.png') as labels:
        assert labels.mode == 'P'
        expected = check.reference(model, pixels)[0]
        assert (np.asarray(labels) != expected).sum() <= 2
    assert (tmp_path / 'out/sub/x_overlay.jpg').is_file()


def test_model_api_of_openvino_reads_the_file_and_cuts_tiles(model, tmp_path):
    pytest.importorskip('model_api', reason='openvino-model-api is not installed')
    from model_api.models import Model
    from model_api.tilers.semantic_segmentation import SemanticSegmentationTiler

    path = tmp_path / 'toy.xml'
    exported = export(model, path, GraphOptions(size=(83, 107), output='probabilities'))
    read = Model.create_model(str(path))
    assert list(read.params.labels) == list(CLASSES)
    found = read(image(83, 107)).resultImage  # it takes bfloat16 where the processor has it
    assert (found == exported.labels(image(83, 107))).mean() > 0.99
    tiler = SemanticSegmentationTiler(
        read,
        {'tile_size': 83, 'tiles_overlap': 0.2, 'tile_with_full_img': False},
        execution_mode='sync',
    )
    assert tiler(image(150, 190)).resultImage.shape == (150, 190)


def test_metadata_are_json(onnx_file):
    onnx = pytest.importorskip('onnx')
    props = {one.key: one.value for one in onnx.load(onnx_file).metadata_props}
    assert json.loads(props['openseg_plugin'])['classes'] == list(CLASSES)
    assert props['model_info labels'] == 'a b c d e'


def triton_schema():
    """The message ModelConfig of Triton's published model_config.proto, as far as it is used."""
    protobuf = pytest.importorskip('google.protobuf')
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    assert protobuf.__version__
    file = descriptor_pb2.FileDescriptorProto(name='t.proto', package='t', syntax='proto3')
    kinds = file.enum_type.add(name='DataType')
    for name, number in (('TYPE_INVALID', 0), ('TYPE_UINT8', 2), ('TYPE_INT32', 8)):
        kinds.value.add(name=name, number=number)
    kinds.value.add(name='TYPE_FP32', number=11)
    string, integer, message, enum = 9, 3, 11, 14
    messages = {
        'ModelInput': [('name', 1, string), ('data_type', 2, enum), ('dims', 4, integer)],
        'ModelOutput': [('name', 1, string), ('data_type', 2, enum), ('dims', 3, integer)],
        'ModelDynamicBatching': [('max_queue_delay_microseconds', 2, integer)],
        'ModelConfig': [
            *(('name', 1, string), ('max_batch_size', 4, integer), ('input', 5, message)),
            *(('output', 6, message), ('default_model_filename', 8, string)),
            *(('dynamic_batching', 11, message), ('backend', 17, string)),
        ],
    }
    of = {'input': 'ModelInput', 'output': 'ModelOutput'}
    for name, fields in messages.items():
        made = file.message_type.add(name=name)
        for field, number, kind in fields:
            is_repeated = field in ('input', 'output', 'dims')
            one = made.field.add(
                name=field, number=number, type=kind, label=3 if is_repeated else 1
            )
            if kind == enum:
                one.type_name = '.t.DataType'
            if kind == message:
                one.type_name = f'.t.{of.get(field, "ModelDynamicBatching")}'
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('t.ModelConfig'))()


@pytest.mark.parametrize('batch', [1, None])
def test_model_repository_states_the_shapes_and_types_of_the_file(model, tmp_path, batch):
    import onnxruntime
    from google.protobuf import text_format

    options = GraphOptions(batch=batch, output='labels+confidence')
    about = export(model, tmp_path / 'my street.onnx', options).metadata
    folder = targets.write_triton(tmp_path / 'my street.onnx', tmp_path / 'models', about)
    assert folder.name == 'my_street'
    config = text_format.Parse((folder / 'config.pbtxt').read_text(), triton_schema())
    assert (config.name, config.backend) == ('my_street', 'onnxruntime')
    assert config.max_batch_size == (8 if batch is None else 0)
    session = onnxruntime.InferenceSession(folder / '1' / config.default_model_filename)
    kinds = {'tensor(uint8)': 2, 'tensor(float)': 11}
    for stated, real in (
        (config.input, session.get_inputs()),
        (config.output, session.get_outputs()),
    ):
        assert [one.name for one in stated] == [one.name for one in real]
        assert [one.data_type for one in stated] == [kinds[one.type] for one in real]
        for one, other in zip(stated, real):
            shape = [side if isinstance(side, int) else -1 for side in other.shape]
            assert list(one.dims) == (shape[1:] if batch is None else shape)
