"""Damaged and senseless inputs of every kind that a user may hand over, made from seeds.

Input number k of a seed is always the same. Each is tried in a forked process, so that a crash, an
endless loop or a memory that runs full costs that one alone; the process goes on with the next.

``python tests/robustness/bad_inputs.py 1500`` tries that many and prints how they ended.
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
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image

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
SIZE = (24, 32)
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


class Marks:
    """A pickle of this makes a folder when it is loaded by the ordinary rules."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


# what makes good content bad


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Cut off, with other bytes, without a part, with a part twice, or wholly something else."""
    raw = bytearray(content)
    way = chance.randrange(7)
    start = chance.randrange(max(1, len(raw)))
    end = min(len(raw), start + chance.choice((1, 4, 64, 1024)))
    if way == 0:
        del raw[start:]
    elif way == 1:
        for _ in range(chance.choice((1, 5, 50))):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
    elif way == 2:
        raw[start:end] = bytes(end - start)
    elif way == 3:
        del raw[start:end]
    elif way == 4:
        raw[start:start] = raw[start:end] * 3
    elif way == 5:
        raw[start:end] = b'\xff' * (end - start)
    else:
        return chance.choice((b'', b'\0' * 99, b'<!DOCTYPE html><html>404</html>', b'PK\3\4', b'{'))
    return bytes(raw)


WRONG: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1.5,
        1e308,
        float('nan'),
        float('inf'),
        -(2**70),
        '',
        'x',
        '\ud800',
        '../x',
    ),
    *([], {}, [[]], [None], {'a': {}}, [1, 'b', None], 'a' * 5000, '\0', 2**31, [[[[1]]]]),
)


def changed(content: Any, chance: random.Random) -> Any:
    """A copy with one to three entries, wherever they are, of another type, gone or twice."""
    content = copy.deepcopy(content)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(content))
        if not places:
            break
        holder, key = chance.choice(places)
        way = chance.randrange(4)
        if way == 0 and isinstance(holder, dict):
            del holder[key]
        elif way == 1 and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key] = copy.deepcopy(chance.choice(WRONG))
    return content


def _places(content: Any) -> list[tuple[Any, Any]]:
    keys = content if isinstance(content, dict) else range(len(content))
    found = []
    for key in keys:
        found.append((content, key))
        if isinstance(content[key], (dict, list)):
            found += _places(content[key])
    return found


# good content


def _labels(chance: random.Random) -> np.ndarray:
    label = np.zeros(SIZE, np.uint8)
    top, left = chance.randrange(12), chance.randrange(16)
    label[top : top + 10, left : left + 12] = 1
    return label


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def _photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _json(content: Any) -> bytes:
    return json.dumps(content).encode('utf-8', 'surrogatepass')


SQUARE = [[4, 4], [20, 4], [20, 14], [4, 14]]
FLAT = [4, 4, 20, 4, 20, 14, 4, 14]
LABELME = dict(
    version='5',
    shapes=[dict(label='car', points=SQUARE, shape_type='polygon')] * 2
    + [dict(label='bus', points=SQUARE[:2], shape_type='rectangle')],
    imagePath='a.png',
    imageData=None,
    imageHeight=SIZE[0],
    imageWidth=SIZE[1],
)
COCO = dict(
    images=[dict(id=1, file_name='a.png', height=SIZE[0], width=SIZE[1])],
    annotations=[
        dict(id=1, image_id=1, category_id=1, segmentation=[FLAT], iscrowd=0),
        dict(
            id=2,
            image_id=1,
            category_id=2,
            segmentation=dict(size=list(SIZE), counts=[10, 20, SIZE[0] * SIZE[1] - 30]),
            iscrowd=1,
        ),
    ],
    categories=[dict(id=1, name='car'), dict(id=2, name='bus')],
)
VIA = {
    'a.png9': dict(
        filename='a.png',
        size=9,
        regions=[
            dict(
                shape_attributes=dict(
                    name='polygon', all_points_x=[4, 20, 20], all_points_y=[4, 4, 14]
                ),
                region_attributes=dict(name='car'),
            )
        ],
    )
}
STUDIO = [
    dict(
        id=1,
        data=dict(image='/data/upload/1/ab-a.png'),
        annotations=[
            dict(
                result=[
                    dict(
                        type='polygonlabels',
                        original_height=SIZE[0],
                        original_width=SIZE[1],
                        value=dict(points=[[10, 10], [60, 10], [60, 60]], polygonlabels=['car']),
                    )
                ]
            )
        ],
    )
]
CVAT = (
    '<?xml version="1.0"?><annotations><version>1.1</version><image id="0" name="a.png" width="32" '
    'height="24"><polygon label="car" points="4,4;20,4;20,14" z_order="0"/><mask label="bus" '
    'rle="1,2" left="1" top="1" width="3" height="1" z_order="1"/></image></annotations>'
)


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
    path = _write(folder / f'w.{ending}', damaged(buffer.getvalue(), chance))
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
    pixels = chance.choice((_photo(), _labels(chance)))
    path = _write(folder / f'a.{kind.lower()}', damaged(_encoded(pixels, kind), chance))
    return lambda: read_image(path)


def _matlab(folder: Path, chance: random.Random) -> Reader:
    import scipy.io

    buffer = io.BytesIO()
    key, is_short = chance.choice((('S', True), ('mat', False)))
    array = np.zeros((*SIZE, 2), np.float32) if key == 'mat' else _labels(chance)
    scipy.io.savemat(buffer, {key: array}, do_compression=chance.random() < 0.5)
    path = _write(folder / 'a.mat', damaged(buffer.getvalue(), chance))
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
    _write(folder / 'src' / 'a.png', _encoded(_photo(), 'PNG'))
    raw = content.encode() if isinstance(content, str) else _json(content)
    if isinstance(content, str) or chance.random() < 0.2:
        raw = damaged(raw, chance)
    else:
        raw = _json(changed(content, chance))
    _write(folder / 'src' / file, raw)
    return _convert(name, folder, *chance.choice(((), ('--skip-bad-shapes',), ('--keep-going',))))


def _text(folder: Path, chance: random.Random) -> Reader:
    """Lists, YOLO's files and tables of colors."""
    src = folder / 'src'
    kind = chance.choice(('lists', 'yolo_seg', 'masks'))
    if kind == 'lists':
        _write(src / 'img' / 'a.png', _encoded(_photo(), 'PNG'))
        _write(src / 'lab' / 'a.png', _encoded(_labels(chance), 'PNG'))
        text = b'img/a.png lab/a.png\nimg/a.png\tlab/a.png\n' * 3
        _write(src / 'train.lst', damaged(text, chance))
        return _convert(kind, folder)
    if kind == 'yolo_seg':
        _write(src / 'train' / 'images' / 'a.png', _encoded(_photo(), 'PNG'))
        lines, table = b'0 0.1 0.1 0.5 0.1 0.5 0.5\n' * 2, b'train: train/images\nnames: [a, b]\n'
        which = chance.random() < 0.5
        _write(src / 'train/labels/a.txt', damaged(lines, chance) if which else lines)
        _write(src / 'data.yaml', table if which else damaged(table, chance))
        return _convert(kind, folder)
    _write(src / 'images' / 'a.png', _encoded(_photo(), 'PNG'))
    colors = np.array([(0, 0, 0), (128, 64, 128)], np.uint8)[_labels(chance)]
    _write(src / 'masks' / 'a.png', _encoded(colors, 'PNG'))
    table = b'name,r,g,b\nbg,0,0,0\nroad,128,64,128\n'
    _write(folder / 't.csv', damaged(table, chance))
    return _convert(kind, folder, '--colors', str(folder / 't.csv'))


