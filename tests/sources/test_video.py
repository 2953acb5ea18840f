"""Videos against PyAV read directly, whole and damaged."""

import contextlib
import datetime
import random
from pathlib import Path
from typing import NoReturn, cast

import av
import numpy as np
import pytest
from streamproc.sources.video import Video

from streamproc.errors import FrameError, SourceError
from streamproc.frame import Array, Frame, Source, Unreadable
from streamproc.parameters import ParameterError, Parameters

STORED = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3)).astype(np.uint8)


def encode(
    path: Path,
    codec: str = "mpeg4",
    images: Array = STORED,
    pix_fmt: str = "yuv420p",
    **options: str,
) -> Path:
    with av.open(str(path), "w", options=options) as container:
        if "creation_time" in options:
            container.metadata["creation_time"] = options["creation_time"]
        stream = cast(av.VideoStream, container.add_stream(codec, rate=25))
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = pix_fmt
        for image in images:
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def decode(path: Path, form: str) -> Array:
    with av.open(str(path)) as container:
        return np.stack([p.to_ndarray(format=form) for p in container.decode(video=0)])


def items(path: Path, **options: object) -> tuple[list[Frame], list[str]]:
    source = Video(str(path), **options)
    got = list(source.frames())
    assert [item.source_index for item in got] == list(range(len(got)))
    good = [item for item in got if isinstance(item, Frame)]
    return good, [item.error for item in got if isinstance(item, Unreadable)]


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_it_is_a_source(tmp_path: Path) -> None:
    source = Video(str(encode(tmp_path / "a.mp4")))
    assert isinstance(source, Source)
    assert not source.info.random_access
    assert source.info.frames == 40
    assert source.info.fps == 25
    source.stop()
    source.close()
    with pytest.raises(FrameError, match="frame 3: a video is read in sequence"):
        source.read(3)


def test_the_constructor_is_the_definition() -> None:
    parameters = Parameters(Video, positional=True)
    assert parameters.first == "path"
    with pytest.raises(ParameterError, match="color must be one of"):
        parameters.check({"path": "a", "color": "blue"}, owner="video")


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.mov", "mjpeg", "yuvj420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.mkv", "ffv1", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.wmv", "wmv2", "yuv420p"),
    ],
)
def test_containers_as_pyav_reads_them(
    tmp_path: Path, name: str, codec: str, pix_fmt: str
) -> None:
    path = encode(tmp_path / name, codec, pix_fmt=pix_fmt)
    good, errors = items(path)
    assert errors == []
    assert np.array_equal([f.pixels for f in good], decode(path, "gray"))
    rgb = np.moveaxis(decode(path, "rgb24"), 3, 1)
    assert np.array_equal([f.pixels for f in items(path, color="rgb")[0]], rgb)
    green = [f.pixels for f in items(path, channel=1)[0]]
    assert np.array_equal(green, rgb[:, 1])
    assert green[0].flags.c_contiguous


def test_gray_of_more_than_8_bits(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", "ffv1", pix_fmt="gray16le")
    good, _ = items(path)
    assert good[0].pixels.dtype == np.uint16
    assert np.array_equal([f.pixels for f in good], decode(path, "gray16le"))


def test_start_skips_exactly(tmp_path: Path) -> None:
    source = Video(str(encode(tmp_path / "a.mp4")))
    every, some = list(source.frames()), list(source.frames(start=17))
    assert [f.source_index for f in some] == list(range(17, 40))
    assert np.array_equal([f.pixels for f in every[17:]], [f.pixels for f in some])
    assert list(source.frames(start=40)) == []


def test_times_are_the_containers(tmp_path: Path) -> None:
    good, _ = items(encode(tmp_path / "a.mp4"))
    assert [f.time for f in good] == pytest.approx(np.arange(40) / 25, abs=1e-9)
    path = encode(tmp_path / "b.mp4", creation_time="2024-05-06T07:08:09Z")
    begin = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC).timestamp()
    assert items(path)[0][1].time == pytest.approx(begin + 0.04, abs=1e-6)
    slow = Video(str(path), fps=2, pixel_size_um=1.5)
    assert slow.info.fps == 2
    assert slow.info.pixel_size_um == {"y": 1.5, "x": 1.5}


