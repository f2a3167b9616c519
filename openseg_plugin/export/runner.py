"""Label images with an exported model. Needs numpy, Pillow and the model's own runtime alone:
onnxruntime for .onnx, openvino for .xml, ai-edge-litert for .tflite.

    python run.py IMAGE_OR_FOLDER ... --out DIR [--overlay] [--tile 1024 --overlap 128]

Writes one PNG of class numbers with a palette for each image; with --overlay also the image with
the classes drawn over it. Large images go in overlapping tiles whose scores are blended without a
seam, which needs a model exported with --output probabilities or logits; with labels the tiles are
cut at the middle of their overlap.
"""

import argparse
import json
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')


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
            self.call = lambda batch: min(
                signature(**{name: batch}).items(), key=lambda one: one[0]
            )[1]
        else:
            import openvino

            core = openvino.Core()
            model = core.read_model(str(path))
            known = model.has_rt_info(['openseg_plugin'])
            text = model.get_rt_info(['openseg_plugin']).astype(str) if known else None
            # said, or OpenVINO takes bfloat16 by itself on some processors
            is_bf16 = json.loads(text or '{}').get('precision') == 'bf16'
            settings = {'INFERENCE_PRECISION_HINT': 'bf16' if is_bf16 else 'f32'}
            compiled = core.compile_model(model, 'CPU', settings)
            self.call = lambda batch: np.array(compiled(batch)[compiled.outputs[0]])
        if not text:
            sys.exit(f'error: {path} has no metadata "openseg_plugin": export it again')
        self.about = json.loads(text)

    def scores_or_labels(self, image: np.ndarray) -> np.ndarray:
        """(K, H, W) probabilities, or (H, W) labels, of an RGB image (H, W, 3) uint8."""
        size = self.about['size']
        if size and list(image.shape[:2]) != list(size):
            sys.exit(f'error: this model takes {size[0]}x{size[1]} pixels, got {image.shape[:2]}')
        smallest = self.about.get('smallest', 1)
        if not size and min(image.shape[:2]) < smallest:
            sys.exit(f'error: this model takes sides of {smallest} pixels or more')
        if self.about['channels'] == 'bgr':
            image = image[:, :, ::-1]
        batch = np.ascontiguousarray(image[None])
        if self.about['layout'] != 'uint8-nhwc':
            batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        if self.about['layout'] == 'float-nchw':
            batch = batch.astype(np.float32)
        output = self.call(np.repeat(batch, self.about['batch'] or 1, axis=0))[0]
        if self.about['output'] == 'logits':
            output = sigmoid(output) if len(output) == 1 else softmax(output)
        return output

    def labels(self, scores: np.ndarray) -> np.ndarray:
        """(H, W) uint8 or int32 classes of what :meth:`scores_or_labels` gave."""
        if scores.ndim == 2:
            return scores
        if len(scores) == 1:
            return (scores[0] > (self.about['threshold'] or 0.5)).astype(np.uint8)
        return scores.argmax(axis=0).astype(np.uint8 if len(scores) <= 256 else np.int32)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-values))


def softmax(values: np.ndarray) -> np.ndarray:
    """Over the first axis."""
    powers = np.exp(values - values.max(axis=0))
    return powers / powers.sum(axis=0)


def starts(side: int, tile: int, overlap: int) -> list[int]:
    """First pixels of tiles that cover a side; the last one ends with it."""
    if side <= tile:
        return [0]
    return [*range(0, side - tile, tile - overlap), side - tile]


def ramp(length: int, overlap: int) -> np.ndarray:
    """Weights of a tile along one side: rising over the overlap, 1 in the middle, falling."""
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
    return np.clip(distance / (overlap + 1), None, 1.0).astype(np.float32)


