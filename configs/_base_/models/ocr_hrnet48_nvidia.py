"""OCR on HRNet-W48 as in NVIDIA/semantic-segmentation: align_corners False, RMI on the logits."""

_base_ = './ocr_hrnet48_hrnetocr.py'
model = dict(
    backbone=dict(align_corners=False),
    decode_head=dict(
        align_corners=False,
        loss_decode=dict(_delete_=True, type='openseg_plugin.RMILoss'),
        # cross entropy per class alone
        loss_region=dict(
            _delete_=True,
            type='openseg_plugin.RMILoss',
            base_weight=1.0,
            rmi_weight=0.0,
            loss_weight=0.4,
        ),
    ),
)
