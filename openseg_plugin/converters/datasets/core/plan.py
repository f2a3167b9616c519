"""What a converter is: its name and options, and the plan that it hands over.

A converter never writes. It reads a source folder and says, per image, which files are put
into the target unchanged (:class:`CopyTask`) and which are drawn (:class:`RenderTask`). Running,
resuming, dry runs and checks are the same for every dataset and live beside this module.
"""

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, get_origin, get_type_hints

import numpy as np

from openseg_plugin.errors import ConfigError, DataError

# Split of samples that the run divides into train and val.
UNDIVIDED = ''

Palette = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class CopyTask:
    """A file that is linked or copied as it is.

    Attributes:
        src: the file.
        to: where it goes, relative to the target, with forward slashes.
        extract: gives the content where the file lies inside ``src``, such as an image inside an
            annotation file; must pickle.
    """

    src: Path
    to: str
    extract: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class RenderTask:
    """A map that is computed: labels, edges or instances.

    Attributes:
        to: where it goes, relative to the target, with forward slashes; a PNG.
        make: gives the map, (H, W) uint8 or uint16. It must pickle: a module's function or a
            ``functools.partial`` of one. It gets the label map of the sample as its only argument
            where ``of_label`` is set, else nothing.
        kind: ``'label'`` is counted in the histogram and written with the palette.
        of_label: the map follows from the first ``'label'`` map of the sample.
    """

    to: str
    make: Callable[..., np.ndarray]
    kind: str = 'label'
    of_label: bool = False


@dataclass(frozen=True)
class Sample:
    """One image and what belongs to it.

    Attributes:
        split: name of the split in the target; :data:`UNDIVIDED` until the run divides.
        name: what messages call the sample.
        sources: files that the drawn maps are made from; a newer source is drawn again.
        places: files put into the target; the first one is the image.
        draws: maps to draw; a map that follows from the label comes after it.
        same_size: whether image and label must have the same size.
        problem: why the sample cannot be converted, for example because a file is missing.
    """

    split: str
    name: str
    sources: tuple[Path, ...] = ()
    places: tuple[CopyTask, ...] = ()
    draws: tuple[RenderTask, ...] = ()
    same_size: bool = True
    problem: str | None = None

    def targets(self) -> list[str]:
        """Relative paths of all files of the sample."""
        return [place.to for place in self.places] + [draw.to for draw in self.draws]


