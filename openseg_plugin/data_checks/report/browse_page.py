"""Samples of a dataset on a page that loads nothing from elsewhere, or as images."""

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path

import cv2
import numpy as np

from openseg_plugin.data_checks.browse import Browser, Sample
from openseg_plugin.utils import atomic

_STYLE = """
body{font:15px/1.45 sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}
figure{margin:1.2em 0;display:flex;flex-wrap:wrap;gap:6px}
img{max-width:32%;border:1px solid #999;image-rendering:auto}
figcaption{flex-basis:100%;font-size:13px;color:#444;overflow-wrap:anywhere}
"""


def write_page(folder: Path, browser: Browser, samples: Iterable[Sample], *, title: str) -> Path:
    """``index.html`` below the folder, with image, label and overlay of every sample."""
    shown = [_figure(browser, sample) for sample in samples]
    page = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f'<title>{escape(title)}</title><style>{_STYLE}</style></head><body>',
        f'<h1>{escape(title)}</h1>',
        '<p>As the network gets them: after the pipeline and the data preprocessor, brought back '
        'to grey levels. Padding has the mean color; ignored pixels are grey.</p>',
        *shown,
        '</body></html>\n',
    ]
    path = folder / 'index.html'
    atomic.write_text(path, '\n'.join(page))
    return path


def write_images(folder: Path, browser: Browser, samples: Iterable[Sample], *, title: str) -> Path:
    """One PNG per sample below the folder: image and overlay side by side."""
    del title
    for number, sample in enumerate(samples):
        stem = Path(sample.name).stem or 'sample'
        row = np.concatenate([sample.image, browser.overlay(sample)], 1)
        atomic.write_bytes(folder / f'{number:03d}_{stem}.png', _png(row))
    return folder


def _figure(browser: Browser, sample: Sample) -> str:
    images = [('image', sample.image)]
    if sample.label is not None:
        images += [('label', browser.drawn(sample.label)), ('overlay', browser.overlay(sample))]
    tags = ''.join(
        f'<img alt="{what}" title="{what}" src="data:image/png;base64,'
        f'{base64.b64encode(_png(image)).decode()}">'
        for what, image in images
    )
    shares = ', '.join(f'{escape(name)} {100 * share:.1f} %' for name, share in sample.classes)
    height, width = sample.image.shape[:2]
    caption = f'{escape(sample.name)} ({width}x{height}){": " if shares else ""}{shares}'
    return f'<figure>{tags}<figcaption>{caption}</figcaption></figure>'


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
