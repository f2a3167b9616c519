"""Writes scenes in the raw layout of the Cityscapes release.

``leftImg8bit/<split>/<city>/<city>_<seq6>_<frame6>_leftImg8bit.png`` and
``gtFine/<split>/<city>/..._gtFine_{polygons.json,labelIds.png,instanceIds.png,color.png}``. The
three label images are drawn from the polygon file, so all four agree.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from openseg_plugin.converters.datasets.cityscapes import draw_colors, draw_instances, draw_labels
from openseg_plugin.errors import DataError
from openseg_plugin.synth.scene import draw_scene
from openseg_plugin.utils.files import parse_json, partial_file, remove_partial, write_below
from openseg_plugin.utils.pool import in_processes, usable_cores
from openseg_plugin.utils.progress import Progress

SETTINGS = 'scenes.json'
STYLE = 1  # goes up when scenes of equal seeds look different
# The names of a dataset's cities; a scene belongs to one, in turn.
_CITIES = {'train': ('aurach', 'birkenfeld', 'cronau'), 'val': ('dornburg', 'erlbach')}
_SPLITS = tuple(_CITIES)
_FRAME = 19  # of every sequence, as in the release


@dataclass(frozen=True)
class Settings:
    """What decides how scenes look: scenes of different settings do not share a folder.

    Attributes:
        seed: of all scenes.
        height, width: pixels.
        style: version of the drawing code.
    """

    seed: int
    height: int
    width: int
    style: int = STYLE


@dataclass(frozen=True)
class Job:
    """One scene to draw."""

    split: str
    index: int

    @property
    def city(self) -> str:
        """The city that the scene is said to show."""
        cities = _CITIES[self.split]
        return cities[self.index % len(cities)]

    def path(self, kind: str, ending: str) -> str:
        """Path of one of its files below the root; kind is 'leftImg8bit' or 'gtFine'."""
        name = f'{self.city}_{self.index:06d}_{_FRAME:06d}_{kind}{ending}'
        return f'{kind}/{self.split}/{self.city}/{name}'


def write_dataset(
    root: Path,
    settings: Settings,
    *,
    counts: dict[str, int],
    workers: int | None = None,
    show: bool = True,
) -> int:
    """Draws the scenes that are not there yet; returns how many those were.

    Args:
        root: target folder.
        settings: of all scenes below it.
        counts: number of scenes of 'train' and 'val'.
        workers: processes; None: one per core.
        show: show progress.

    Raises:
        DataError: the folder holds scenes of other settings, or cannot be written.
    """
    _check_settings(root, settings)
    jobs = [Job(split, index) for split in _SPLITS for index in range(counts.get(split, 0))]
    # the color image is written last
    jobs = [job for job in jobs if not (root / job.path('gtFine', '_color.png')).is_file()]
    if not jobs:
        return 0
    with Progress('drawing scenes', total=len(jobs), show=show) as progress:
        work = partial(write_scene, root, settings)
        for _ in in_processes(work, jobs, workers=workers or usable_cores()):
            progress.step()
    remove_partial(root)
    return len(jobs)


def write_scene(root: Path, settings: Settings, job: Job) -> None:
    """Draws one scene and writes its five files, each complete or not at all."""
    cv2.setNumThreads(1)  # the scenes themselves run in parallel
    size = (settings.height, settings.width)
    scene = draw_scene((settings.seed, _SPLITS.index(job.split), job.index), size=size)
    content = {
        'imgHeight': settings.height,
        'imgWidth': settings.width,
        'objects': [{'label': label, 'polygon': polygon} for label, polygon in scene.objects],
    }
    name = job.path('gtFine', '_polygons.json')
    _write_image(root, job.path('leftImg8bit', '.png'), scene.image[..., ::-1])
    write_below(root, name, json.dumps(content).encode())
    polygons = root / name
    _write_image(root, job.path('gtFine', '_labelIds.png'), draw_labels(polygons, 'ids'))
    _write_image(root, job.path('gtFine', '_instanceIds.png'), draw_instances(polygons))
    colors = cv2.cvtColor(draw_colors(polygons), cv2.COLOR_RGBA2BGRA)
    _write_image(root, job.path('gtFine', '_color.png'), colors)


def _write_image(root: Path, to: str, image: np.ndarray) -> None:
    with partial_file(root, to) as path:
        _, encoded = cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        path.write_bytes(encoded.tobytes())


def _check_settings(root: Path, settings: Settings) -> None:
    """Compares with the settings in the folder, or writes them there."""
    path, wanted = root / SETTINGS, asdict(settings)
    if path.is_file():
        try:
            found = parse_json(path.read_text(encoding='utf-8'))
        except ValueError:
            found = None
        if found != wanted:
            raise DataError(
                f'{root} holds scenes drawn with other settings ({found} instead of {wanted}): '
                'name another folder, or remove this one'
            )
    elif (root / 'leftImg8bit').exists():
        raise DataError(
            f'{root} holds images that were not drawn here: name another folder for the scenes'
        )
    else:
        write_below(root, SETTINGS, json.dumps(wanted, indent=1).encode())
