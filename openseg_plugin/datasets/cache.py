"""Decoded images and labels as raw arrays in files, which loading processes map into memory.

Decoding is two thirds of the work of a training pipeline at the size of Cityscapes. A cache is
made once, by all cores, and shared by the loading processes of all ranks of a machine and by later
runs. What comes out of it is, bit by bit, what the loading transform gives.

An entry is one ``.npy`` file. Its name says of which file it is and how that was loaded; behind
the array stand size and time of change of the file, so an entry of a file that was changed is made
anew. Entries appear whole or not at all, and a lock lets one process make them, so neither a
second maker nor a killed one does harm. An entry that is missing costs decoding, never a wrong
sample.

H, W: size of an image in pixels.
"""

import contextlib
import hashlib
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from PIL import Image
from torch.utils.data import Dataset

from openseg_plugin.datasets.transforms import LoadLabels
from openseg_plugin.datasets.transforms.windows import faster
from openseg_plugin.errors import ConfigError, MachineError, UserError
from openseg_plugin.registry import HOOKS
from openseg_plugin.utils.files import alone, atomic_write
from openseg_plugin.utils.images import check_image
from openseg_plugin.utils.pool import in_threads

try:
    import fcntl
except ImportError:  # Windows: two makers do the work twice there
    fcntl = None  # type: ignore[assignment]  # asked for before it is used

RAM, DISK = 'ram', 'disk'
_SHARED_MEMORY = '/dev/shm'
_ON_DISK = os.path.join('work_dirs', 'decoded')
_STAMP = struct.Struct('<qq')  # size in bytes and time of change in nanoseconds of the source
_HEADER = 128 + _STAMP.size  # bytes of an entry beside its pixels
_MEASURED = 2000  # files whose headers are read to tell the size of a cache
_SPARED = 0.1  # fraction of the free memory that a cache in it leaves


@dataclass(frozen=True)
class Store:
    """A folder of entries.

    Args:
        folder: where they lie.
    """

    folder: str

    def path_of(self, source: str, how: str) -> str:
        """File of the entry of ``source``, loaded as ``how`` says."""
        text = f'{os.path.abspath(source)}\n{how}'
        return os.path.join(self.folder, f'{hashlib.sha1(text.encode()).hexdigest()}.npy')

    def read(self, source: str, how: str) -> np.ndarray | None:
        """The entry, mapped into memory (changes stay private); None where there is none."""
        try:
            array = np.load(self.path_of(source, how), mmap_mode='c')
        except (
            OSError,
            ValueError,
            EOFError,
        ):  # removed by the run that made it, or no longer whole
            return None
        return array.view(np.ndarray)

    def holds(self, source: str, how: str) -> bool:
        """Whether there is an entry, of the file as it is now."""
        try:
            with open(self.path_of(source, how), 'rb') as file:
                file.seek(-_STAMP.size, os.SEEK_END)
                return file.read() == _stamp(source)
        except OSError:
            return False

    def write(self, source: str, how: str, array: np.ndarray) -> None:
        """Makes the entry; it is there as a whole or not at all."""
        stamp = _stamp(source)
        path = self.path_of(source, how)
        with atomic_write(path, sync=False) as temporary, open(temporary, 'wb') as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
            file.write(stamp)


def _stamp(source: str) -> bytes:
    status = os.stat(source)
    return _STAMP.pack(status.st_size, status.st_mtime_ns)


class LoadCached(BaseTransform):
    """A loading transform that takes its array out of a cache where it is there.

    Args:
        load: the transform.
        store: of the cache.
    """

    def __init__(self, load: LoadImageFromFile | LoadLabels, store: Store) -> None:
        self.load = load
        self.store = store
        self.is_image = isinstance(load, LoadImageFromFile)
        self._how: dict[bytes | None, str] = {}

    def source_of(self, results: dict) -> str | None:
        """The file that is loaded; None where a sample has no label."""
        return results.get('img_path' if self.is_image else 'seg_map_path')

    def how(self, results: dict) -> str:
        """What, beside the file, decides what comes out."""
        if self.is_image:
            return repr(self.load)
        table = results.get('label_table')
        if table is None:
            return f'{self.load!r} {results.get("reduce_zero_label")} {results.get("label_map")}'
        key = table.tobytes()
        if key not in self._how:
            self._how[key] = f'{self.load!r} {hashlib.sha1(key).hexdigest()}'
        return self._how[key]

    def transform(self, results: dict) -> dict:
        """As the transform that loads."""
        source = self.source_of(results)
        if source is None:
            return results
        array = self.store.read(source, self.how(results))
        if array is None or (not self.is_image and self._is_other_size(array, results)):
            if self.is_image:
                check_image(source)
            return self.load(results)
        if self.is_image:
            results['img'] = array
            results['img_shape'] = results['ori_shape'] = array.shape[:2]
        else:
            results['gt_seg_map'] = array
            results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def _is_other_size(self, label: np.ndarray, results: dict) -> bool:
        """Whether the label does not fit the image, which is the loading transform's to say."""
        shape = results.get('ori_shape')
        return shape is not None and tuple(shape) != label.shape

    def make(self, results: dict) -> None:
        """Makes the entry of a sample unless it is there."""
        source = self.source_of(results)
        if source is None or self.store.holds(source, self.how(results)):
            return
        found = self.load(dict(results, seg_fields=[]))
        self.store.write(source, self.how(results), found['img' if self.is_image else 'gt_seg_map'])

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.load!r}, {self.store.folder!r})'


