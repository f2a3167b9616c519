"""Label images with an exported model. Needs numpy, Pillow and the model's own runtime alone:
onnxruntime for .onnx, openvino for .xml, ai-edge-litert for .tflite.

    python run.py IMAGE_OR_FOLDER ... --out DIR [--overlay] [--tile 1024 --overlap 128]

Writes one PNG of class numbers with a palette for each image; with --overlay also the image with
the classes drawn over it. Large images go in overlapping tiles whose scores are blended without a
seam, which needs a model exported with --output probabilities or logits; with labels the tile in
which a pixel lies deeper decides. A model for images of one size takes tiles of that size.
"""

import argparse
import itertools
import json
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')
MODELS = ('.onnx', '.xml', '.tflite')
GRID = 32  # pixels: tiles begin at multiples of it, so that they are sampled as the whole image


class Model:
    """An exported file in its runtime; ``about`` holds its metadata."""

    def __init__(self, path: Path) -> None:
        if path.suffix == '.onnx':
            import onnxruntime

            session = onnxruntime.InferenceSession(str(path))
            text = session.get_modelmeta().custom_metadata_map.get('openseg_plugin')
            self.call = lambda batch: session.run(None, {'images': batch})[0]
        elif path.suffix == '.tflite':
            from ai_edge_litert.interpreter import Interpreter

            with zipfile.ZipFile(path) as archive:  # behind the model
                text = archive.read('openseg_plugin.json').decode()
            signature = Interpreter(model_path=str(path)).get_signature_runner()
            (name,) = signature.get_input_details()
            self.call = lambda batch: sorted(signature(**{name: batch}).items())[0][1]
        else:
            import openvino

            core = openvino.Core()
            model = core.read_model(str(path))
            known = model.has_rt_info(['openseg_plugin'])
            text = model.get_rt_info(['openseg_plugin']).astype(str) if known else None
            # said, or OpenVINO takes bfloat16 by itself on some processors
            hint = 'bf16' if json.loads(text or '{}').get('precision') == 'bf16' else 'f32'
            compiled = core.compile_model(model, 'CPU', {'INFERENCE_PRECISION_HINT': hint})
            self.call = lambda batch: np.array(compiled(batch)[compiled.outputs[0]])
        if not text:
            raise ValueError('it has no metadata "openseg_plugin"')
        self.about = json.loads(text)
        classes, is_scores = len(self.about['classes']), 'labels' not in self.about['output']
        self.depth = 1 if is_scores and self.about['threshold'] is not None else max(2, classes)
        self.dtype = np.uint8 if classes <= 256 else np.uint16
        self.grid = 1 if self.about['size'] else GRID
        self.channels = self.about.get('image_channels', 3)
        if self.channels not in (1, 3):
            sys.exit(f'error: {path} takes {self.channels} channels: run it with "openseg predict"')

    def scores(self, image: np.ndarray) -> np.ndarray:
        """Probabilities (depth, H, W), or labels (H, W), of an image (H, W, C) uint8, red first."""
        output = self.joined(image) if self.about.get('window') else self.run(image)
        if self.about['output'] != 'logits':
            return output
        if len(output) == 1:
            return 0.5 * (1 + np.tanh(0.5 * output))  # the sigmoid, without overflow
        powers = np.exp(output - output.max(axis=0))
        return powers / powers.sum(axis=0)

    def joined(self, image: np.ndarray) -> np.ndarray:
        """Mean logits of the windows, placed as in MMSegmentation: the last is moved inside."""
        size, window, stride = image.shape[:2], self.about['window'], self.about['stride']
        sums = np.zeros((self.depth + 1, *size), np.float32)  # and the number of windows
        last = [max(side - part, 0) for side, part in zip(size, window)]
        firsts = itertools.product(*(range(0, n + step, step) for n, step in zip(last, stride)))
        for top, left in (map(min, first, last) for first in firsts):
            part = sums[:, top : top + window[0], left : left + window[1]]
            part[:-1] += self.run(image[top : top + window[0], left : left + window[1]])
            part[-1] += 1
        return sums[:-1] / sums[-1]

    def run(self, image: np.ndarray) -> np.ndarray:
        """The first output for an image or a part of it."""
        about, (height, width) = self.about, image.shape[:2]
        rows, columns = about['size'] or [max(n, about['smallest']) for n in (height, width)]
        if (rows, columns) != (height, width):
            wanted = f'{rows}x{columns}' + ('' if about['size'] else ' or more')
            raise ValueError(f'it has {height}x{width} pixels, the model takes {wanted}')
        if about['channels'] == 'bgr':
            image = image[:, :, ::-1]
        image = image if about['layout'] == 'uint8-nhwc' else image.transpose(2, 0, 1)
        kind = np.float32 if about['layout'] == 'float-nchw' else np.uint8
        batch = np.repeat(image[None].astype(kind), about['batch'] or 1, axis=0)
        return self.call(np.ascontiguousarray(batch))[0]

    def labels(self, scores: np.ndarray) -> np.ndarray:
        """(H, W) uint8, or uint16 beyond 256 classes, of what :meth:`scores` gives."""
        if scores.ndim == 3 and len(scores) > 1:
            scores = scores.argmax(axis=0)
        elif scores.ndim == 3:
            scores = scores[0] > (self.about['threshold'] or 0.5)
        return scores.astype(self.dtype)


