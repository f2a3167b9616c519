"""Everything about a run that is neither model nor data nor schedule."""

default_scope = 'mmseg'
custom_imports = dict(imports=['openseg_plugin'], allow_failed_imports=False)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),  # tools/train.py and tools/test.py: gloo where there is no GPU
)
randomness = dict(seed=304)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='openseg_plugin.Visualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
memory_format = 'auto'  # of the training: channels_last where that is faster; contiguous
# --aug-test: mean of softmax over scales and flipped views, as in mmseg; configs of published
# openseg and HRNet-OCR weights name the rule of their authors
tta_model = dict(type='openseg_plugin.MultiScaleFlip', merge='softmax')
load_from = None
resume = False

default_hooks = dict(
    # fetches the losses when the log is written, so that a GPU does not wait in every iteration
    runtime_info=dict(type='openseg_plugin.RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # atomic; on resume the newest checkpoint that can be read; exact (random states, data order)
    checkpoint=dict(
        type='openseg_plugin.CheckpointHook',
        by_epoch=False,
        interval=2000,
        max_keep_ckpts=2,
        save_best='mIoU',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
    # before the first iteration: labels and images of a sample of both splits
    label_check=dict(type='openseg_plugin.LabelCheckHook'),
    # --cache, --exact-resample: decoded images and labels; crops that scale what they cut out
    data_cache=dict(type='openseg_plugin.DataCacheHook', cache=None, exact_resample=False),
    # stops before the step that would spoil the weights
    nan_guard=dict(type='openseg_plugin.CheckInvalidLossHook'),
    # the matrix of every validation in vis_data, and curves.png in the work folder
    confusion=dict(type='openseg_plugin.ConfusionHook'),
    curves=dict(type='openseg_plugin.CurvesHook'),
    # SIGTERM (preemption), Ctrl-C, SIGHUP, SIGUSR1: saves at the end of the iteration and exits
    save_on_signal=dict(type='openseg_plugin.SaveOnSignalHook'),
)
