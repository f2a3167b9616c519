"""Test-time augmentation without the network: making the inputs, merging the scores."""

import os
import tempfile
from collections.abc import Iterator
from functools import partial

import cv2
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from benchmarks.core import Case, Setting, exactly
from benchmarks.inputs import segmentors, smooth
from openseg_plugin.inference.multi_scale_flip import ViewAccumulator
from openseg_plugin.layers.tiled_argmax import OutputGeometry

RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def cases(setting: Setting) -> Iterator[Case]:
    """Six scales and their flip images; four views merged."""
    init_default_scope('mmseg')
    with tempfile.TemporaryDirectory() as folder:
        yield from _inputs(setting, folder)
    yield _merge(setting)


def _inputs(setting: Setting, folder: str) -> Iterator[Case]:
    # files about as large as those of Cityscapes
    image = smooth((1, 3, *setting.size), cell=32, noise=0.1)[0] * 25 + 128
    image = image.clamp(0, 255).byte()
    label = smooth((1, setting.classes, *setting.size), cell=64, noise=0)[0].argmax(0).byte()
    paths = [os.path.join(folder, name) for name in ('image.png', 'label.png')]
    cv2.imwrite(paths[0], image.permute(1, 2, 0).numpy())
    cv2.imwrite(paths[1], label.numpy())
    stock = Compose(
        [
            dict(
                type='TestTimeAug',
                transforms=[
                    [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in RATIOS],
                    [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
                    [dict(type='LoadAnnotations')],
                    [dict(type='PackSegInputs')],
                ],
            )
        ]
    )
    ours = Compose(
        [
            dict(type='openseg_plugin.LoadLabels'),
            dict(type='openseg_plugin.MultiScaleViews', ratios=RATIOS),
            dict(type='openseg_plugin.PackMultiScaleInputs'),
        ]
    )
    load = Compose([dict(type='LoadImageFromFile')])
    files = dict(img_path=paths[0], seg_map_path=paths[1], reduce_zero_label=False)
    decoded = load(dict(files))

    def sample(from_file: bool) -> dict:
        return dict(load(dict(files)) if from_file else decoded, seg_fields=[])

    def our_views(from_file: bool) -> list[torch.Tensor]:
        packed = ours(sample(from_file))
        views = [v for image in packed['inputs'] for v in (image, image.flip(-1))]
        return [*views, packed['data_samples'][0].gt_sem_seg.data]

    def stock_views(from_file: bool) -> list[torch.Tensor]:
        packed = stock(sample(from_file))
        return [*packed['inputs'], packed['data_samples'][0].gt_sem_seg.data]

    # decoding the image takes both sides as long: with it and without
    for name, from_file, gate in (
        ('views inputs', True, 4.0),
        ('views inputs decoded', False, None),
    ):
        ways = [partial(views, from_file) for views in (stock_views, our_views)]
        yield Case(name, *ways, exactly, gate)


def _merge(setting: Setting) -> Case:
    segmentor, _ = segmentors(setting)
    stock = MODELS.build(dict(type='mmseg.SegTTAModel', module=segmentor))
    height, width = setting.size
    views = []
    for seed, ratio in enumerate((0.5, 1.0)):
        size = (int(height * ratio), int(width * ratio))
        for flip in (False, True):
            shape = (1, setting.classes, size[0] // 4, size[1] // 4)
            scores = smooth(shape, seed=seed).to(setting.device)
            views.append((scores.flip(3) * (1.1 if flip else 1.0), size, flip))

    def stock_way() -> torch.Tensor:
        predictions = []
        for scores, size, flip in views:
            meta = dict(ori_shape=setting.size, img_shape=size, flip=flip)
            meta.update(flip_direction='horizontal', img_path='')
            full = segmentor.decode_head.predict_by_feat(scores, [meta])
            predictions += segmentor.postprocess_result(full, [SegDataSample(metainfo=meta)])
        return stock.merge_preds([predictions])[0].pred_sem_seg.data[0]

    def our_way() -> torch.Tensor:
        merge = ViewAccumulator('softmax', align_corners=False)
        for scores, size, flip in views:
            direction = 'horizontal' if flip else None
            geometry = OutputGeometry(size, flip=direction, output_size=setting.size)
            merge.add([(scores, geometry)])
        return merge.labels()

    return Case('views merge', stock_way, our_way, exactly, 2.5)
