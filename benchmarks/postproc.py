"""From a head's logits at a quarter of the size to labels at the size of the image."""

from collections.abc import Iterator

from mmseg.structures import SegDataSample

from benchmarks.core import Case, Setting, exactly
from benchmarks.inputs import segmentors, smooth


def cases(setting: Setting) -> Iterator[Case]:
    """The image as the network saw it, and one that was half as large for the network."""
    stock, ours = segmentors(setting)
    height, width = setting.size
    for name, size in (('same size', setting.size), ('half size', (height // 2, width // 2))):
        logits = smooth((1, setting.classes, size[0] // 4, size[1] // 4)).to(setting.device)
        meta = dict(ori_shape=setting.size, img_shape=size, pad_shape=size)

        def stock_way(logits=logits, meta=meta):
            full = stock.decode_head.predict_by_feat(logits, [meta])
            samples = stock.postprocess_result(full, [SegDataSample(metainfo=meta)])
            return samples[0].pred_sem_seg.data

        def our_way(logits=logits, meta=meta, size=size):
            sample = SegDataSample(metainfo=meta)
            samples = ours.postprocess_result(logits, [sample], input_size=size)
            return samples[0].pred_sem_seg.data

        gate = 4.0 if size == setting.size else None
        yield Case(f'postproc {name}', stock_way, our_way, exactly, gate)