def _masks(folder: Path, chance: random.Random) -> Reader:
    """Label images with one broken among good ones."""
    for k in range(3):
        _write(folder / f'src/images/{k}.jpg', _encoded(_photo(), 'JPEG'))
        content = _encoded(_labels(chance) * chance.choice((1, 255)), 'PNG')
        _write(folder / f'src/masks/{k}.png', damaged(content, chance) if k == 1 else content)
    return _convert('masks', folder, *chance.choice(((), ('--keep-going',))))


def _archive(folder: Path, chance: random.Random) -> Reader:
    buffer = io.BytesIO()
    files = {'x/a.json': _json(LABELME), 'x/a.png': _encoded(_photo(), 'PNG')}
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
    path = _write(folder / f'src.{ending}', raw)
    words = ['labelme', str(path), str(folder / 'dst'), '--workers', '1']
    return lambda: run(convert_dataset.main, words)


def _dataset(folder: Path, chance: random.Random) -> Reader:
    """A converted folder whose dataset.json, images or labels are broken, for the data checks."""
    content = dict(classes=['a', 'b'], palette=[[0, 0, 0], [9, 9, 9]], counts={'train': 2})
    for k in range(3):
        image, label = _encoded(_photo(), 'PNG'), _encoded(_labels(chance), 'PNG')
        bad = chance.randrange(3) if k == 1 else 2
        _write(folder / f'train/image/{k}.png', damaged(image, chance) if bad == 0 else image)
        _write(folder / f'train/label/{k}.png', damaged(label, chance) if bad == 1 else label)
    _write(folder / 'dataset.json', _json(changed(content, chance)))

    def read() -> None:
        source = read_folder(folder)
        find_all(source, examine(source))

    return read


def _cache(folder: Path, chance: random.Random) -> Reader:
    buffer = io.BytesIO()
    extra = Marks(folder / 'executed') if chance.random() < 0.5 else 3
    np.savez(buffer, key=np.array('k'), centroids=np.array([extra], object))
    path = _write(folder / 'c.npz', damaged(buffer.getvalue(), chance))
    return lambda: class_uniform._load(str(path), 'k')


def _config(folder: Path, chance: random.Random) -> Reader:
    """One value of a config of ours, anywhere in it, of another type or range."""
    cfg = copy.deepcopy(_leaf())
    places = [(h, k) for h, k in _places(cfg) if k not in ('type', '_scope_')]
    holder, key = chance.choice(places)
    holder[key] = copy.deepcopy(chance.choice(WRONG))
    check = chance.choice((check_training, check_testing))
    return lambda: check(Config(cfg))


# more iterations are right, and no mistake
_LASTING = ('max_iters', 'val_interval', 'val_begin')


def _training(folder: Path, chance: random.Random) -> Reader:
    """One value of a small config, with which two iterations are trained and validated."""
    cfg = copy.deepcopy(_toy())
    places = [(h, k) for h, k in _places(cfg) if k not in ('type', '_scope_', *_LASTING)]
    holder, key = chance.choice(places)
    holder[key] = copy.deepcopy(chance.choice(WRONG))
    path = _write(folder / 'c.json', _json(cfg))
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
        raw = damaged(_json(content), chance)
    path = _write(folder / f'c.{ending}', raw)
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
    """Figures, and what was not clean."""
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