@dataclass(frozen=True)
class Plan:
    """All samples of a conversion and what is known about their labels.

    Attributes:
        samples: in the order in which they are converted.
        classes: names, index = label value (after the reduction where ``reduce_zero_label``).
        palette: one color (R, G, B) per label value as written to the files.
        ignore_index: value that is no class, or None where every value is a class.
        reduce_zero_label: label 0 is ignored and label k is class k - 1.
        flip_pairs: label values that change places when the image is flipped.
        texts: small text files to write, relative path -> content.
        notices: what the user should know, for example images that were left out.
        facts: further entries for ``dataset.json``.
        read: further files that were read, or of which a notice says that they are not used.
    """

    samples: list[Sample]
    classes: tuple[str, ...]
    palette: Palette = ()
    ignore_index: int | None = 255
    reduce_zero_label: bool = False
    flip_pairs: tuple[tuple[int, int], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    read: Collection[Path] = ()


def in_split(split: str, kind: str, name: str) -> str:
    """Path of a file in the project's own layout: ``<split>/<kind>/<name>``."""
    return f'{split}/{kind}/{name}'


# Modules with converters; imported when the first converter is asked for.
MODULES = (
    'ade20k',
    'celebamask_hq',
    'cityscapes',
    'cityscapes_autolabelled',
    'coco_panoptic',
    'coco_polygons',
    'coco_stuff',
    'cvat',
    'human_parts',
    'label_studio',
    'labelme',
    'lists',
    'mapillary',
    'masks',
    'pascal_context',
    'pascal_voc',
    'polygon_list',
    'via',
    'yolo_seg',
)


class Planner(Protocol):
    """Signature of a converter."""

    def __call__(self, src: Path, *, options: Any, splits: tuple[str, ...]) -> Plan: ...


@dataclass(frozen=True)
class Converter:
    """A registered converter.

    Attributes:
        name: what users type.
        plan: the converter itself.
        options_type: frozen dataclass of its options.
        splits: names that ``--split`` may have; empty if any name may.
        default_splits: what is converted without ``--split``, given the options.
        help: one line for the command line.
        is_own: reads what users made themselves, so that every file of it should be used.
    """

    name: str
    plan: Planner
    options_type: type
    splits: tuple[str, ...]
    default_splits: Callable[[Any], tuple[str, ...]]
    help: str
    is_own: bool = False

    def make_options(self, options: Any = None) -> Any:
        """Options as the converter's dataclass, from None, a mapping or the dataclass itself.

        Raises:
            ConfigError: an unknown option or a value that it cannot have.
        """
        if options is None:
            options = {}
        if is_dataclass(options):
            if not isinstance(options, self.options_type):
                raise ConfigError(
                    f'{self.name} takes {self.options_type.__name__}, got {type(options).__name__}'
                )
            self._check_values(options)
            return options
        known = {f.name for f in fields(self.options_type)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ConfigError(
                f'{self.name} has no option {", ".join(unknown)}; it has '
                f'{", ".join(sorted(known)) or "none"}'
            )
        made = replace(self.options_type(), **_as_tuples(options))
        self._check_values(made)
        return made

    def _check_values(self, options: Any) -> None:
        for name, hint in get_type_hints(self.options_type).items():
            value = getattr(options, name)
            if get_origin(hint) is Literal and value not in get_args(hint):
                raise ConfigError(
                    f'{self.name}: option {name} is {value!r}; choose one of {get_args(hint)}'
                )
            if get_origin(hint) is tuple and not isinstance(value, tuple):
                raise ConfigError(f'{self.name}: option {name} is {value!r}; give a list')

    def choose_splits(self, wanted: tuple[str, ...], options: Any) -> tuple[str, ...]:
        """The splits to convert.

        Raises:
            DataError: a split that the dataset does not have.
        """
        if not wanted:
            return self.default_splits(options)
        unknown = [name for name in wanted if self.splits and name not in self.splits]
        if unknown:
            raise DataError(
                f'{self.name} has no split {", ".join(unknown)}; it has {", ".join(self.splits)}'
            )
        return tuple(dict.fromkeys(wanted))


_CONVERTERS: dict[str, Converter] = {}


def option(default: Any, text: str, **more: Any) -> Any:
    """Field of an options dataclass with the help text of the command line."""
    return field(default=default, metadata={'help': text, **more})


def converter(
    name: str,
    options_type: type,
    *,
    splits: tuple[str, ...] = (),
    default_splits: tuple[str, ...] | Callable[[Any], tuple[str, ...]] | None = None,
    own: bool = False,
) -> Callable[[Planner], Planner]:
    """Decorator that makes a planning function known as converter ``name``.

    The first line of the function's docstring becomes its help text; ``own`` says that it reads
    data that users made themselves.
    """
    chosen = splits if default_splits is None else default_splits
    choose = chosen if callable(chosen) else lambda options: chosen

    def register(plan: Planner) -> Planner:
        if name in _CONVERTERS:
            raise KeyError(f'converter {name} is registered twice')
        without_default = [
            f.name
            for f in fields(options_type)
            if f.default is MISSING and f.default_factory is MISSING
        ]
        if without_default:
            raise TypeError(f'converter {name}: options without default: {without_default}')
        text = (plan.__doc__ or '').strip().splitlines()[0]
        _CONVERTERS[name] = Converter(name, plan, options_type, splits, choose, text, own)
        return plan

    return register


def converters() -> dict[str, Converter]:
    """All converters by name."""
    for module in MODULES:
        importlib.import_module(f'openseg_plugin.converters.datasets.{module}')
    return dict(sorted(_CONVERTERS.items()))


def get_converter(name: str) -> Converter:
    """The converter of that name.

    Raises:
        ConfigError: there is none.
    """
    known = converters()
    if name not in known:
        raise ConfigError(f'there is no converter {name!r}; there are {", ".join(known)}')
    return known[name]


def _as_tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
