"""OCR with ground-truth regions on ResNet-101: an upper bound, for analysis only.

Give it weights of ``ideal_*`` networks or of plain OCR; the form is chosen by
``model.decode_head.gather``, ``distribute`` and ``contexts``. Weights in BatchNorm layout.
"""

_base_ = [
    '../_base_/preprocessors/openseg_bgr_r101.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/models/ocr_oracle_r101.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
tta_model = dict(merge='logits')  # openseg sums raw logits
