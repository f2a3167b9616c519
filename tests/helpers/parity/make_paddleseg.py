"""Makes stored results of PaddleSeg's main repository: its classes, weights of the recipe.

    pip install paddlepaddle paddleseg
    PYTHONPATH=tests/helpers python -m parity.make_paddleseg tests/data/parity/paddleseg [NAME ...]

Needs neither torch nor this project. Every norm gets the recipe's mean and one variance for all of
its channels, so that the network's numbers keep their size; these are in ``meta``.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from parity import stored

SEED, NUM_CLASSES = 0, 19
# of an even and an odd image, for output stride 8 and 4
RESNET = ((1, 3, 64, 96), (1, 3, 53, 75))
HRNET = ((1, 3, 48, 64), (1, 3, 45, 53))
SOURCE = 'paddleseg 2.8.0'

Outputs = dict[str, np.ndarray]


def networks() -> dict[str, tuple[Callable[[], Any], Callable[[Any, Any], Outputs]]]:
    """Name -> (makes the network, runs it on an image)."""
    from paddleseg import models
    from paddleseg.models import backbones

    def on_resnet(kind: str, **options: Any) -> Callable[[], Any]:
        grid = {'multi_grid': (1, 2, 4)} if kind == 'DeepLabV3' else {}
        return lambda: getattr(models, kind)(
            num_classes=NUM_CLASSES,
            backbone=backbones.ResNet50_vd(output_stride=8, **grid),
            **options,
        )

    def on_hrnet(kind: str, backbone: str, **options: Any) -> Callable[[], Any]:
        kinds = {key: options.pop(key) for key in ('use_psa', 'padding_same') if key in options}
        return lambda: getattr(models, kind)(
            num_classes=NUM_CLASSES, backbone=getattr(backbones, backbone)(**kinds), **options
        )

    both = dict(backbone_indices=(2, 3))
    aspp = dict(backbone_indices=(3,), aspp_ratios=(1, 12, 24, 36), aspp_out_channels=256)
    first = dict(backbone_indices=[0])
    return {
        'pspnet_resnet50_vd': (on_resnet('PSPNet'), single_scale),
        'deeplabv3_resnet50_vd': (on_resnet('DeepLabV3', **aspp), single_scale),
        'danet_resnet50_vd': (on_resnet('DANet', **both), single_scale),
        'ccnet_resnet50_vd': (on_resnet('CCNet', recurrence=2), single_scale),
        'ocrnet_resnet50_vd': (on_resnet('OCRNet', **both), single_scale),
        'fcn_hrnet_w18': (on_hrnet('FCN', 'HRNet_W18'), single_scale),
        'ocrnet_hrnet_w18_small_v1': (
            on_hrnet('OCRNet', 'HRNet_W18_Small_V1', **first),
            single_scale,
        ),
        'mscale_ocrnet_hrnet_w18_small_v2': (
            on_hrnet('MscaleOCRNet', 'HRNet_W18_Small_V2', padding_same=False),
            multi_scale,
        ),
        'mscale_ocrnet_hrnet_w48_psa': (
            on_hrnet('MscaleOCRNet', 'HRNet_W48', padding_same=False, use_psa=True),
            multi_scale,
        ),
    }


def single_scale(network: Any, image: Any) -> Outputs:
    """Logits at the size of the head and of the image; auxiliary logits where there are any."""
    seen: dict[str, Any] = {}
    classifiers = {
        'logits': ('head.cls', 'head.cls_head', 'head.cls_head.1', 'head.conv', 'head.out.conv'),
        'aux': ('head.auxlayer.conv', 'head.aux_head.1', 'aux_head.conv'),
    }
    layers = dict(network.named_sublayers())
    handles = []
    for what, names in classifiers.items():
        for name in names:
            if name in layers and type(layers[name]).__name__ == 'Conv2D':
                handles.append(
                    layers[name].register_forward_post_hook(
                        lambda _, __, out, what=what: seen.update({what: out})
                    )
                )
    whole = network(image)[0]
    if 'aux' not in seen:  # CCNet and DANet leave it out when they predict
        feats = network.backbone(image)
        if hasattr(network, 'aux_head'):
            seen['aux'] = network.aux_head(feats[2])
        elif hasattr(network.head, 'aux_head'):
            seen['aux'] = network.head.aux_head(feats[-1])
    for handle in handles:
        handle.remove()
    found = {name: out.numpy() for name, out in seen.items()}
    return {**found, 'logits_up_ch18': whole.numpy()[:, ::18]}


def multi_scale(network: Any, image: Any) -> Outputs:
    """One pass at head size, three scales fused, and the two passes of training."""
    logits, _, features = network.ocr(network.backbone(image))
    names = ('joint_aux', 'joint_pred', 'lo_pred_up', 'hi_pred')
    network.training = True  # of this layer alone: the norms below keep their statistics
    trained = dict(zip(names, network.two_scale_forward(image), strict=True))
    network.training = False
    found = {
        'ss_cls_s4': logits,
        'ss_attn_s4': network.scale_attn(features),
        'pred_3scale_ch18': network.nscale_forward(image, [0.5, 1.0, 2.0])[0][:, ::18],
        'train_joint_pred_ch18': trained['joint_pred'][:, ::18],
    }
    return {name: value.numpy() for name, value in found.items()}


def fill(network: Any) -> tuple[list, dict[str, float]]:
    """Gives the network the recipe's weights; (its keys, the variance of every norm)."""
    import paddle

    entries = network.state_dict()
    keys = [(name, list(value.shape), 'float32') for name, value in entries.items()]
    # float64, but for what the class itself makes float32
    network.set_state_dict(
        {
            name: paddle.to_tensor(stored.weight(name, shape, seed=SEED)).astype(
                entries[name].dtype
            )
            for name, shape, _ in keys
        }
    )
    for name, value in network.state_dict().items():
        if name.endswith('._variance'):
            value.set_value(paddle.ones_like(value))
    variances: dict[str, float] = {}

    def measure(name: str) -> Callable[[Any, Any], None]:
        def before(norm: Any, inputs: Any) -> None:
            spread = float(((inputs[0] - norm._mean.reshape([1, -1, 1, 1])) ** 2).mean())
            spread = float(np.float32(max(spread, 1e-3)))
            norm._variance.set_value(paddle.full_like(norm._variance, spread))
            variances[f'{name}._variance'] = spread

        return before

    handles = [
        layer.register_forward_pre_hook(measure(name))
        for name, layer in network.named_sublayers()
        if hasattr(layer, '_variance')
    ]
    image = paddle.to_tensor(stored.image((1, 3, 97, 129), SEED).astype('float64'))
    network.training = True  # of the network alone: so that nothing is left out
    network(image)
    for handle in handles:
        handle.remove()
    network.eval()
    left = [k for k, _, _ in keys if k.endswith('._variance') and k not in variances]
    for name in left:
        variances[name] = 1.0
    return keys, variances