@HOOKS.register_module()
class DataCacheHook(Hook):
    """Keeps decoded images and labels, and reads only the window that a crop cuts out.

    Args:
        cache: 'ram': in the memory that processes of this machine share, until the run ends;
            'disk': in ``work_dirs/decoded``, for later runs, too; 'disk:DIR': in this folder.
            None: no cache.
        exact_resample: scale whole images before they are cut. Otherwise, where a pipeline scales
            and then cuts at random, the window is drawn first and only what lies under it is
            scaled: labels are the same, images differ by one gray level at most here and there.

    Raises:
        ConfigError: no such kind of cache.
    """

    priority = 'LOW'  # after a sample of the labels was checked

    def __init__(self, cache: str | None = None, *, exact_resample: bool = False) -> None:
        self.cache = cache
        self.folder = folder_of(cache) if cache else None
        self.exact_resample = exact_resample
        self._used: int | None = None  # open file that says that the folder is in use

    def before_train(self, runner) -> None:
        """Prepares the train split, and the val split if there is one."""
        datasets = [runner.train_dataloader.dataset]
        if runner.val_loop is not None:
            datasets.append(runner.val_dataloader.dataset)
        for pipeline in pipelines(datasets[0]):
            pipeline.transforms = faster(pipeline.transforms, exact=self.exact_resample)
        self._prepare(datasets)

    def before_test(self, runner) -> None:
        """Prepares the test split."""
        self._prepare([runner.test_dataloader.dataset])

    def after_run(self, runner) -> None:
        """Removes a cache in memory that nobody else uses."""
        if self._used is not None and self.folder is not None:
            os.close(self._used)
            self._used = None
            if self.cache == RAM and _is_main_of_machine():
                _remove_unused(self.folder)

    def _prepare(self, datasets: list[Dataset]) -> None:
        if self.folder is None:
            return
        os.makedirs(self.folder, exist_ok=True)
        if self._used is None:
            self._used = _in_use(self.folder)
        problem = None
        if _is_main_of_machine():
            try:
                fill(datasets, self.folder, in_memory=self.cache == RAM)
            except UserError as error:
                problem = error
        # also waits for the one that makes it
        problems = all_gather_object(problem) if get_world_size() > 1 else [problem]
        for found in problems:
            if found is not None:
                raise found
        for dataset in datasets:
            use(dataset, Store(self.folder))


def folder_of(cache: str) -> str:
    """Folder of a cache of this kind.

    Raises:
        ConfigError: there is no such kind, or no memory for processes to share.
    """
    kind, _, folder = cache.partition(':')
    if kind == DISK:
        return folder or _ON_DISK
    if cache != RAM:
        raise ConfigError(f'--cache {cache}: give ram, disk or disk:DIR')
    if not os.path.isdir(_SHARED_MEMORY):
        raise ConfigError(f'--cache ram needs {_SHARED_MEMORY}: use --cache disk')
    user = os.getuid() if hasattr(os, 'getuid') else 0
    return os.path.join(_SHARED_MEMORY, f'openseg_plugin-{user}')


def fill(datasets: list[Dataset], folder: str, *, in_memory: bool) -> None:
    """Makes the entries that are missing; says before how many bytes they are.

    Raises:
        MachineError: there is no room for them.
        DataError: a file cannot be loaded.
    """
    store = Store(folder)
    with alone(folder):
        for remnant in Path(folder).glob('.*.tmp'):  # of a maker that was killed
            remnant.unlink(missing_ok=True)
        missing = [
            (load, dataset, index)
            for dataset in datasets
            for part in parts(dataset)
            for load, dataset, index in _missing(part, store)
        ]
        if not missing:
            print_log(f'decoded images and labels come from {folder}', logger='current')
            return
        size = expected_bytes(missing)
        print_log(
            f'{folder} gets {len(missing)} decoded images and labels, {size / 1e9:.1f} GB',
            logger='current',
        )
        _refuse_without_room(folder, size, in_memory=in_memory)
        for _ in in_threads(_make, missing):
            pass


