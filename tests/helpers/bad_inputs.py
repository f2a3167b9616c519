"""Damaged and senseless inputs of every kind that a user may hand over, made from seeds.

Input number k of a seed is always the same. Each is tried in a forked process, so that a crash, an
endless loop or a memory that runs full costs that one alone; the process goes on with the next.

``python tests/helpers/bad_inputs.py 1500`` tries that many and prints how they ended.
"""

import contextlib
import copy
import io
import json
import os
import pickle
import random
import resource
import signal
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import toy_run
from input_content import (
    COCO,
    CVAT,
    LABELME,
    SIZE,
    STUDIO,
    VIA,
    WRONG,
    Marks,
    as_json,
    changed,
    damaged,
    encoded,
    entries_of,
    label_map,
    photo,
    write,
)
from mmengine.config import Config
from mmengine.logging import MMLogger

from openseg_plugin.cli import convert_dataset
from openseg_plugin.cli.main import run
from openseg_plugin.config.loading import load_config
from openseg_plugin.config.validation import check_testing, check_training
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.converters.datasets.core.find import read_matlab
from openseg_plugin.converters.datasets.core.images import read_image
from openseg_plugin.data_checks.examine import examine
from openseg_plugin.data_checks.folder_adapter import read_folder
from openseg_plugin.data_checks.rules import find_all
from openseg_plugin.datasets.samplers import class_uniform
from openseg_plugin.errors import UserError
from openseg_plugin.paths import config_path
from openseg_plugin.segfix.offset_files import read_offsets

SECONDS = 60  # an input that takes longer hangs, on a busy machine too
MEMORY = 3 << 30  # bytes that an input may take besides what the process has
LEAF = 'ocr/hrnet18_camvid_20k.py'
CLEAN = ('read', 'refused')


@dataclass(frozen=True)
class Outcome:
    """How an input ended: read, refused in a sentence, or unclean, crash, hang, executed.

    Attributes:
        number: of the input.
        kind: what it was.
        end: how it ended.
        said: what was said, or the error.
        is_attack: it would run code where it is read carelessly.
    """

    number: int
    kind: str
    end: str
    said: str
    is_attack: bool = False


# kinds: each makes input in a folder and gives what reads it


Reader = Callable[[], Any]


def _checkpoint(folder: Path, chance: random.Random) -> Reader:
    state = {'a.weight': torch.arange(60.0).reshape(3, 20), 'n': torch.tensor(3)}
    kind = chance.choice(('zip', 'legacy', 'pdparams', 'safetensors', 'npz'))
    buffer = io.BytesIO()
    if kind in ('zip', 'legacy'):
        content = dict(state_dict=state, meta=dict(iter=3, classes=['a', 'b']))
        torch.save(content, buffer, _use_new_zipfile_serialization=kind == 'zip')
    elif kind == 'pdparams':
        pickle.dump({name: value.numpy() for name, value in state.items()}, buffer, protocol=2)
    elif kind == 'safetensors':
        from safetensors.torch import save

        buffer.write(save(state))
    else:
        np.savez(buffer, **{name: value.numpy() for name, value in state.items()})
    ending = dict(zip='pth', legacy='pth').get(kind, kind)
    path = write(folder / f'w.{ending}', damaged(buffer.getvalue(), chance))
    return lambda: read_checkpoint(path)


def _pickled(folder: Path, chance: random.Random) -> Reader:
    """Pickles that call what they should not, in every container."""
    evil: Any = Marks(folder / 'executed')
    for _ in range(chance.randrange(3)):
        evil = chance.choice((lambda x: [x], lambda x: {'k': x}, lambda x: (1, x)))(evil)
    path = folder / chance.choice(('w.pth', 'w.pdparams', 'w.pkl'))
    if chance.random() < 0.5:
        torch.save({'state_dict': {}, 'extra': evil}, path)
    else:
        path.write_bytes(pickle.dumps({'w': evil}, protocol=chance.randrange(6)))
    return lambda: read_checkpoint(path)


def _image(folder: Path, chance: random.Random) -> Reader:
    kind = chance.choice(('PNG', 'JPEG', 'BMP', 'TIFF', 'WEBP', 'GIF'))
    pixels = chance.choice((photo(), label_map(chance)))
    path = write(folder / f'a.{kind.lower()}', damaged(encoded(pixels, kind), chance))
    return lambda: read_image(path)