def test_a_clock_that_was_never_set(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", "ffv1", creation_time="1970-01-01T00:00:00Z")
    assert items(path)[0][0].time == 0.0


@pytest.mark.parametrize(
    ("name", "codec", "options", "message"),
    [
        ("a.mp4", "mpeg4", {"movflags": "faststart"}, r"of 40 announced frames"),
        ("a.avi", "mpeg4", {}, r"of 40 announced frames"),
        ("a.mkv", "ffv1", {}, r"of 1.600 announced seconds"),
    ],
)
def test_a_video_that_is_cut_off(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    codec: str,
    options: dict[str, str],
    message: str,
) -> None:
    path = encode(tmp_path / name, codec, STORED, "yuv420p", **options)
    whole = decode(path, "gray")
    good, errors = items(cut(path, 0.6))
    assert 15 < len(good) < 30
    assert all(np.array_equal(f.pixels, whole[f.source_index]) for f in good)
    assert "video ends early" in errors[-1]
    assert message in errors[-1]
    assert all(error.startswith(name) for error in errors)
    assert capfd.readouterr() == ("", "")


def test_packets_that_are_damaged(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", "mjpeg", pix_fmt="yuvj420p")
    whole = decode(path, "gray")
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[20]
    data = bytearray(path.read_bytes())
    data[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    path.write_bytes(data)
    good, errors = items(path)
    assert [f.source_index for f in good] == [i for i in range(40) if i != 20]
    assert all(np.array_equal(f.pixels, whole[f.source_index]) for f in good)
    assert len(errors) == 1
    assert errors[0].startswith("a.mp4, frame 20: ")


def test_damage_never_ends_in_another_error(tmp_path: Path) -> None:
    chance = random.Random(0)
    path = encode(tmp_path / "a.mp4", movflags="faststart")
    whole = path.read_bytes()
    for _ in range(20):
        data = bytearray(whole)
        for _ in range(30):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(SourceError):
            good, errors = items(path)
            assert len(good) + len(errors) >= 1


def test_a_video_without_its_index(tmp_path: Path) -> None:
    path = cut(encode(tmp_path / "a.mp4"), 0.5)
    with pytest.raises(SourceError, match=r"cannot be opened as a video: .*complete\?"):
        Video(str(path))


def test_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        Video(str(tmp_path / "missing.mp4"))
    with pytest.raises(SourceError, match="is a folder; a video is one file"):
        Video(str(tmp_path))
    (tmp_path / "a.mp4").write_text("hello")
    with pytest.raises(SourceError, match="cannot be opened as a video"):
        Video(str(tmp_path / "a.mp4"))
    with pytest.raises(SourceError, match="has the channels 0, 1 and 2, got 3"):
        Video(str(tmp_path / "a.mp4"), channel=3)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    path = encode(tmp_path / "a.mp4")
    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(SourceError, match="no permission to read"):
        Video(str(path))


def test_sound_only(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(SourceError, match="has no video stream"):
        Video(str(tmp_path / "a.mkv"))


def test_no_frame_at_all(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", "ffv1")
    with av.open(str(path)) as container:
        first = next(container.demux(video=0)).pos
    path.write_bytes(path.read_bytes()[:first])
    with pytest.raises(SourceError, match="has no frame that can be decoded"):
        Video(str(path))


def test_a_size_that_changes(tmp_path: Path) -> None:
    small = STORED[:, :32, :32]
    for name, images in (("a.mpg", STORED), ("b.mpg", np.ascontiguousarray(small))):
        encode(tmp_path / name, "mpeg2video", images)
    joined = tmp_path / "c.mpg"
    joined.write_bytes(
        (tmp_path / "a.mpg").read_bytes() + (tmp_path / "b.mpg").read_bytes()
    )
    with pytest.raises(SourceError, match=r"frames change shape: frame \d+ of c\.mpg"):
        list(Video(str(joined)).frames())


def test_identity_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    one = encode(tmp_path / "a.mp4")
    (tmp_path / "b" / "a.mp4").write_bytes(one.read_bytes())
    same = Video(str(tmp_path / "b" / "a.mp4")).info.identity
    assert Video(str(one)).info.identity == same
    assert Video(str(one), color="rgb").info.identity != same


def test_bulk_water(data: Path) -> None:
    folder = data / "pims_formats"
    source = Video(str(folder / "bulk-water.mov"), color="rgb")
    assert source.info.frames == 480
    assert source.info.axes == "cyx"
    assert source.info.fps == pytest.approx(24000 / 1001)
    frames = list(source.frames())
    assert len(frames) == 480
    assert all(isinstance(frame, Frame) for frame in frames)
    for index in (0, 1):
        expected = np.load(folder / f"bulk-water_frame{index}.npy")
        assert np.array_equal(frames[index].pixels, np.moveaxis(expected, 2, 0))
    assert frames[480 - 1].time - frames[0].time == pytest.approx(479 * 1001 / 24000)


def test_spiders(data: Path) -> None:
    source = Video(str(data / "tracktor_spider" / "spider_video.mp4"))
    assert (source.info.frames, source.info.shape) == (2352, (1080, 1920))
    assert source.info.fps == 60
    frames = [f for f in source.frames(start=2200) if isinstance(f, Frame)]
    assert len(frames) == 152
    last = frames[-1]
    assert last.time == pytest.approx(2351 / 60)