Missing = tuple[LoadCached, Any, int]


def _missing(dataset: Any, store: Store) -> Iterator[Missing]:
    """Loading transform, dataset and index of every entry that has to be made."""
    loads = [LoadCached(step, store) for step in dataset.pipeline.transforms if _is_loading(step)]
    for index in range(len(dataset)) if loads else ():
        results = dataset.get_data_info(index)
        for load in loads:
            source = load.source_of(results)
            if source is not None and not store.holds(source, load.how(results)):
                yield load, dataset, index


def _make(missing: Missing) -> None:
    load, dataset, index = missing
    load.make(dataset.get_data_info(index))


def use(dataset: Dataset, store: Store) -> None:
    """From now on the pipelines of a dataset load from ``store``."""
    for part in parts(dataset):
        if hasattr(part.pipeline, 'transforms'):
            part.pipeline.transforms = [
                LoadCached(step, store) if _is_loading(step) else step
                for step in part.pipeline.transforms
            ]
            part.checks_images = False  # they were when the cache was made


def _is_loading(step: object) -> bool:
    """Whether the output of a transform depends on one local file alone."""
    # no subclasses: they may add what is drawn anew for every sample
    if isinstance(step, LoadImageFromFile) and type(step) is LoadImageFromFile:
        backend = (step.backend_args or {}).get('backend', 'local')
        return backend == 'local' and step.file_client_args is None
    return isinstance(step, LoadLabels) and type(step) is LoadLabels and step.backend_args is None


def parts(dataset: Any) -> Iterator[Any]:
    """The datasets with files behind mmengine's wrappers (concatenation, repetition)."""
    if hasattr(dataset, 'datasets'):
        for one in dataset.datasets:
            yield from parts(one)
    elif hasattr(dataset, 'dataset'):
        yield from parts(dataset.dataset)
    elif hasattr(dataset, 'get_data_info') and hasattr(dataset, 'pipeline'):
        yield dataset


def pipelines(dataset: Any) -> Iterator[Any]:
    """Pipelines of these datasets."""
    for part in parts(dataset):
        if hasattr(part.pipeline, 'transforms'):
            yield part.pipeline


def expected_bytes(missing: list[Missing]) -> int:
    """Size of the entries on the disk, from the headers of at most some thousands of files."""
    chosen = missing[:: max(1, len(missing) // _MEASURED)]
    measured = 0
    for load, dataset, index in chosen:
        source = load.source_of(dataset.get_data_info(index))
        assert source is not None, 'only files can be missing'
        with Image.open(source) as image:
            channels = 1
            if load.is_image:
                is_color = load.load.color_type.startswith('color')
                channels = 3 if is_color else len(image.getbands())
            measured += image.width * image.height * channels + _HEADER
    return measured * len(missing) // len(chosen)


def _refuse_without_room(folder: str, size: int, *, in_memory: bool) -> None:
    free = shutil.disk_usage(folder).free
    if in_memory:
        free = min(free, int((1 - _SPARED) * _free_memory()))
    if size > free:
        where = 'ram' if in_memory else 'disk'
        other = 'disk:DIR' if in_memory else 'disk:DIR with a folder on another disk'
        raise MachineError(
            f'--cache {where} needs {size / 1e9:.1f} GB for decoded images and labels, {folder} '
            f'has room for {free / 1e9:.1f} GB: use --cache {other}, or leave it out'
        )


def _free_memory() -> int:
    """Bytes that programs can take, in the machine and in the group of processes they are in."""
    limits = [1 << 62]
    with contextlib.suppress(OSError, ValueError, IndexError):
        (line,) = [
            line for line in Path('/proc/meminfo').read_text().splitlines() if 'MemAvail' in line
        ]
        limits.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # a container's limit, "max" without any
        group = Path('/sys/fs/cgroup')
        used = int((group / 'memory.current').read_text())
        limits.append(int((group / 'memory.max').read_text()) - used)
    return min(limits)


def _is_main_of_machine() -> bool:
    return int(os.environ.get('LOCAL_RANK', '0')) == 0


def _in_use(folder: str) -> int | None:
    """Marks a folder as in use until the returned file is closed, by us and our children."""
    if fcntl is None:
        return None
    descriptor = os.open(os.path.join(folder, '.users'), os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _remove_unused(folder: str) -> None:
    with open(os.path.join(folder, '.users'), 'ab') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another run reads it, or loading processes are about to end
            return
        shutil.rmtree(folder, ignore_errors=True)