def _matlab(folder: Path, chance: random.Random) -> Reader:
    import scipy.io

    buffer = io.BytesIO()
    key, is_short = chance.choice((('S', True), ('mat', False)))
    array = np.zeros((*SIZE, 2), np.float32) if key == 'mat' else label_map(chance)
    scipy.io.savemat(buffer, {key: array}, do_compression=chance.random() < 0.5)
    path = write(folder / 'a.mat', damaged(buffer.getvalue(), chance))
    if is_short:
        return lambda: read_matlab(path, key)
    return lambda: read_offsets(path.read_bytes(), str(path))


def _convert(name: str, folder: Path, *options: str) -> Reader:
    words = [name, str(folder / 'src'), str(folder / 'dst'), '--workers', '1', *options]
    return lambda: run(convert_dataset.main, words)


def _annotation(folder: Path, chance: random.Random) -> Reader:
    """Annotation files of the programs, changed inside or as bytes."""
    name, file, content = chance.choice(
        (
            ('labelme', 'a.json', LABELME),
            ('coco_polygons', '_annotations.coco.json', COCO),
            ('via', 'via.json', VIA),
            ('label_studio', 'export.json', STUDIO),
            ('cvat', 'annotations.xml', CVAT),
        )
    )
    write(folder / 'src' / 'a.png', encoded(photo(), 'PNG'))
    raw = content.encode() if isinstance(content, str) else as_json(content)
    if isinstance(content, str) or chance.random() < 0.2:
        raw = damaged(raw, chance)
    else:
        raw = as_json(changed(content, chance))
    write(folder / 'src' / file, raw)
    return _convert(name, folder, *chance.choice(((), ('--skip-bad-shapes',), ('--keep-going',))))


def _text(folder: Path, chance: random.Random) -> Reader:
    """Lists, YOLO's files and tables of colors."""
    src = folder / 'src'
    kind = chance.choice(('lists', 'yolo_seg', 'masks'))
    if kind == 'lists':
        write(src / 'img' / 'a.png', encoded(photo(), 'PNG'))
        write(src / 'lab' / 'a.png', encoded(label_map(chance), 'PNG'))
        text = b'img/a.png lab/a.png\nimg/a.png\tlab/a.png\n' * 3
        write(src / 'train.lst', damaged(text, chance))
        return _convert(kind, folder)
    if kind == 'yolo_seg':
        write(src / 'train' / 'images' / 'a.png', encoded(photo(), 'PNG'))
        lines, table = b'0 0.1 0.1 0.5 0.1 0.5 0.5\n' * 2, b'train: train/images\nnames: [a, b]\n'
        which = chance.random() < 0.5
        write(src / 'train/labels/a.txt', damaged(lines, chance) if which else lines)
        write(src / 'data.yaml', table if which else damaged(table, chance))
        return _convert(kind, folder)
    write(src / 'images' / 'a.png', encoded(photo(), 'PNG'))
    colors = np.array([(0, 0, 0), (128, 64, 128)], np.uint8)[label_map(chance)]
    write(src / 'masks' / 'a.png', encoded(colors, 'PNG'))
    table = b'name,r,g,b\nbg,0,0,0\nroad,128,64,128\n'
    write(folder / 't.csv', damaged(table, chance))
    return _convert(kind, folder, '--colors', str(folder / 't.csv'))


def _masks(folder: Path, chance: random.Random) -> Reader:
    """Label images with one broken among good ones."""
    for k in range(3):
        write(folder / f'src/images/{k}.jpg', encoded(photo(), 'JPEG'))
        content = encoded(label_map(chance) * chance.choice((1, 255)), 'PNG')
        write(folder / f'src/masks/{k}.png', damaged(content, chance) if k == 1 else content)
    return _convert('masks', folder, *chance.choice(((), ('--keep-going',))))


