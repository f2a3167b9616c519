"""Networks that nobody stored, made from those that were by the rules of their projects.

A layout is name -> shape of every entry of a state dict. What is stored has ResNet-101 or HRNet-W48
and the class count of one dataset; the functions here make another depth, stem, width, number of
classes or norm layout of it, as the original code would build it.
"""

import re
from collections.abc import Collection, Mapping

import numpy as np
from parity import catalog, stored

Layout = dict[str, tuple[int, ...]]
COUNTER = '.num_batches_tracked'
STATISTICS = ('weight', 'bias', 'running_mean', 'running_var')
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def layout(family: str, name: str) -> Layout:
    """That of a stored network."""
    fixture = stored.read(catalog.files()[family, name], family)
    return {key: tuple(shape) for key, shape, _ in fixture.keys}


def classes_of(family: str, name: str) -> int:
    return int(stored.read(catalog.files()[family, name], family).meta['num_classes'])


def filled(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A file of this layout whose numbers cost no memory."""
    return {name: np.broadcast_to(np.float32(1), shape) for name, shape in shapes.items()}


def with_classes(shapes: Layout, old: int, new: int) -> Layout:
    """Another number of rows of everything that has one per class; no other layer has so few."""
    return {
        name: (new, *shape[1:]) if shape[:1] == (old,) and len(shape) in (1, 4) else shape
        for name, shape in shapes.items()
    }


def with_width(shapes: Layout, new: int, *, old: int = 48, branches: int = 4) -> Layout:
    """An HRNet of another width, and heads on its concatenated maps."""
    factors = [2**branch for branch in range(branches)]
    sizes = {old * factor: new * factor for factor in (*factors, sum(factors))}
    return {name: tuple(sizes.get(size, size) for size in shape) for name, shape in shapes.items()}


def without_counters(shapes: Layout) -> Layout:
    return {name: shape for name, shape in shapes.items() if not name.endswith(COUNTER)}


def in_other_norm_layout(shapes: Layout) -> Layout:
    """openseg's in-place ABN for BatchNorm with ReLU, or the other way round."""
    if not any(name.endswith(COUNTER) for name in shapes):
        return _nested(shapes)
    flat = without_counters(shapes)
    return {re.sub(r'^(?!backbone\.)(.*\.\d+)\.0(?=\.\w+$)', _if_norm(flat), name): shape
            for name, shape in flat.items()}  # fmt: skip


def _if_norm(shapes: Layout):
    """Replacement that cuts '.0' off the names of normalizations alone."""
    return lambda found: found[1] if f'{found[0]}.running_mean' in shapes else found[0]


def _nested(shapes: Layout) -> Layout:
    changed = {}
    for name, shape in shapes.items():
        module, entry = name.rsplit('.', 1)
        if f'{module}.running_mean' in shapes and not module.startswith('backbone.'):
            module = f'{module}.0'
        changed[f'{module}.{entry}'] = shape
        if entry == 'running_var':
            changed[module + COUNTER] = ()
    return changed


def with_depth(shapes: Layout, depth: int, stages: Collection[str]) -> Layout:
    """A ResNet of bottlenecks of another depth.

    Args:
        shapes: any depth.
        depth: 50, 101 or 152.
        stages: names of the blocks of the second and the third stage, with a place for the number.
    """
    changed = dict(shapes)
    for stage, count in zip(stages, BLOCKS[depth][1:3], strict=True):
        pattern = re.compile(re.escape(stage).replace(r'\{\}', r'(\d+)'))
        numbers = {name: int(found[1]) for name in shapes if (found := pattern.match(name))}
        first = min(numbers.values())
        for name, number in numbers.items():
            if number - first >= count:
                del changed[name]
            if number == first + 1:
                rest = name[len(stage.format(number)) :]
                changed |= {stage.format(first + i) + rest: shapes[name] for i in range(1, count)}
    return changed


def with_single_stem(shapes: Layout, *, stem: str, first: str) -> Layout:
    """One 7x7 convolution instead of three 3x3 ones.

    Args:
        shapes: with three.
        stem: prefix of the stem's entries, as openseg calls them.
        first: prefix of the first block.
    """
    others = tuple(f'{stem}{kind}{number}.' for kind in ('conv', 'bn') for number in (2, 3))
    changed = {name: shape for name, shape in shapes.items() if not name.startswith(others)}
    changed[f'{stem}conv1.weight'] = (64, 3, 7, 7)
    return _on_64_channels(changed, first)


def _on_64_channels(shapes: Layout, first: str) -> Layout:
    """The first block on a stem of 64 channels."""
    inputs = [name for name in shapes if name.startswith(first)]
    return shapes | {
        name: (shapes[name][0], 64, 1, 1) for name in inputs if shapes[name][1:2] == (128,)
    }


def zoo_backbone(shapes: Layout, kind: str) -> Layout:
    """A ResNet-v1s of pytorch-cv as GluonCV's v1b, v1c, v1d, v1e or v1s."""
    backbone = {name: shape for name, shape in shapes.items() if name.startswith('base')}
    if kind in ('v1b', 'v1c', 'v1d'):
        backbone = _on_64_channels(backbone, 'base1.10.0.')
        halves = {'base1.0': (32, 3, 3, 3), 'base1.3': (32, 32, 3, 3), 'base1.6': (64, 32, 3, 3)}
        backbone |= {f'{name}.weight': shape for name, shape in halves.items()}
        for norm, width in (('base1.1', 32), ('base1.4', 32), ('base1.7', 64)):
            backbone |= {f'{norm}.{entry}': (width,) for entry in STATISTICS}
    if kind == 'v1b':
        backbone = {
            _without_six(name): shape
            for name, shape in backbone.items()
            if not re.match(r'base1\.[3467]\.', name)
        }
        backbone['base1.0.weight'] = (64, 3, 7, 7)
        backbone |= {f'base1.1.{entry}': (64,) for entry in STATISTICS}
    if kind in ('v1d', 'v1e'):
        move = {'downsample.0': 'downsample.1', 'downsample.1': 'downsample.2'}
        backbone = {
            re.sub(r'downsample\.\d', lambda found: move[found[0]], name): shape
            for name, shape in backbone.items()
        }
    return backbone


def _without_six(name: str) -> str:
    """v1b has six modules fewer in its stem."""
    found = re.match(r'base1\.(\d+)\.(.*)', name)
    if not found or int(found[1]) < 10:
        return name
    return f'base1.{int(found[1]) - 6}.{found[2]}'


def zoo_network(
    head: str, *, depth: int, kind: str, has_jpu: bool, has_auxiliary: bool, num_classes: int
) -> Layout:
    """A network of pytorch-cv, put together from the parts of those that were stored."""
    found = {name: layout('jpu_zoo', name) for family, name in catalog.files()
             if family == 'jpu_zoo' and catalog.kind(family, name) == 'network'}  # fmt: skip
    parts = ('base', 'JPU.', 'auxlayer.')
    base = next(shapes for name, shapes in found.items() if name.startswith(f'{head}_'))
    backbone = {name: shape for name, shape in base.items() if name.startswith('base')}
    if head != 'bisenet':
        stages = ('base1.{}.', 'base2.{}.')
        deep = {n: s for n, s in backbone.items() if not re.match(r'base1\.(\d|10)\.', n)}
        stem = {n: s for n, s in backbone.items() if n not in deep}
        backbone = zoo_backbone(stem | with_depth(deep, depth, stages), kind)
    shapes = backbone | {n: s for n, s in base.items() if not n.startswith(parts)}
    for prefix, is_wanted in (('JPU.', has_jpu), ('auxlayer.', has_auxiliary)):
        if is_wanted:
            other = next(o for o in found.values() if any(n.startswith(prefix) for n in o))
            shapes |= {n: s for n, s in other.items() if n.startswith(prefix)}
    return with_classes(shapes, 21, num_classes)