def make(name: str, folder: Path) -> None:
    """Writes the stored result of one network."""
    import paddle

    paddle.set_default_dtype('float64')
    build, run = networks()[name]
    network = build()
    network.eval()
    with paddle.no_grad():
        keys, variances = fill(network)
        outputs: Outputs = {}
        shapes = RESNET if 'resnet' in name else HRNET
        for prefix, shape in zip(('', 'odd'), shapes, strict=True):
            image = paddle.to_tensor(stored.image(shape, 1).astype('float64'))
            for what, value in run(network, image).items():
                if named := _named(what, prefix):
                    outputs[named] = value.astype('float32')
    meta = {
        'name': name,
        'source_repo': 'PaddlePaddle/PaddleSeg',
        'source': f'{SOURCE} on paddlepaddle {paddle.__version__}, {type(network).__name__}',
        'precision': 'computed in float64',
        'seed': SEED,
        'eval_input_shape': shapes[0],
        'eval_input_seed': 1,
        'odd_input_shape': shapes[1],
        'odd_input_seed': 1,
        'num_classes': NUM_CLASSES,
        'variances': variances,
        'outputs': {what: 'pred of scales 0.5,1.0,2.0' for what in outputs if 'scale' in what},
    }
    arrays = {f'out/{what}': value for what, value in outputs.items()}
    texts = {'meta': np.array(json.dumps(meta)), 'keys': np.array(json.dumps(keys))}
    np.savez_compressed(folder / f'{name}.npz', **texts, **arrays)
    print(name, {what: float(abs(value).max()) for what, value in outputs.items()})


def _named(what: str, prefix: str) -> str:
    """How an output is called; empty: it is not kept.

    'odd' goes before a name of one scale, and behind 'pred_3scale'.
    """
    if not prefix:
        return '' if what.startswith('logits_up') else what
    if what.startswith(('ss_', 'train_')):
        return ''
    return what.replace('_ch', '_odd_ch') if what.startswith('pred_') else f'odd_{what}'


def main(argv: Sequence[str]) -> None:
    folder, *wanted = argv
    for name in wanted or networks():
        make(name, Path(folder))


if __name__ == '__main__':
    main(sys.argv[1:])