def _archive(folder: Path, chance: random.Random) -> Reader:
    buffer = io.BytesIO()
    files = {'x/a.json': as_json(LABELME), 'x/a.png': encoded(photo(), 'PNG')}
    if chance.random() < 0.3:
        files[chance.choice(('../out.png', '/abs.png', 'x/../../y.png', '', 'con\0.png'))] = b'x'
    ending = chance.choice(('zip', 'tar', 'tar.gz'))
    if ending == 'zip':
        with zipfile.ZipFile(buffer, 'w') as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)
    else:
        with tarfile.open(fileobj=buffer, mode='w:gz' if 'gz' in ending else 'w') as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name or '.')
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    raw = buffer.getvalue()
    if chance.random() < 0.8:
        raw = damaged(raw, chance)
    path = write(folder / f'src.{ending}', raw)
    words = ['labelme', str(path), str(folder / 'dst'), '--workers', '1']
    return lambda: run(convert_dataset.main, words)


def _dataset(folder: Path, chance: random.Random) -> Reader:
    """A converted folder whose dataset.json, images or labels are broken, for the data checks."""
    content = dict(classes=['a', 'b'], palette=[[0, 0, 0], [9, 9, 9]], counts={'train': 2})
    for k in range(3):
        image, label = encoded(photo(), 'PNG'), encoded(label_map(chance), 'PNG')
        bad = chance.randrange(3) if k == 1 else 2
        write(folder / f'train/image/{k}.png', damaged(image, chance) if bad == 0 else image)
        write(folder / f'train/label/{k}.png', damaged(label, chance) if bad == 1 else label)
    write(folder / 'dataset.json', as_json(changed(content, chance)))

    def read() -> None:
        source = read_folder(folder)
        find_all(source, examine(source))

    return read


def _cache(folder: Path, chance: random.Random) -> Reader:
    buffer = io.BytesIO()
    extra = Marks(folder / 'executed') if chance.random() < 0.5 else 3
    np.savez(buffer, key=np.array('k'), centroids=np.array([extra], object))
    path = write(folder / 'c.npz', damaged(buffer.getvalue(), chance))
    return lambda: class_uniform._load(str(path), 'k')


def _config(folder: Path, chance: random.Random) -> Reader:
    """One value of a config of ours, anywhere in it, of another type or range."""
    cfg = copy.deepcopy(_leaf())
    places = [(h, k) for h, k in entries_of(cfg) if k not in ('type', '_scope_')]
    holder, key = chance.choice(places)
    holder[key] = copy.deepcopy(chance.choice(WRONG))
    check = chance.choice((check_training, check_testing))
    return lambda: check(Config(cfg))


# more iterations are right, and no mistake
_LASTING = ('max_iters', 'val_interval', 'val_begin')


def _training(folder: Path, chance: random.Random) -> Reader:
    """One value of a small config, with which two iterations are trained and validated."""
    cfg = copy.deepcopy(_toy())
    places = [(h, k) for h, k in entries_of(cfg) if k not in ('type', '_scope_', *_LASTING)]
    holder, key = chance.choice(places)
    holder[key] = copy.deepcopy(chance.choice(WRONG))
    path = write(folder / 'c.json', as_json(cfg))
    return lambda: toy_run.train(path, folder / 'work')


@cache
def _toy() -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp())
    data = toy_run.write_data(folder / 'data', number=2)
    path = toy_run.toy_config(folder, data, train_cfg=dict(max_iters=2, val_interval=2))
    return _listed(Config.fromfile(path).to_dict())


@cache
def _leaf() -> dict[str, Any]:
    return _listed(Config.fromfile(config_path(LEAF)).to_dict())


def _listed(content: Any) -> Any:
    """Tuples as lists, so that entries can be changed."""
    if isinstance(content, dict):
        return {key: _listed(value) for key, value in content.items()}
    return [_listed(value) for value in content] if isinstance(content, (list, tuple)) else content


def _config_file(folder: Path, chance: random.Random) -> Reader:
    """Configs as files: damaged Python, JSON and YAML, and YAML that would run something."""
    ending = chance.choice(('py', 'json', 'yml'))
    if ending == 'yml' and chance.random() < 0.4:
        marker = folder / 'executed'
        raw = f'model: !!python/object/apply:os.mkdir ["{marker}"]\n'.encode()
    elif ending == 'py':
        raw = damaged(
            b'model = dict(type="A", size=(1, 2))\nlr = 0.1\nseed = {"a": [1, 2]}\n', chance
        )
    else:
        content = dict(model=dict(type='A', size=[1, 2]), lr=0.1)
        raw = damaged(as_json(content), chance)
    path = write(folder / f'c.{ending}', raw)
    return lambda: load_config(str(path))


