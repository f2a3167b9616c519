"""inference/video.py and openseg predict: frames and rate are kept; what is there can be played."""

import signal
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_run import environment
from toy_test_set import write_test_set

from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main
from openseg_plugin.errors import DataError
from openseg_plugin.inference import video

av = pytest.importorskip('av')
SECONDS = 120  # nothing may hang
FRAMES, RATE = 11, Fraction(30000, 1001)


def write_video(path: Path, *, frames: int = FRAMES, size: tuple[int, int] = (36, 49)) -> Path:
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 255, (3, 4, 3), dtype=np.uint8)
    image = blocks.repeat(12, 0).repeat(13, 1)[: size[0], : size[1]]
    with video.VideoWriter(path, RATE) as writer:
        for k in range(frames):
            writer.write(np.roll(image, 2 * k, axis=1))
    return path


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    return write_test_set(tmp_path_factory.mktemp('toy'), number=1)


def predict(*arguments: object) -> int:
    return run(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize('options', [[], ['--every', '4'], ['--side-by-side']], ids=str)
def test_frames_and_rate_are_kept(toy, tmp_path, options):
    source = write_video(tmp_path / 'drive.mp4')
    out = tmp_path / 'out'
    assert predict(*toy, source, '--out', out, *options) == 0
    assert [path.name for path in out.glob('*.mp4')] == ['drive.mp4']
    with av.open(str(out / 'drive.mp4')) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == 'h264'
        assert stream.average_rate == RATE
        shapes = {frame.to_ndarray(format='rgb24').shape for frame in container.decode(stream)}
    assert shapes == {(36, 100 if options == ['--side-by-side'] else 50, 3)}
    assert sum(1 for _ in video.frames_of(str(out / 'drive.mp4'))) == FRAMES


def test_frames_are_turned_as_the_file_says(toy, tmp_path):
    path = write_video(tmp_path / 'upright.mp4', frames=2)
    if not hasattr(av.VideoFrame, 'rotation'):
        pytest.skip('this PyAV does not say it')
    content = bytearray(path.read_bytes())
    matrix = content.index(b'tkhd') + 4 + 40  # version 0: flags, times, ids, places before it
    turn = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)  # a quarter, clockwise
    content[matrix : matrix + 36] = struct.pack('>9i', *turn)
    path.write_bytes(content)
    turned, stored = (next(video.frames_of(str(path), as_stored=one)) for one in (False, True))
    assert np.array_equal(turned, np.rot90(stored, -1))
    for options, size in (([], (36, 50)), (['--ignore-exif'], (50, 36))):
        out = tmp_path / f'out{len(options)}'
        assert predict(*toy, path, '--out', out, *options) == 0
        assert next(video.frames_of(str(out / 'upright.mp4'))).shape[1::-1] == size


def test_labels_of_the_frames_on_request(toy, tmp_path, capsys):
    source = write_video(tmp_path / 'drive.mp4', frames=3)
    out = tmp_path / 'out'
    assert predict(*toy, source, '--out', out, '--save', 'labels') == 0
    files = sorted((out / 'drive').iterdir())
    assert [path.name for path in files] == ['000000.png', '000001.png', '000002.png']
    assert np.asarray(Image.open(files[0])).shape == (36, 50)
    assert predict(*toy, source, '--out', out, '--save', 'labels') == 0  # nothing is left to do
    assert 'were done before' in capsys.readouterr().out


def test_labels_that_are_asked_for_later_are_written(toy, tmp_path, capsys):
    source = write_video(tmp_path / 'drive.mp4', frames=3)
    command = [*toy, source, '--out', tmp_path / 'out']
    assert predict(*command) == 0
    labels = tmp_path / 'out/drive'
    for missing in (3, 1):
        time.sleep(0.05)  # a clock tick of the file system is long
        for path in sorted(labels.glob('*.png'))[-missing:]:
            path.unlink()  # as after a run that was ended, whose video is an older one
        assert predict(*command, '--save', 'labels') == 0
        assert '3 predicted' in capsys.readouterr().out
        assert len(list(labels.iterdir())) == 3
    assert predict(*command) == 0
    assert '1 were done before' in capsys.readouterr().out


def test_kinds_of_images_are_refused_for_videos(toy, tmp_path, capsys):
    source = write_video(tmp_path / 'drive.mp4', frames=3)
    command = [*toy, source, '--out', tmp_path / 'out', '--save', 'labels']
    assert predict(*command, 'polygons', 'colored') == 2
    assert f'--save polygons colored is for images, and {source} is a' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
    assert predict(*command, 'overlay') == 0


def test_what_was_written_before_a_kill_can_be_played(tmp_path):
    path = tmp_path / 'part.mp4'
    writer = video.VideoWriter(path, RATE)
    for k in range(120):
        writer.write(np.full((64, 64, 3), k, np.uint8))
    kept = tmp_path / 'kept.mp4'
    kept.write_bytes(path.read_bytes())  # as after SIGKILL: nothing was closed
    assert sum(1 for _ in video.frames_of(str(kept))) > 20


def test_a_run_that_is_ended_leaves_a_video_that_can_be_played(toy, tmp_path):
    source = write_video(tmp_path / 'drive.mp4', frames=900)
    out = tmp_path / 'out'
    verb = [sys.executable, '-m', 'openseg_plugin', 'predict', *map(str, toy), str(source)]
    for number in (signal.SIGINT, signal.SIGKILL):
        part = out / str(number) / 'drive.part.mp4'
        run = subprocess.Popen(
            [*verb, '--out', str(part.parent)], env=environment(), stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and run.poll() is None:
            if part.is_file() and part.stat().st_size > 20_000:
                break
            time.sleep(0.02)
        run.send_signal(number)
        said = run.communicate(timeout=SECONDS)[1]
        assert run.returncode == (130 if number == signal.SIGINT else -9), said
        assert 'Traceback' not in said
        assert 0 < sum(1 for _ in video.frames_of(str(part))) < 900
        assert not (part.parent / 'drive.mp4').exists()


def test_frames_are_decoded_ahead_and_their_errors_arrive():
    def frames():
        yield from (np.full((2, 2, 3), k, np.uint8) for k in range(9))
        raise DataError('breaks off')

    taken = []
    with pytest.raises(DataError, match='breaks off'):
        for frame in video.read_ahead(frames()):
            taken.append(int(frame[0, 0, 0]))
    assert taken == list(range(9))


def test_videos_that_cannot_be_read_are_named(toy, tmp_path, capsys):
    empty, damaged = tmp_path / 'empty.mp4', tmp_path / 'damaged.mp4'
    empty.write_bytes(b'')
    damaged.write_bytes(b'not a video' * 100)
    assert predict(*toy, empty, damaged, '--out', tmp_path / 'out') == 1
    said = capsys.readouterr().err
    assert 'empty.mp4 is an empty file' in said and 'damaged.mp4' in said
    assert not list((tmp_path / 'out').glob('*.mp4'))