def predict(model: Model, image: np.ndarray, *, tile: int, overlap: int) -> np.ndarray:
    """Labels (H, W) of an RGB image (H, W, 3); tile 0: in one piece."""
    height, width = image.shape[:2]
    if not tile or (height <= tile and width <= tile):
        return model.labels(model.scores_or_labels(image))
    total: np.ndarray | None = None
    weights = np.zeros((height, width))
    for top in starts(height, tile, overlap):
        for left in starts(width, tile, overlap):
            part = image[top : top + tile, left : left + tile]
            scores = model.scores_or_labels(part)
            place = (slice(top, top + part.shape[0]), slice(left, left + part.shape[1]))
            weight = np.outer(ramp(part.shape[0], overlap), ramp(part.shape[1], overlap))
            if total is None:
                shape = (height, width) if scores.ndim == 2 else (len(scores), height, width)
                total = np.zeros(shape, scores.dtype)
            if scores.ndim == 3:
                total[:, place[0], place[1]] += scores * weight
            else:  # labels cannot be blended: the tile whose middle is nearest decides
                nearer = weight > weights[place]
                total[place][nearer] = scores[nearer]
                weights[place] = np.maximum(weight, weights[place])
    assert total is not None
    return model.labels(total)


def files_of(sources: list[Path]) -> list[tuple[Path, Path]]:
    """(file, its name below the output folder) of all images; exits where there are none."""
    found = []
    for source in sources:
        if source.is_dir():
            inside = sorted(p for p in source.rglob('*') if p.suffix.lower() in SUFFIXES)
            found += [(path, path.relative_to(source)) for path in inside]
        elif source.is_file():
            found.append((source, Path(source.name)))
        else:
            sys.exit(f'error: {source} does not exist')
    if not found:
        sys.exit(f'error: no images ({", ".join(SUFFIXES)}) in {", ".join(map(str, sources))}')
    return found


def save(labels: np.ndarray, image: np.ndarray, model: Model, path: Path, overlay: bool) -> None:
    """The label map with its palette, and the overlay beside it."""
    palette = np.zeros((256, 3), np.uint8)
    colors = np.array(model.about['palette'] or [[0, 0, 0]], np.uint8)[:256]
    palette[: len(colors)] = colors
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        drawn.putpalette(palette.tobytes())
    drawn.save(path)
    if overlay and labels.dtype == np.uint8:
        mixed = (0.5 * image + 0.5 * palette[labels]).round().astype(np.uint8)
        Image.fromarray(mixed).save(path.with_name(f'{path.stem}_overlay.jpg'), quality=90)


def main() -> int:
    """Labels all images; 1 where some could not be read."""
    parser = argparse.ArgumentParser(description='Label images with an exported model.')
    parser.add_argument('sources', nargs='+', type=Path, metavar='IMAGE_OR_FOLDER')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR')
    parser.add_argument('--model', type=Path, help='default: the only model beside this script')
    parser.add_argument('--overlay', action='store_true')
    parser.add_argument('--tile', type=int, default=0, metavar='PX', help='0: images in one piece')
    parser.add_argument('--overlap', type=int, default=128, metavar='PX')
    args = parser.parse_args()
    if args.tile and not 0 <= args.overlap < args.tile:
        sys.exit(f'error: --overlap {args.overlap} must be smaller than --tile {args.tile}')
    here = Path(__file__).resolve().parent
    beside = [p for p in sorted(here.iterdir()) if p.suffix in ('.onnx', '.xml', '.tflite')]
    if args.model is None and len(beside) != 1:
        sys.exit(f'error: {here} holds {len(beside)} models: name one with --model')
    model = Model(args.model or beside[0])
    failed, pixels, began = [], 0, time.perf_counter()
    images = files_of(args.sources)
    for path, name in images:
        try:
            with Image.open(path) as opened:
                image = np.asarray(ImageOps.exif_transpose(opened).convert('RGB'))
        except OSError as error:
            failed.append(f'{path}: {error}')
            continue
        labels = predict(model, image, tile=args.tile, overlap=args.overlap)
        save(labels, image, model, args.out / name.with_suffix('.png'), args.overlay)
        pixels += labels.size
    seconds = time.perf_counter() - began
    print(
        f'{len(images) - len(failed)} images in {args.out}, {pixels / 1e6 / seconds:.2f} MPixel/s'
    )
    for line in failed:
        print(f'failed: {line}', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