def starts_of(side: int, tile: int, overlap: int, grid: int) -> list[int]:
    """First pixels of tiles along a side, spread evenly; the last may be a little shorter."""
    last = -(-max(0, side - tile) // grid) * grid
    steps = -(-last // max(grid, tile - overlap))
    return [last * number // max(steps, 1) // grid * grid for number in range(steps + 1)]


def ramp(start: int, end: int, side: int, overlap: int) -> np.ndarray:
    """Weights of pixels start..end of a side: 1 inside, rising and falling at neighbors."""
    place = (np.arange(end - start) + 0.5) / (overlap or 1e-3)
    inside = (2 * place - 0.5).clip(0, 1)  # the outer quarter of the overlap does not count
    rise = (np.sin(inside * np.pi / 2) ** 2).clip(1e-6).astype(np.float32)
    ones = np.ones_like(rise)
    return (rise if start > 0 else ones) * (rise[::-1] if end < side else ones)


def predict(model: Model, image: np.ndarray, tile: list[int] | None, overlap: int) -> np.ndarray:
    """Labels (H, W) of an image (H, W, C), in tiles (rows, columns) or, with None, in one piece."""
    height, width = image.shape[:2]
    if tile is None or (height <= tile[0] and width <= tile[1]):
        return model.labels(model.scores(image))
    labels = np.empty((height, width), model.dtype)
    above = np.zeros((model.depth + 1, 0, width), np.float32)  # shared with the tiles above
    tops = starts_of(height, tile[0], overlap, model.grid)
    for top, next_top in zip(tops, [*tops[1:], height]):
        bottom = min(height, top + tile[0])
        sums = np.zeros((model.depth + 1, bottom - top, width), np.float32)
        sums[:, : above.shape[1]] = above
        for left in starts_of(width, tile[1], overlap, model.grid):
            right = min(width, left + tile[1])
            scores = model.scores(image[top:bottom, left:right])
            if scores.ndim == 2:  # labels vote
                scores = scores == np.arange(model.depth)[:, None, None]
            weight = np.outer(ramp(top, bottom, height, overlap), ramp(left, right, width, overlap))
            sums[:-1, :, left:right] += scores * weight
            sums[-1, :, left:right] += weight
        done, above = np.split(sums, [next_top - top], axis=1)
        labels[top:next_top] = model.labels(done[:-1] / done[-1])
    return labels


def files_of(sources: list[Path], out: Path) -> dict[Path, Path]:
    """The image of each label map that is written; exits where there are none, or names clash."""
    found: dict[Path, Path] = {}
    for source in sources:
        if not source.exists():
            sys.exit(f'error: {source} does not exist')
        root, inside = source.parent, [source]
        if source.is_dir():
            if out.resolve().is_relative_to(source.resolve()):
                sys.exit(f'error: --out {out} lies in {source}, whose images are read: move it')
            root, named = source, source.rglob('[!.]*')
            inside = sorted(path for path in named if path.suffix.lower() in SUFFIXES)
        for path in inside:
            target = out / path.relative_to(root).with_suffix('.png')
            other = found.setdefault(target, path)
            if other.resolve() != path.resolve():
                sys.exit(f'error: {path} and {other} would both be {target}: rename one of them')
    if not found:
        sys.exit(f'error: no images ({", ".join(SUFFIXES)}) in {", ".join(map(str, sources))}')
    taken = {path.resolve() for path in found.values()}
    for path in (*found, *(one.with_name(f'{one.stem}_overlay.jpg') for one in found)):
        if path.resolve() in taken:
            sys.exit(f'error: {path} is an image that is read: give another --out')
    return found


def read(path: Path, mode: str) -> np.ndarray:
    """An image (H, W, C) uint8 of mode 'L' or 'RGB', turned as its EXIF data say."""
    with Image.open(path) as opened:
        if opened.mode[0] in 'IF' or opened.mode == 'CMYK':  # Pillow would cut values, or guess
            raise ValueError(f'its pixels are of mode {opened.mode}: save it as 8-bit gray or RGB')
        return np.atleast_3d(np.asarray(ImageOps.exif_transpose(opened).convert(mode)))


def save(labels: np.ndarray, image: np.ndarray, model: Model, path: Path, overlay: bool) -> None:
    """The label map, up to 256 classes with its palette, and the overlay beside it."""
    palette = np.array([*(model.about['palette'] or []), *[[0, 0, 0]] * 256], np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        drawn.putpalette(palette[:256].tobytes())
    drawn.save(path)
    if overlay:
        mixed = (0.5 * image + 0.5 * palette[labels]).round().astype(np.uint8)
        Image.fromarray(mixed).save(path.with_name(f'{path.stem}_overlay.jpg'), quality=90)


def open_model(given: Path | None) -> Model:
    """The model that was named, or the only one beside this script; exits where there is none."""
    here = Path(__file__).resolve().parent
    beside = [given] if given else sorted(here.iterdir())
    found = [path for path in beside if path.suffix in MODELS and path.is_file()]
    if len(found) != 1:
        sys.exit(f'error: {given or here} holds {len(found)} models: name one with --model')
    try:
        return Model(found[0])
    except ImportError as error:
        sys.exit(f'error: {found[0]} needs a package: pip install {str(error.name).split(".")[0]}')
    except Exception as error:  # every runtime has errors of its own
        text = ' '.join(str(error).split())[:200]
        sys.exit(f'error: {found[0]} cannot be run ({text}): give a whole file of "openseg export"')


def main() -> None:
    """Labels all images; the status is 1 where some could not be."""
    parser = argparse.ArgumentParser(description='Label images with an exported model.')
    parser.add_argument('sources', nargs='+', type=Path, metavar='IMAGE_OR_FOLDER')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR')
    parser.add_argument('--model', type=Path, help='default: the only model beside this script')
    parser.add_argument('--overlay', action='store_true')
    parser.add_argument('--tile', type=int, default=0, metavar='PX', help='0: images in one piece')
    parser.add_argument('--overlap', type=int, metavar='PX', help='default: an eighth of a tile')
    args = parser.parse_args()
    if args.tile and (args.tile < 64 or not 0 <= (args.overlap or 0) <= args.tile // 2):
        sys.exit('error: give --tile of 64 pixels or more, and --overlap of up to half of it')
    model, images = open_model(args.model), files_of(args.sources, args.out)
    tile = (model.about['size'] or [-(-args.tile // GRID) * GRID] * 2) if args.tile else None
    grid, half = model.grid, min(tile or [0]) // 2
    overlap = (half // 4 // grid * grid or grid) if args.overlap is None else args.overlap
    overlap = -(-min(overlap, half) // grid) * grid
    failed, pixels, began = [], 0, time.perf_counter()
    for target, path in images.items():
        try:
            image = read(path, 'L' if model.channels == 1 else 'RGB')
            labels = predict(model, image, tile, overlap)
            save(labels, image, model, target, args.overlay)
            pixels += labels.size
        except Exception as error:  # whatever one image brings about, the others go on
            failed.append(f'failed: {path}: {" ".join(str(error).split())[:200] or error!r}')
    speed = pixels / 1e6 / (time.perf_counter() - began)
    print(f'{len(images) - len(failed)} images in {args.out}, {speed:.2f} MPixel/s')
    sys.exit('\n'.join(failed) or 0)


if __name__ == '__main__':
    main()