KINDS: dict[str, Callable[[Path, random.Random], Reader]] = {
    'checkpoint': _checkpoint,
    'pickle that calls': _pickled,
    'image': _image,
    '.mat': _matlab,
    'annotation': _annotation,
    'list, table or YOLO': _text,
    'label images': _masks,
    'archive': _archive,
    'converted folder': _dataset,
    'label cache': _cache,
    'value of a config': _config,
    'config file': _config_file,
    'training': _training,
}


def attempt(number: int, seed: int, root: Path) -> Outcome:
    """Tries an input in this process."""
    chance = random.Random(f'{seed} {number}')
    kind = list(KINDS)[number % len(KINDS)]
    folder = root / str(number)
    folder.mkdir(parents=True)
    said = io.StringIO()
    end, words = 'read', ''
    files: list[Path] = []
    try:
        read = KINDS[kind](folder, chance)
        files = [path for path in folder.rglob('*') if path.is_file()]
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = read()
        words = said.getvalue().strip()
        if isinstance(status, int) and status:
            has_sentence = (words.splitlines() or [''])[-1].startswith('error: ')
            end = 'refused' if has_sentence or 'Traceback' not in words else 'unclean'
            if not words or status not in (1, 2):
                end, words = 'unclean', f'status {status}: {words}'
    except UserError as error:
        end, words = 'refused', str(error)
        if not words.strip() or len(words.splitlines()) > 4:
            end = 'unclean'
    except BaseException as error:
        end, words = 'unclean', f'{type(error).__name__}: {error} {_where(error)}'
    if (folder / 'executed').exists():
        end = 'executed'
    is_attack = any(b'executed' in file.read_bytes() for file in files)
    return Outcome(number, kind, end, words[-600:], is_attack)


def _where(error: BaseException) -> str:
    traceback, place = error.__traceback__, ''
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f'({Path(code.co_filename).name}:{traceback.tb_lineno})'
        traceback = traceback.tb_next
    return place


def try_all(numbers: Sequence[int], seed: int, root: Path) -> list[Outcome]:
    """Tries inputs in forked processes; one that dies or hangs is said, the next go on."""
    outcomes: list[Outcome] = []
    left = list(numbers)
    while left:
        found, status = _in_child(left, seed, root / f'from{left[0]}')
        outcomes += found
        left = left[len(found) :]
        if left and status:
            end = 'hang' if status == -signal.SIGALRM else 'crash'
            kind = list(KINDS)[left[0] % len(KINDS)]
            outcomes.append(Outcome(left.pop(0), kind, end, f'status {status}'))
    return outcomes


def _in_child(numbers: Sequence[int], seed: int, root: Path) -> tuple[list[Outcome], int]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            MMLogger._instance_dict.clear()  # they may write to streams that are closed by now
            with os.fdopen(writing, 'w') as pipe:
                for number in numbers:
                    signal.alarm(SECONDS)
                    outcome = attempt(number, seed, root)
                    pipe.write(json.dumps(vars(outcome)) + '\n')
                    pipe.flush()
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    return [Outcome(**json.loads(line)) for line in lines], os.waitstatus_to_exitcode(status)


def describe(outcomes: Sequence[Outcome]) -> str:
    """Counts, and what was not clean."""
    ends = Counter(outcome.end for outcome in outcomes)
    clean = sum(ends[end] for end in CLEAN)
    counts = ', '.join(f'{end} {number}' for end, number in sorted(ends.items()))
    attacks = [outcome for outcome in outcomes if outcome.is_attack]
    held = sum(outcome.end != 'executed' for outcome in attacks)
    lines = [
        f'{len(outcomes)} inputs, {clean} clean ({counts}); {len(attacks)} attacks, {held} held'
    ]
    lines += [f'{o.number} {o.kind}: {o.end}: {o.said}' for o in outcomes if o.end not in CLEAN]
    return '\n'.join(lines)


def main() -> None:
    number = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as folder:
        print(describe(try_all(range(number), seed, Path(folder))))


if __name__ == '__main__':
    main()
