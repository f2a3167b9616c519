"""The confusion matrix of a validation, and its images for TensorBoard."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import MMLogger
from mmengine.structures import PixelData
from mmengine.visualization.vis_backend import MLflowVisBackend
from mmseg.structures import SegDataSample

from openseg_plugin.engine.hooks import plots
from openseg_plugin.engine.hooks.plots import ConfusionHook, CurvesHook
from openseg_plugin.errors import ConfigError
from openseg_plugin.evaluation.iou_metric import IoUMetric


class Backend:
    def __init__(self) -> None:
        self.images: list[tuple[str, tuple[int, ...], int]] = []

    def add_image(self, name, image, step=0) -> None:
        self.images.append((name, image.shape, step))


class Dataset(list):
    metainfo = dict(classes=('road', 'sky'), palette=[[0, 0, 0], [9, 200, 9]])
    pipeline = SimpleNamespace(transforms=[LoadImageFromFile()])


@pytest.fixture
def runner(tmp_path):
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((4, 6, 3), np.uint8))
    backend = Backend()
    visualizer = SimpleNamespace(
        get_backend=lambda name: backend if name == 'TensorboardVisBackend' else None,
        add_image=backend.add_image,
    )
    return SimpleNamespace(
        val_dataloader=SimpleNamespace(dataset=Dataset(range(5))),
        val_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=[IoUMetric()])),
        visualizer=visualizer,
        iter=7,
        log_dir=str(tmp_path / 'log'),
        work_dir=str(tmp_path),
        logger=MMLogger.get_instance('confusion'),
        backend=backend,
        image=str(tmp_path / 'image.png'),
    )


def _sample(runner, prediction: int) -> SegDataSample:
    sample = SegDataSample(metainfo=dict(img_path=runner.image))
    label = torch.zeros((1, 4, 6), dtype=torch.int64)
    label[:, 0] = 255
    sample.gt_sem_seg = PixelData(data=label)
    sample.pred_sem_seg = PixelData(data=torch.full((1, 4, 6), prediction))
    return sample


def test_matrix_and_the_same_few_images_are_shown(runner, tmp_path):
    hook = ConfusionHook(num_images=2)
    hook.before_val_epoch(runner)
    for index in range(5):
        hook.after_val_iter(runner, index, None, [_sample(runner, int(index == 0))])
    hook.after_val_epoch(runner, {})
    table = (tmp_path / 'log/vis_data/confusion_7.csv').read_text()
    assert table.splitlines()[1] == 'road,72,18,0'
    names = [name for name, _, step in runner.backend.images if step == 7]
    assert names == ['validation/0', 'validation/4', 'confusion']


class ImagesOfMLflow(MLflowVisBackend):
    add_image = Backend.add_image


def test_the_label_that_the_metric_leaves_out_is_left_out(runner, tmp_path):
    runner.val_loop.evaluator.metrics = [IoUMetric(ignore_index=254)]
    sample = _sample(runner, 0)
    sample.gt_sem_seg.data[sample.gt_sem_seg.data == 255] = 254
    hook = ConfusionHook(num_images=0)
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, outputs=[sample])
    assert hook._matrix.sum() == 18


def test_images_for_mlflow_are_named_as_files(runner):
    backend = object.__new__(ImagesOfMLflow)
    backend.images = []
    runner.visualizer.get_backend = lambda name: backend if name == 'MLflowVisBackend' else None
    hook = ConfusionHook(num_images=1)
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, None, [_sample(runner, 0)])
    hook.after_val_epoch(runner, {})
    assert [name for name, _, _ in backend.images] == ['validation/0_7.png', 'confusion_7.png']


def _shown(hook: ConfusionHook, runner, sample: SegDataSample, monkeypatch) -> list[np.ndarray]:
    """Images of the panels of a validation of one image."""
    shown = []
    panel = plots.draw_panel
    monkeypatch.setattr(plots, 'draw_panel', lambda *a, **k: shown.append(a[0]) or panel(*a, **k))
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, None, [sample])
    return shown


def test_images_of_16_bits_and_many_bands_are_read_as_the_pipeline_reads_them(
    runner, tmp_path, monkeypatch
):
    bands = np.zeros((4, 6, 5), np.uint16)
    bands[:, 3:, 0] = 900  # red
    runner.image = str(tmp_path / 'image.tif')
    tifffile.imwrite(runner.image, bands, photometric='minisblack')
    loading = LoadImageFromFile(color_type='unchanged', imdecode_backend='tifffile')
    runner.val_dataloader.dataset.pipeline = SimpleNamespace(transforms=[loading])
    (image,) = _shown(ConfusionHook(num_images=1), runner, _sample(runner, 0), monkeypatch)
    assert (image[:, 3:] == (255, 0, 0)).all() and not image[:, :3].any()


def test_an_image_that_cannot_be_read_never_stops_a_training(runner, monkeypatch):
    runner.image += '.gone'
    assert _shown(ConfusionHook(num_images=1), runner, _sample(runner, 0), monkeypatch) == []


def test_samples_without_classes_leave_nothing(runner, tmp_path):
    hook = ConfusionHook()
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, None, [SegDataSample()])
    hook.after_val_epoch(runner, {})
    assert not (tmp_path / 'log').exists()
    assert runner.backend.images == []


def test_a_negative_number_of_images_is_refused():
    with pytest.raises(ConfigError, match='num_images'):
        ConfusionHook(num_images=-1)


def test_curves_that_cannot_be_drawn_never_stop_a_training(runner, tmp_path):
    CurvesHook().after_val_epoch(runner)
    assert not (tmp_path / 'curves.png').exists()


def test_curves_are_drawn_once_for_an_iteration(runner, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, 'read_run', lambda folder: runner.iter)
    monkeypatch.setattr(plots, 'write_png', lambda path, runs: drawn.extend(runs))
    hook = CurvesHook()
    for runner.iter, happens in ((3, hook.after_val_epoch), (3, hook.after_train)):
        happens(runner)
    runner.iter = 5
    hook.after_train(runner)
    assert drawn == [3, 5]
