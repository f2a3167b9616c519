"""Broken label sets of 46 kinds and 14 correct unusual ones, made from drawn street scenes."""

import dataclasses
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from label_sets import PALETTE, SIZE, VOID, LabelSet, Sample, encoded, label_bytes
from PIL import Image

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Kind:
    """One way to break a set (``keys``: findings that name it) or an unusual correct one."""

    name: str
    change: Callable[[LabelSet], None]
    keys: tuple[str, ...] = ()


BROKEN: list[Kind] = []
CORRECT: list[Kind] = []


def broken(*keys: str) -> Callable:
    def register(change: Callable) -> Callable:
        BROKEN.append(Kind(change.__name__, change, keys))
        return change

    return register


def correct(change: Callable) -> Callable:
    CORRECT.append(Kind(change.__name__, change))
    return change


def _each(labels: LabelSet, make: Callable[[np.ndarray], np.ndarray], split: str = '') -> None:
    for name, samples in labels.splits.items():
        for sample in samples if split in ('', name) else ():
            sample.label = make(sample.label)


def _looked_up(table: dict[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    lut = np.arange(256, dtype=np.uint8)
    lut[list(table)] = list(table.values())
    return lambda label: lut[label]


def _to_binary(labels: LabelSet, number: int | None = None) -> None:
    """Background and vehicles; empty where there are none."""
    labels.classes, labels.palette = ('background', 'object'), ((0, 0, 0), (200, 0, 0))
    for k, sample in enumerate(labels.all()):
        height, width = sample.truth.shape
        mask = np.zeros((height, width), np.uint8)
        center = (width // 4 + 9 * (k % 12), height // 2)
        cv2.ellipse(mask, center, (width // 8, height // 5), 15.0 * k, 0, 360, 1, -1)
        image = sample.image.copy()
        image[mask == 1] = image[mask == 1] // 3 + np.array([150, 20, 20], np.uint8)
        sample.image, sample.label, sample.truth = image, mask, mask


def _palette_bytes(colors: Sequence[Sequence[int]], void_at: int = 255) -> list[int]:
    flat = [list(c) for c in colors] + [[255, 255, 255]] * (256 - len(colors))
    flat[void_at] = [0, 0, 0]
    return [value for color in flat for value in color]


@broken('off_by_one')
def counts_from_one(labels):
    _each(labels, _looked_up({k: k + 1 for k in range(10)}))


@broken('off_by_one', 'void_value', 'outside_classes')
def counts_from_one_void_zero(labels):
    _each(labels, _looked_up({**{k: k + 1 for k in range(10)}, VOID: 0}))


@broken('off_by_one_down')
def reduced_once_too_often(labels):
    _each(labels, _looked_up({**{k: k - 1 for k in range(1, 10)}, 0: VOID}))


@broken('splits_off_by_one', 'off_by_one')
def one_split_counts_from_one(labels):
    _each(labels, _looked_up({k: k + 1 for k in range(10)}), 'val')


@broken('reduce_zero_label_255', 'off_by_one_down')
def reduced_twice(labels):
    labels.options['reduce_zero_label'] = True
    labels.is_config = True


@broken('mask_0_255')
def mask_0_255(labels):
    _to_binary(labels)
    _each(labels, lambda label: label * 255)


@broken('inverted_binary')
def inverted_binary(labels):
    _to_binary(labels)
    _each(labels, lambda label: 1 - label)


@broken('soft_mask')
def soft_mask(labels):
    _to_binary(labels)
    _each(labels, lambda label: cv2.GaussianBlur(label * 255, (5, 5), 0))


@broken('soft_mask')
def jpeg_mask(labels):
    _to_binary(labels)
    _each(labels, lambda label: label * 255)
    for sample in labels.all():
        sample.label_ending = '.jpg'


@broken('jpeg_labels', 'interpolated_numbers')
def jpeg_numbers(labels):
    for sample in labels.all():
        sample.label_ending, sample.quality = '.jpg', 90


@broken('interpolated_numbers')
def bilinear_numbers(labels):
    def make(label):
        height, width = label.shape
        small = cv2.resize(label, (width * 2 // 3, height * 2 // 3), interpolation=0)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)

    _each(labels, lambda label: make(np.where(label == VOID, 0, label)))


@broken('interpolated_numbers')
def bilinear_numbers_with_void(labels):
    def make(label):
        height, width = label.shape
        double = cv2.resize(label, (width * 2, height * 2), interpolation=0)
        return cv2.resize(double, (width - 16, height - 8), interpolation=cv2.INTER_LINEAR)

    for sample in labels.all():
        sample.label = make(sample.label)
        size = sample.label.shape[1::-1]
        sample.image = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
        sample.truth = None


@broken('raw_ids', 'outside_classes')
def raw_cityscapes_ids(labels):
    ids = (7, 8, 11, 17, 20, 21, 23, 24, 26, 33)
    _each(labels, _looked_up({**dict(enumerate(ids)), VOID: 0}))


@broken('values_above_255')
def instance_ids(labels):
    for sample in labels.all():
        sample.label = sample.label.astype(np.uint16)
        sample.label = np.where(sample.label < VOID, sample.label * 1000 + 1, 0).astype(np.uint16)


@broken('rgb_labels')
def rgb_labels(labels):
    table = np.zeros((256, 3), np.uint8)
    table[: len(PALETTE)] = PALETTE
    _each(labels, lambda label: table[label])


@broken('rgb_labels')
def gray_with_three_channels(labels):
    _each(labels, lambda label: np.repeat(label[..., None], 3, 2))


@broken('lossy_colors')
def jpeg_colors(labels):
    rgb_labels(labels)
    for sample in labels.all():
        sample.label_ending = '.jpg'


@broken('palette_order')
def resorted_palette(labels):
    order = [3, 5, 0, 9, 1, 7, 2, 8, 6, 4]  # new value of every class
    for sample in labels.all():
        sample.label = _looked_up(dict(enumerate(order)))(sample.label)
        colors = [PALETTE[order.index(k)] for k in range(10)]
        sample.palette = _palette_bytes(colors)


@broken('palette_order')
def resorted_palette_void_too(labels):
    """Colors sorted: void (black) becomes 0, every class moves."""
    colors = sorted([(0, 0, 0), *PALETTE])
    table = {k: colors.index(color) for k, color in enumerate(PALETTE)}
    for sample in labels.all():
        sample.label = _looked_up({**table, VOID: 0})(sample.label)
        sample.palette = _palette_bytes(colors)


@broken('palettes_differ', 'palette_order')
def palettes_differ_per_file(labels):
    """A drawing program numbers the colors of every file as they come."""
    labels.palette = ()
    for k, sample in enumerate(labels.all()):
        used = [int(v) for v in np.unique(sample.label) if v != VOID]
        order = list(np.random.default_rng(k).permutation(used))
        sample.label = _looked_up({v: i for i, v in enumerate(order)})(sample.label)
        sample.palette = _palette_bytes([PALETTE[v] for v in order])


@broken('void_in_class')
def void_merged_into_zero(labels):
    for k, sample in enumerate(labels.all()):  # the vehicle with the camera is void
        hood = sample.truth.copy()
        cv2.ellipse(hood, (128, 140 - k % 3), (90, 26), 0, 0, 360, VOID, -1)
        cv2.rectangle(hood, (0, 0), (255, 3), VOID, -1)
        sample.truth, sample.label = hood, np.where(hood == VOID, 0, hood)


@broken('classes_misplaced', 'void_in_class')
def banner_merged_into_zero(labels):
    """A caption over the whole width, of no class, became class 0: that looks like a swap."""
    for sample in labels.all():
        shown = sample.truth.copy()
        shown[: 5 * len(shown) // 16] = VOID
        sample.truth, sample.label = shown, np.where(shown == VOID, 0, shown).astype(np.uint8)


@broken('classes_misplaced')
def classes_permuted(labels):
    order = np.random.default_rng(3).permutation(10)
    while (order == np.arange(10)).any():
        order = np.random.default_rng(int(order[0]) + 11).permutation(10)
    _each(labels, _looked_up(dict(enumerate(order.tolist()))))


@broken('classes_misplaced')
def road_and_sky_swapped(labels):
    _each(labels, _looked_up({0: 6, 6: 0}))


@broken('classes_misplaced')
def car_and_vegetation_swapped(labels):
    _each(labels, _looked_up({8: 5, 5: 8}))


@broken('classes_misplaced', 'splits_permuted')
def two_classes_swapped_in_val(labels):
    _each(labels, _looked_up({1: 5, 5: 1}), 'val')


@broken('value_stray', 'outside_classes')
def stray_value(labels):
    for sample in labels.splits['train'][:3]:
        sample.label = sample.label.copy()
        sample.label[60, 100] = 200


@broken('void_value')
def void_after_the_last_class(labels):
    _each(labels, _looked_up({VOID: 10}))


@broken('num_classes')
def head_with_other_number(labels):
    labels.is_config, labels.num_classes = True, 19


@broken('class_never_occurs')
def class_never_occurs(labels):
    labels.classes += ('train',)
    labels.palette += ((0, 80, 100),)


@broken('class_not_in_train')
def class_not_in_train(labels):
    for sample in labels.splits['train']:
        sample.label = sample.truth = _looked_up({9: VOID})(sample.label)


@broken('labels_turned')
def labels_turned(labels):
    _each(labels, lambda label: np.ascontiguousarray(label[::-1, ::-1]))


@broken('labels_turned')
def labels_flipped(labels):
    _each(labels, lambda label: np.ascontiguousarray(label[:, ::-1]))


@broken('labels_moved')
def labels_moved(labels):
    def make(label):
        moved = np.full_like(label, VOID)
        moved[12:, 12:] = label[:-12, :-12]
        return moved

    _each(labels, make)


@broken('labels_of_others')
def label_of_the_neighbor(labels):
    for samples in labels.splits.values():
        made = [sample.label for sample in samples]
        for k, sample in enumerate(samples):
            sample.label = made[(k + 1) % len(samples)]


@broken('size_mismatch')
def labels_of_another_size(labels):
    for sample in labels.splits['train']:
        sample.label = np.ascontiguousarray(sample.label[::2, ::2])


@broken('exif_label_not_turned')
def camera_turned_the_image(labels):
    for sample in labels.splits['train'][:6]:
        exif = Image.Exif()
        exif[_ORIENTATION] = 6
        stream = io.BytesIO()
        Image.fromarray(sample.image).save(stream, 'JPEG', quality=95, exif=exif)
        sample.image_bytes, sample.image_ending = stream.getvalue(), '.jpg'


@broken('missing_label')
def labels_missing(labels):
    for sample in labels.splits['train'][2:5]:
        sample.label = None


@broken('extra_label', 'missing_image')
def images_missing(labels):
    for sample in labels.splits['train'][2:5]:
        sample.has_image = False


@broken('unreadable')
def label_cut_short(labels):
    sample = labels.splits['train'][4]
    content = label_bytes(sample)
    sample.label = content[: len(content) // 2]


@broken('unreadable')
def image_cut_short(labels):
    sample = labels.splits['val'][4]
    content = encoded(sample.image, '.png')
    sample.image_bytes = content[: len(content) // 2]


@broken('duplicate_images')
def image_in_two_splits(labels):
    copy = dataclasses.replace(labels.splits['val'][0], name='again')
    labels.splits['train'].append(copy)


@broken('duplicate_images')
def copy_of_another_quality(labels):
    one = labels.splits['val'][0]
    content = cv2.imencode('.jpg', one.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    labels.splits['train'].append(
        dataclasses.replace(one, name='a', image_bytes=content.tobytes(), image_ending='.jpg')
    )


@broken('repeated_images')
def image_twice_in_a_split(labels):
    one = labels.splits['train'][3]
    labels.splits['train'].append(dataclasses.replace(one, name='again'))


@broken('empty_labels')
def labels_wholly_void(labels):
    for sample in labels.splits['train'][::8]:
        sample.label = np.full_like(sample.label, VOID)


@broken('empty_labels')
def labels_wholly_one_class(labels):
    for sample in labels.splits['train'][::8]:
        sample.label = np.full_like(sample.label, 2)


@correct
def plain(labels):
    del labels


@correct
def fisheye_borders(labels):
    """Round images; outside the lens is black and ignored, in a set with a background."""
    _to_binary(labels)
    lens = np.zeros(SIZE, np.uint8)
    cv2.circle(lens, (128, 64), 74, 1, -1)
    for sample in labels.all():
        sample.image = sample.image * lens[..., None]
        sample.label = sample.truth = np.where(lens == 1, sample.label, VOID).astype(np.uint8)


@correct
def void_borders(labels):
    for sample in labels.all():
        framed = np.full_like(sample.label, VOID)
        framed[6:-6, 6:-6] = sample.label[6:-6, 6:-6]
        sample.label = sample.truth = framed


@correct
def video_neighbors(labels):
    """Every scene three times, each a few pixels further."""
    for split, samples in labels.splits.items():
        made = []
        for sample in samples[: max(len(samples) // 3, 1)]:
            for step in range(3):
                move = [np.roll(a, 5 * step, axis=1) for a in (sample.image, sample.label)]
                noise = np.random.default_rng(step).integers(-9, 10, move[0].shape)
                image = np.clip(move[0] + noise, 0, 255).astype(np.uint8)
                made.append(Sample(f'{sample.name}_{step}', image, move[1], move[1]))
        labels.splits[split] = made


@correct
def mixed_sizes(labels):
    for k, sample in enumerate(labels.all()):
        size = (200 + 24 * (k % 5), 100 + 16 * (k % 3))
        sample.image = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
        sample.label = cv2.resize(sample.label, size, interpolation=cv2.INTER_NEAREST)
        sample.truth = sample.label


@correct
def upside_down_cameras(labels):
    for sample in labels.all():
        sample.image = np.ascontiguousarray(sample.image[::-1, ::-1])
        sample.label = sample.truth = np.ascontiguousarray(sample.label[::-1, ::-1])


@correct
def empty_masks(labels):
    """Most images show no object."""
    _to_binary(labels)
    for k, sample in enumerate(labels.all()):
        if k % 3:
            sample.label = sample.truth = np.zeros_like(sample.label)


@correct
def one_bit(labels):
    _to_binary(labels)
    for sample in labels.all():
        stream = io.BytesIO()
        Image.fromarray(sample.truth * 255).convert('1').save(stream, 'PNG')
        sample.label = stream.getvalue()


@correct
def sixteen_bit_labels(labels):
    _each(labels, lambda label: label.astype(np.uint16))


@correct
def palette_files(labels):
    for sample in labels.all():
        sample.palette = _palette_bytes(PALETTE)


@correct
def thick_void_contours(labels):
    kernel = np.ones((5, 5), np.uint8)
    for sample in labels.all():
        edge = cv2.dilate(sample.label, kernel) != cv2.erode(sample.label, kernel)
        sample.label = sample.truth = np.where(edge, VOID, sample.label).astype(np.uint8)


@correct
def night_and_fog(labels):
    for k, sample in enumerate(labels.all()):
        gray = 20 if k % 2 else 200
        sample.image = (sample.image * 0.2 + gray * 0.8).astype(np.uint8)


@correct
def sixteen_bit_tiff_images(labels):
    """Four channels of 16 bits, as satellites give them."""
    for sample in labels.all():
        gray = sample.image.mean(-1, keepdims=True)
        wide = np.concatenate([sample.image, gray], -1).astype(np.uint16) * 100
        sample.image, sample.image_ending = wide, '.tif'
        sample.image_bytes = cv2.imencode('.tif', wide)[1].tobytes()


@correct
def nothing_is_ignored(labels):
    """Rough polygons without any void; class 0 is the largest."""
    for sample in labels.all():
        filled = np.where(sample.label == VOID, 2, sample.label).astype(np.uint8)
        sample.label = sample.truth = cv2.medianBlur(filled, 7)
