from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope

init_default_scope('mmseg')


@pytest.fixture
def split(tmp_path) -> Path:
    """A Cityscapes split of three 8x12 images with labels of class 3 and ignored pixels."""
    for folder in ('image', 'label'):
        (tmp_path / 'train' / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ('b', 'a', 'c'):
        write_sample(tmp_path, name, rng.integers(0, 255, (8, 12, 3), np.uint8))
    return tmp_path


def write_sample(root: Path, name: str, image: np.ndarray) -> None:
    label = np.full(image.shape[:2], 3, np.uint8)
    label[0] = 255
    cv2.imwrite(str(root / 'train' / 'image' / f'{name}.png'), image)
    cv2.imwrite(str(root / 'train' / 'label' / f'{name}.png'), label)
