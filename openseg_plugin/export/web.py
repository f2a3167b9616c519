"""A page that runs an exported file in the browser: static files, no server, no network.

ONNX Runtime Web computes; its files are put beside the page once, from the npm package
``onnxruntime-web``. The page and :mod:`openseg_plugin.inference.server` share all files but the
runtime and the model: ``metadata.json`` says who computes.

====================  =======================================================
``index.html``        the page; ``assets/`` its script, worker and style
``metadata.json``     classes, palette, and what is known of each model
``models/``           ``fp32.onnx``, ``int8.onnx``: those that were exported
``ort/``              ONNX Runtime Web
====================  =======================================================
"""

import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from openseg_plugin import __version__
from openseg_plugin.errors import ConfigError, DataError, DependencyError
from openseg_plugin.export.metadata import Metadata
from openseg_plugin.report.page import asset, environment
from openseg_plugin.utils.files import parse_json, write_bytes, write_text

PACKAGE = 'onnxruntime-web@1.30'  # what was tested
_NEEDED = ('ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm')
_FOR_GPU = (
    'ort.webgpu.min.mjs',
    'ort-wasm-simd-threaded.asyncify.mjs',
    'ort-wasm-simd-threaded.asyncify.wasm',
)
_TYPES = {'.css': 'text/css', '.js': 'text/javascript'}
_KEPT = ('precision', 'layout', 'channels', 'output', 'size', 'batch', 'threshold', 'smallest')


def page_files(title: str) -> dict[str, tuple[bytes, str]]:
    """Files of the page: their names below its folder, contents and media types.

    Args:
        title: name of the model.
    """
    page = environment().get_template('app.html.jinja').render(title=title, version=__version__)
    files = {'index.html': (page.encode(), 'text/html; charset=utf-8')}
    for name in ('page.css', 'app.js', 'app_worker.js'):
        content = asset(name).encode()
        files[f'assets/{name}'] = (content, f'{_TYPES[Path(name).suffix]}; charset=utf-8')
    return files


def check_web(out: Path, folder: Path, metadata: Metadata | None = None) -> None:
    """Refuses what the page cannot run, before anything is written.

    Args:
        out: the exported file.
        folder: of the page.
        metadata: of the file; None: they are not known yet.

    Raises:
        ConfigError: it is no ONNX file, is no color model, or predicts by windows.
        DataError: the folder has the page of another model.
    """
    if out.suffix != '.onnx':
        raise ConfigError(f'--web: browsers run .onnx, not {out.suffix}: give such a file as OUT')
    if metadata is None:
        return
    if metadata.image_channels != 3:
        raise ConfigError(
            f'--web: this model takes {metadata.image_channels} channels, images of a browser have '
            '3: use openseg serve'
        )
    if metadata.window is not None:
        raise ConfigError(
            '--web: this model predicts by windows, which the page does not join: use openseg '
            'serve, or export with --cfg-options model.test_cfg.mode=whole'
        )
    _others(folder, metadata)


def write_web(model: Path, folder: Path, metadata: Metadata) -> Path:
    """Writes the page with a model, or adds one in another precision; returns the page.

    The runtime is put there by :func:`put_runtime`.

    Args:
        model: an ONNX file written by this package.
        folder: of the page; made if need be.
        metadata: of the file.

    Raises:
        ConfigError: the page cannot run such a model.
        DataError: the folder has the page of another model.
    """
    check_web(model, folder, metadata)
    others = _others(folder, metadata)
    target = folder / 'models' / f'{metadata.precision}.onnx'
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (target.exists() and target.samefile(model)):
        shutil.copyfile(model, target)
    entry: dict[str, Any] = {key: getattr(metadata, key) for key in _KEPT}
    entry.update(file=f'models/{target.name}', bytes=target.stat().st_size)
    title = folder.resolve().name
    about = {
        'name': title,
        'engine': 'browser',
        'classes': metadata.classes,
        'palette': metadata.palette,
        'checkpoint_sha256': metadata.checkpoint_sha256,
        'models': [entry, *others] if metadata.precision == 'fp32' else [*others, entry],
        'webgpu': all((folder / 'ort' / name).is_file() for name in _FOR_GPU),
        'version': __version__,
    }
    for name, (content, _) in page_files(title).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, content)
    write_text(folder / 'metadata.json', json.dumps(about, ensure_ascii=False))
    return folder / 'index.html'


def _others(folder: Path, metadata: Metadata) -> list[dict[str, Any]]:
    """Models of other precisions that are there already.

    Raises:
        DataError: they have other classes or weights.
    """
    try:
        about = parse_json((folder / 'metadata.json').read_text('utf-8'))
        same = (
            tuple(about['classes']) == metadata.classes
            and about['checkpoint_sha256'] == metadata.checkpoint_sha256
        )
        found = [one for one in about['models'] if one['precision'] != metadata.precision]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{folder / "metadata.json"} is damaged or of another program: give an empty folder'
        ) from error
    if not same and found:
        raise DataError(
            f'{folder} has the page of another model: give another folder, or remove this one'
        )
    return found


def put_runtime(folder: Path, given: Path | None) -> None:
    """Puts ONNX Runtime Web below the folder of a page.

    Args:
        folder: of the page.
        given: the npm package onnxruntime-web, packed or unpacked, or a folder with its files;
            None: those that are there already, else the package is fetched by npm.

    Raises:
        DataError: ``given`` lacks files.
        DependencyError: there is no npm, or it finds no package.
    """
    target = folder / 'ort'
    if given is None and all((target / name).is_file() for name in _NEEDED):
        return
    with tempfile.TemporaryDirectory() as temporary:
        source = _unpacked(given or _fetched(Path(temporary)), Path(temporary))
        lacking = [name for name in _NEEDED if not (source / name).is_file()]
        if lacking:
            raise DataError(
                f'--ort-web {given or source} lacks {", ".join(lacking)}: give the npm package '
                f'{PACKAGE}, packed or unpacked'
            )
        target.mkdir(parents=True, exist_ok=True)
        for name in (*_NEEDED, *_FOR_GPU):
            if (source / name).is_file():
                shutil.copyfile(source / name, target / name)


def _fetched(folder: Path) -> Path:
    """The package as npm packs it."""
    npm = shutil.which('npm')
    if npm is None:
        raise DependencyError(
            f'--web needs the files of {PACKAGE}: install npm, or give them with --ort-web DIR'
        )
    command = [npm, 'pack', PACKAGE, '--silent', '--pack-destination', str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    packed = sorted(folder.glob('*.tgz'))
    if done.returncode or not packed:
        last = (done.stderr.strip() or 'no reason given').splitlines()[-1]
        raise DependencyError(
            f'npm pack {PACKAGE} failed ({last}): give the files with --ort-web DIR'
        )
    return packed[-1]


def _unpacked(given: Path, temporary: Path) -> Path:
    """The folder with the files of a package, a folder of it, or an archive."""
    if given.is_file():
        try:
            with tarfile.open(given) as archive:
                for member in archive.getmembers():
                    name = Path(member.name).name
                    if member.isfile() and name in (*_NEEDED, *_FOR_GPU):
                        content = archive.extractfile(member)
                        assert content is not None, 'it is a file'
                        (temporary / name).write_bytes(content.read())
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DataError(f'--ort-web {given} is no archive of npm: {error}') from error
        return temporary
    if not given.is_dir():
        raise DataError(f'--ort-web {given} does not exist')
    places = (given, given / 'dist', given / 'package/dist', given / 'onnxruntime-web/dist')
    return next((one for one in places if (one / _NEEDED[0]).is_file()), given)
