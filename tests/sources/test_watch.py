"""A folder into which others write: each image once, whole, whatever they do."""

import errno
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from streamproc.sources import _arrivals
from streamproc.sources import watch as module
from streamproc.sources._paths import natural
from streamproc.sources._turn import Place, Turn, follows
from streamproc.sources.files import Files
from streamproc.sources.watch import Watch

import streamproc as sp
from streamproc.errors import ConfigError, SourceError
from streamproc.frame import Array, Receipt
from streamproc.signals import Signals
from streamproc.testing import SourceContract

Item = sp.Frame | sp.Unreadable | sp.Gap | sp.Notice
#: Seconds: a writer in these tests is quick.
QUICK: dict[str, Any] = {"settle": 0.02, "patience": 0.3, "stop_file": "STOP"}

both = pytest.mark.parametrize("polling", [False, True], ids=["notified", "polling"])


def image(value: int, shape: tuple[int, ...] = (16, 20)) -> Array:
    """Return an image that tells its number, and is not of one colour."""
    made = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) % 7
    made[..., 0, 0] = value
    return made


def write(
    folder: Path, name: str, value: int, shape: tuple[int, ...] = (16, 20)
) -> Path:
    """Write an image at once: TIFF or PNG."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, image(value, shape), photometric="minisblack")
    else:
        _, data = cv2.imencode(path.suffix, image(value, shape))
        path.write_bytes(data.tobytes())
    return path


def end(folder: Path) -> None:
    """Say that no more images come."""
    (folder / "STOP").touch()


def watch(folder: Path, **given: Any) -> Any:  # Watch: its types are the wheel's
    return Watch(str(folder), **{**QUICK, **given})


def values(items: Iterator[Item] | list[Item]) -> list[int]:
    """Return the numbers of the images."""
    return [
        int(i.pixels[..., 0, 0].ravel()[0]) for i in items if isinstance(i, sp.Frame)
    ]


def bad(items: list[Item]) -> dict[str, str]:
    """Return the errors by file."""
    found = [i for i in items if isinstance(i, sp.Unreadable)]
    assert len({i.metadata["file"] for i in found}) == len(found)
    return {i.metadata["file"]: i.error for i in found}


def notices(items: list[Item]) -> list[str]:
    return [i.message for i in items if isinstance(i, sp.Notice)]


def log_of(items: list[Item]) -> list[Receipt]:
    """Return what a raw log would have of them, its metadata through JSON."""
    import json

    return [
        Receipt(
            i.source_index,
            json.loads(json.dumps(dict(i.metadata))),
            i.error if isinstance(i, sp.Unreadable) else None,
        )
        for i in items
        if isinstance(i, sp.Frame | sp.Unreadable)
    ]


def fill(folder: Path, count: int = 5) -> Path:
    for n in range(count):
        write(folder, f"img{n}.tif", n)
    return folder


@both
class TestContract(SourceContract):
    """The engine can rely on it."""

    limit = 8

    @pytest.fixture(autouse=True)
    def _given(self, polling: bool) -> None:
        self.polling = polling

    def make(self, folder: Path) -> sp.Source:
        """Return a folder of five images, and no more to come."""
        if not (folder / "STOP").exists():
            fill(folder)
            end(folder)
        source: sp.Source = watch(folder, polling=self.polling)
        return source

    def make_damaged(self, folder: Path) -> sp.Source:
        """Return a folder with one that is cut off."""
        fill(folder)
        path = folder / "img2.tif"
        path.write_bytes(path.read_bytes()[:300])
        end(folder)
        source: sp.Source = watch(folder, polling=self.polling)
        return source


# what is read is what `files` reads


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_an_image_is_what_files_makes_of_it(tmp_path: Path, color: Any) -> None:
    rng = np.random.default_rng(0)
    for n in range(3):
        made = rng.integers(0, 255, (12, 14, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{n}.png"), made)
    end(tmp_path)
    files = Files(str(tmp_path / "*.png"), color=color, pixel_size_um=0.5)
    source = watch(tmp_path, color=color, pixel_size_um=0.5)
    info, other = source.info, files.info
    assert (info.shape, info.dtype, info.axes) == (other.shape, other.dtype, other.axes)
    assert info.pixel_size_um == other.pixel_size_um
    expected = [f.pixels for f in files.frames() if isinstance(f, sp.Frame)]
    got = [f.pixels for f in source.frames() if isinstance(f, sp.Frame)]
    assert np.array_equal(np.stack(got), np.stack(expected))


def test_a_tiff_of_several_frames(tmp_path: Path) -> None:
    stack = np.stack([[image(10 * t + c) for c in range(2)] for t in range(3)])
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        stack,
        photometric="minisblack",
        metadata={"axes": "TCYX", "Channel": {"Name": ["DAPI", "GFP"]}},
    )
    end(tmp_path)
    source = watch(tmp_path)
    assert (source.info.axes, source.info.channels) == ("cyx", ("DAPI", "GFP"))
    frames = [i for i in source.frames() if isinstance(i, sp.Frame)]
    assert np.array_equal(np.stack([f.pixels for f in frames]), stack)
    assert [f.metadata["page"] for f in frames] == [0, 1, 2]
    alone = watch(tmp_path, channel="GFP")
    assert values(alone.frames()) == [1, 11, 21]


def test_the_time_of_a_frame_is_that_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tif", 1)
    os.utime(path, ns=(0, 1_700_000_000_250_000_000))
    end(tmp_path)
    (frame,) = watch(tmp_path).frames()
    assert isinstance(frame, sp.Frame)
    assert frame.time == 1_700_000_000.25


# whole files only


@both
def test_files_are_read_when_they_are_whole(tmp_path: Path, polling: bool) -> None:
    """Each is written in pieces between two frames that are asked for."""
    write(tmp_path, "a0.tif", 0)
    items = watch(tmp_path, polling=polling, patience=30.0).frames()
    assert values([next(items)]) == [0]
    for n, suffix in enumerate((".tif", ".png", ".bmp", ".jpg"), 1):
        shape = (16, 20)
        whole = write(tmp_path / "made", f"m{suffix}", n % 256, shape).read_bytes()
        if suffix in (".bmp", ".jpg"):
            _, data = cv2.imencode(suffix, np.full(shape, n, np.uint8))
            whole = data.tobytes()
        half = tmp_path / f"half{n}{suffix}"
        half.write_bytes(whole[: len(whole) // 2])
        # one that is whole, and later: the first has settled by then
        write(tmp_path, f"b{n}.tif", 100 + n)
        assert values([next(items)]) == [100 + n]
        with half.open("ab") as file:
            file.write(whole[len(whole) // 2 :])
        item = next(items)
        told = (
            item.metadata["file"] if not isinstance(item, (sp.Notice, sp.Gap)) else ""
        )
        assert told == half.name
        assert isinstance(item, sp.Frame) == (suffix in (".tif", ".png"))
    end(tmp_path)
    assert list(items) == []


@both
def test_what_cannot_be_read_is_named_once(tmp_path: Path, polling: bool) -> None:
    fill(tmp_path, 2)
    whole = (tmp_path / "img0.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[:300])
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    write(tmp_path, "small.tif", 9, (8, 8))
    cv2.imwrite(str(tmp_path / "bytes.png"), np.zeros((16, 20), np.uint8))
    end(tmp_path)
    items = list(watch(tmp_path, polling=polling, pattern="*").frames())
    assert sorted(values(items)) == [0, 1]
    found = bad(items)
    assert sorted(found) == [
        "bytes.png", "cut.tif", "empty.tif", "small.tif", "text.png", "text.tif"
    ]  # fmt: skip
    assert "cut off" in found["cut.tif"]
    assert found["small.tif"] == (
        "small.tif is yx (8, 8) uint16, the first image was yx (16, 20) uint16"
    )
    assert "uint8" in found["bytes.png"]


def test_a_file_that_was_mended_is_taken_after_all(tmp_path: Path) -> None:
    write(tmp_path, "a.tif", 1)
    path = write(tmp_path, "b.tif", 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    frames = watch(tmp_path, patience=0.1).frames()
    items = [next(frames), next(frames)]
    assert (values(items), list(bad(items))) == ([1], ["b.tif"])
    path.write_bytes(whole[:320])  # still no image: nobody says so twice
    path.write_bytes(whole)
    end(tmp_path)
    assert values(frames) == [2]
    # a run that is resumed has named it, too
    path.write_bytes(whole[:300])
    again = watch(tmp_path)
    again.resumed(log_of(items))
    assert values(again.frames(2)) == []
    path.write_bytes(whole)
    again = watch(tmp_path)
    again.resumed(log_of(items))
    assert values(again.frames(2)) == [2]


def test_a_sidecar_says_that_a_file_is_whole(tmp_path: Path) -> None:
    for n in (1, 2):
        write(tmp_path, f"{n}.tif", n)
    (tmp_path / "1.tif.done").touch()
    items = watch(tmp_path, sidecar=".done", settle=60.0).frames()
    assert values([next(items)]) == [1]
    (tmp_path / "2.tif.done").touch()
    assert values([next(items)]) == [2]
    write(tmp_path, "3.tif", 3)
    end(tmp_path)
    assert list(items) == []  # 3 is not whole


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_file_that_is_locked_for_a_while(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    fill(tmp_path, 1)
    path = write(tmp_path, "locked.tif", 7)
    path.chmod(0)
    write(tmp_path, "closed.tif", 8).chmod(0)
    frames = watch(tmp_path, patience=5.0).frames()
    assert values([next(frames)]) == [0]
    path.chmod(0o600)
    assert values([next(frames)]) == [7]
    end(tmp_path)
    assert "no permission" in bad(list(frames))["closed.tif"]


def test_a_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Windows says while a writer keeps a file to itself."""
    fill(tmp_path, 2)
    end(tmp_path)
    source = watch(tmp_path, patience=30.0)
    opened: Any = os.open
    tries: list[Any] = []

    def sharing(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path).endswith("img1.tif") and len(tries) < 3:
            tries.append(path)
            raise PermissionError(13, "used by another process", str(path))
        return opened(path, *rest, **more)

    monkeypatch.setattr(os, "open", sharing)
    assert values(source.frames()) == [0, 1]
    assert len(tries) == 3


# once each


@both
def test_a_name_is_taken_once(tmp_path: Path, polling: bool) -> None:
    path = write(tmp_path, "a.tif", 1)
    frames = watch(tmp_path, polling=polling).frames()
    assert values([next(frames)]) == [1]
    write(tmp_path, "a.tif", 2)
    notice = next(frames)
    assert notices([notice]) == ["a.tif was written again; it is taken once"]
    write(tmp_path, "a.tif", 3)
    path.write_bytes(b"")
    path.unlink()
    write(tmp_path, "b.tif", 4)
    end(tmp_path)
    assert values(frames) == [4]


@both
def test_a_file_that_is_renamed_is_taken_once(tmp_path: Path, polling: bool) -> None:
    write(tmp_path, "a.tif", 1)
    frames = watch(tmp_path, polling=polling).frames()
    taken = [next(frames)]
    (tmp_path / "a.tif").rename(tmp_path / "b.tif")
    write(tmp_path, "c.tif", 1)  # the same pixels in another file
    end(tmp_path)
    rest = list(frames)
    assert notices(rest) == ["b.tif was taken under another name"]
    assert [i.metadata["file"] for i in rest if isinstance(i, sp.Frame)] == ["c.tif"]
    again = watch(tmp_path, polling=polling)
    again.resumed(log_of(taken + rest))
    assert values(again.frames(2)) == []


def test_a_name_on_the_disk_that_is_used_again_is_another_file(tmp_path: Path) -> None:
    """Number, size and time of a file may be those of one that is gone."""
    first = write(tmp_path, "a.tif", 1)
    os.utime(first, ns=(0, 10**18))
    frames = watch(tmp_path).frames()
    assert values([next(frames)]) == [1]
    with first.open("r+b") as file:  # the same number
        file.write(write(tmp_path / "made", "m.tif", 2).read_bytes())
    first.rename(tmp_path / "b.tif")
    os.utime(tmp_path / "b.tif", ns=(0, 10**18))
    end(tmp_path)
    assert values(frames) == [2]


def test_pages_that_a_tiff_gains_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"

    def append(*numbers: int) -> None:
        with tifffile.TiffWriter(path, append=path.exists()) as tiff:
            for n in numbers:
                tiff.write(image(n), photometric="minisblack", contiguous=False)

    append(0, 1)
    frames = watch(tmp_path).frames()
    items = [next(frames), next(frames)]
    append(2)
    items.append(next(frames))
    end(tmp_path)
    items += list(frames)
    assert values(items) == [0, 1, 2]
    # of the file, the log has two frames
    again = watch(tmp_path)
    again.resumed(log_of(items[:2]))
    assert values(again.frames(2)) == [2]
    again.resumed(log_of(items[:1]))
    assert values(again.frames(1)) == [1, 2]


# order


def test_files_in_the_order_of_t(tmp_path: Path) -> None:
    write(tmp_path, "A_t0.tif", 0)
    frames = watch(tmp_path, pattern="{well}_t{t:d}.tif", patience=60.0).frames()
    # 0 has nothing before it that anybody knows of, and 60 s to wait
    for n in (2, 1):
        write(tmp_path, f"A_t{n}.tif", n)
    end(tmp_path)
    items = list(frames)
    assert values(items) == [0, 1, 2]
    told = [i.metadata for i in items if isinstance(i, sp.Frame)]
    assert [(m["well"], m["t"], m["file"]) for m in told] == [
        ("A", n, f"A_t{n}.tif") for n in range(3)
    ]


def test_one_that_comes_late_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "img9.tif", 9)
    source = watch(tmp_path, order="name", patience=0.1)
    frames = source.frames()
    items = [next(frames)]
    write(tmp_path, "img10.tif", 10)
    items.append(next(frames))
    write(tmp_path, "img8.tif", 8)
    items.append(next(frames))
    end(tmp_path)
    assert values(items) == [9, 10, 8]
    assert "late" not in items[1].metadata
    assert items[2].metadata["late"] is True


def test_files_in_the_order_of_time(tmp_path: Path) -> None:
    for n, second in enumerate((30, 10, 20)):
        os.utime(write(tmp_path, f"{n}.tif", n), (second, second))
    end(tmp_path)
    assert values(watch(tmp_path, order="time").frames()) == [1, 2, 0]


@given(st.permutations(range(12)), st.integers(0, 11))
def test_whoever_waits_gets_his_turn(order: list[int], last: int) -> None:
    """Files that come before anybody gives up are given in order, once each."""
    turn: Turn[int] = Turn(1e9)
    turn.gone(Place((), natural(f"img{last}")))
    order.remove(last)
    given: list[int] = []
    for n in order:
        turn.put(n, Place((), natural(f"img{n}")))
        for item, place in turn.take(99, hurry=False):
            turn.gone(place)
            given.append(item)
    assert [n for n in given if n > last] == list(range(last + 1, 12))
    assert [n for n in given if n < last] == [n for n in order if n < last]
    assert len(turn) == 0


@pytest.mark.parametrize(
    ("before", "after", "does"),
    [
        ("img9.tif", "img10.tif", True),
        ("img009.tif", "img010.tif", True),
        ("a1b1", "a1b2", True),
        ("a1b9", "a2b0", False),
        ("img9.tif", "img11.tif", False),
        ("img9.tif", "pic10.tif", False),
        ("img9", "img9", False),
    ],
)
def test_what_follows(before: str, after: str, does: bool) -> None:
    assert follows(natural(before), natural(after)) is does


# planes of a frame in files of their own


def plane(folder: Path, t: int, c: str, value: int) -> Path:
    return write(folder, f"t{t}_{c}.tif", value)


def test_planes_are_stacked_as_files_does(tmp_path: Path) -> None:
    for t in range(3):
        for n, c in enumerate(("GFP", "DAPI")):
            plane(tmp_path, t, c, 10 * t + n)
    end(tmp_path)
    files = Files(str(tmp_path / "t{t:d}_{c}.tif"))
    source = watch(tmp_path, pattern="t{t:d}_{c}.tif")
    assert source.info.channels == files.info.channels == ("DAPI", "GFP")
    assert (source.info.shape, source.info.axes) == (files.info.shape, "cyx")
    expected = [f.pixels for f in files.frames() if isinstance(f, sp.Frame)]
    items = list(source.frames())
    got = [f.pixels for f in items if isinstance(f, sp.Frame)]
    assert np.array_equal(np.stack(got), np.stack(expected))
    assert [log.metadata["t"] for log in log_of(items)] == [0, 1, 2]
    again = watch(tmp_path, pattern="t{t:d}_{c}.tif")
    assert again.info.identity == source.info.identity
    again.resumed(log_of(items[:2]))
    assert values(again.frames(2)) == [21]


def test_a_frame_is_given_when_its_planes_are_there(tmp_path: Path) -> None:
    for c in ("a", "b"):
        plane(tmp_path, 0, c, 0)
    frames = watch(tmp_path, pattern="t{t:d}_{c}.tif", patience=0.5).frames()
    assert isinstance(next(frames), sp.Frame)
    plane(tmp_path, 1, "b", 1)
    missing = next(frames)
    assert isinstance(missing, sp.Unreadable)
    assert missing.error == "no file t1_a.tif"
    plane(tmp_path, 1, "a", 1)
    assert notices([next(frames)]) == ["t1_a.tif came after its frame was taken"]
    plane(tmp_path, 2, "z", 2)
    assert "t2_z.tif is no plane" in notices([next(frames)])[0]
    for c in ("b", "a"):
        plane(tmp_path, 3, c, 3)
    end(tmp_path)
    assert values(frames) == [3]


# which files count


def test_a_pattern_and_what_is_hidden(tmp_path: Path) -> None:
    for n, name in enumerate(
        ("a1.tif", "b1.tif", ".a2.tif", "a3.tif.tmp", "deep/a4.tif")
    ):
        path = write(tmp_path, name.removesuffix(".tmp"), n)
        path.rename(tmp_path / name)
    (tmp_path / "a5.tif").mkdir()
    end(tmp_path)
    assert values(watch(tmp_path, pattern="a*.tif").frames()) == [0]
    assert sorted(values(watch(tmp_path).frames())) == [0, 1]
    deep = watch(tmp_path, pattern="a*", recursive=True)
    assert sorted(values(deep.frames())) == [0, 4]
    within = watch(tmp_path, pattern="{day}/a{n:d}.tif", recursive=True)
    (frame,) = within.frames()
    assert isinstance(frame, sp.Frame)
    assert (frame.metadata["file"], frame.metadata["day"]) == ("deep/a4.tif", "deep")


@both
def test_folders_that_are_made_later(tmp_path: Path, polling: bool) -> None:
    fill(tmp_path, 1)
    if hasattr(os, "symlink") and sys.platform != "win32":
        (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    frames = watch(tmp_path, recursive=True, polling=polling).frames()
    assert values([next(frames)]) == [0]
    write(tmp_path, "µ-день/一/x.tif", 5)
    item = next(frames)
    assert isinstance(item, sp.Frame)
    assert item.metadata["file"] == "µ-день/一/x.tif"
    end(tmp_path)
    assert list(frames) == []


def test_only_what_comes_from_now_on(tmp_path: Path) -> None:
    for n in range(3):
        os.utime(write(tmp_path, f"old{n}.tif", n, (8, 8)), (10, 10))
    first: list[Watch] = []
    ready = threading.Event()

    def wait() -> None:
        first.append(watch(tmp_path, existing=False))
        ready.set()

    threading.Thread(target=wait).start()
    n = 3
    while not ready.wait(0.3):  # it must have looked at the old ones first
        write(tmp_path, f"new{n}.tif", n)
        n += 1
    assert first[0].info.shape == (16, 20)
    end(tmp_path)
    items = list(first[0].frames())
    came = values(items)
    assert came
    assert set(came) <= set(range(3, n))
    assert "were there before are left out" in notices(items)[0]
    write(tmp_path, "meanwhile.tif", 99)
    again = watch(tmp_path)
    # as it is once another image has come
    again._existing, again.info = False, first[0].info
    again.resumed(log_of(items))
    assert values(again.frames(len(came))) == [99]


# ends, and beginnings


def test_it_ends_when_nothing_changes_any_more(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    source = watch(tmp_path, stop_file=None, idle_timeout=0.3)
    assert values(source.frames()) == [0, 1, 2]


def test_the_first_image_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no image came into .* within 0\.2 s"):
        watch(tmp_path, first_timeout=0.2)
    write(tmp_path, "a.tif", 0).write_bytes(b"II*")
    with pytest.raises(SourceError, match=r"\(first_timeout\); .*a\.tif"):
        watch(tmp_path, first_timeout=0.4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_the_first_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Though a run's own handler only counts them."""
    look = _arrivals.Arrivals.look

    def raising(self: Any, **given: Any) -> Any:
        signal.raise_signal(number)
        return look(self, **given)

    monkeypatch.setattr(_arrivals.Arrivals, "look", raising)
    with Signals() as signals:
        handler = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt):
            watch(tmp_path, first_timeout=None)
        assert signals.count == 0
        assert signal.getsignal(number) == handler


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folder": "nowhere"}, "no such folder: nowhere"),
        ({"folder": "a.tif"}, "a.tif is a file; watch takes a folder"),
        ({"pattern": "*.doc"}, "unknown format '.doc' of the pattern"),
        ({"pattern": "img_{t:w}.tif"}, "has no field at '{t:w}'"),
        ({"move_to": "a.tif"}, "move_to: a.tif is a file; give a folder"),
        ({"channel": 3}, "channel must be from 0 to 0, got 3"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "a.tif", 0)
    with pytest.raises(SourceError, match=re.escape(message)):
        Watch(**{"folder": ".", "first_timeout": 1.0, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pattern": "day/*.tif"}, "names folders, which count with recursive: true"),
        ({"move_to": "."}, "is the folder that is watched"),
    ],
)
def test_what_contradicts_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        Watch(".", **given)


@both
def test_a_folder_that_goes_and_comes_back(
    tmp_path: Path, polling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_arrivals, "_SAME", 0.0)
    folder = fill(tmp_path / "drive", 1)
    frames = watch(folder, polling=polling).frames()
    assert values([next(frames)]) == [0]
    shutil.rmtree(folder)
    lost = next(frames)
    assert isinstance(lost, sp.Notice)
    assert (lost.kind, lost.level) == ("disconnect", "warning")
    write(folder, "img1.tif", 1)
    items = [next(frames), next(frames)]
    assert isinstance(items[0], sp.Notice)
    assert items[0].kind == "reconnect"
    assert values(items) == [1]
    write(folder, "img2.tif", 2)
    end(folder)
    assert values(frames) == [2]


def test_without_notifications_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system has no watches left, say."""
    from watchfiles import _rust_notify

    def refuse(*_: Any) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(_rust_notify, "RustNotify", refuse)
    fill(tmp_path, 2)
    end(tmp_path)
    items = list(watch(tmp_path).frames())
    assert values(items) == [0, 1]
    assert "file watch limit reached" in notices(items)[0]


def test_notifications_that_never_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a network drive, another computer's changes are no news."""
    monkeypatch.setattr(_arrivals, "SURE", 0.2)
    (tmp_path / "other").mkdir()
    fill(tmp_path, 1)
    source = watch(tmp_path)
    frames = source.frames()
    assert values([next(frames)]) == [0]
    source._arrivals._bell.close()
    from watchfiles._rust_notify import RustNotify

    deaf = RustNotify([str(tmp_path / "other")], False, False, 300, False, True)
    source._arrivals._bell = deaf
    write(tmp_path, "img1.tif", 1)
    assert values([next(frames)]) == [1]
    assert source._arrivals._is_polling


# moving away


def test_files_move_once_they_are_in_the_log(tmp_path: Path) -> None:
    folder, away = fill(tmp_path / "in", 3), tmp_path / "in" / "done"
    write(folder, "bad.tif", 0).write_bytes(b"no image")
    (away / "img2.tif").parent.mkdir()
    (away / "img2.tif").write_text("of another day")
    end(folder)
    source = watch(folder, move_to=str(away), recursive=True)
    taken: list[str] = []
    for item in source.frames():
        assert not (away / "img0.tif").exists() or taken[:1] == ["img0.tif"]
        if isinstance(item, sp.Notice):
            continue
        source.admitted(log_of([item]))
        taken.append(item.metadata["file"])
    source.close()
    assert taken == ["img0.tif", "img1.tif", "img2.tif", "bad.tif"]
    assert sorted(p.name for p in away.iterdir()) == [
        "img0.tif",
        "img1.tif",
        "img2.tif",
    ]
    assert (away / "img2.tif").read_text() == "of another day"
    assert sorted(p.name for p in folder.glob("*.tif")) == ["bad.tif", "img2.tif"]


def test_what_is_not_in_the_log_stays(tmp_path: Path) -> None:
    folder, away = fill(tmp_path / "in", 3), tmp_path / "away"
    end(folder)
    source = watch(folder, move_to=str(away))
    items = list(source.frames())
    source.admitted(log_of(items[:1]))
    source.close()
    assert [p.name for p in away.iterdir()] == ["img0.tif"]
    # killed before 1 was moved: the log has it, and it goes when the run is resumed
    again = watch(folder, move_to=str(away))
    again.resumed(log_of(items[:2]))
    assert values(again.frames(2)) == [2]
    assert sorted(p.name for p in away.iterdir()) == ["img0.tif", "img1.tif"]


@pytest.mark.parametrize("when", ["given", "admitted", "resumed"])
def test_a_file_that_was_renamed_moves_once_it_is_in_the_log(
    tmp_path: Path, when: str
) -> None:
    folder, away = fill(tmp_path / "in", 1), tmp_path / "away"
    source = watch(folder, move_to=str(away))
    frames = source.frames()
    taken = [next(frames)]
    if when == "admitted":
        source.admitted(log_of(taken))
    (folder / "img0.tif").rename(folder / "other.tif")
    if when == "resumed":
        frames.close()
        source = watch(folder, move_to=str(away))
        source.resumed(log_of(taken))
        frames = source.frames(1)
    end(folder)
    assert notices(list(frames)) == ["other.tif was taken under another name"]
    assert away.exists() == (when != "given")
    if when == "given":
        source.admitted(log_of(taken))
        source.close()
    assert [path.name for path in away.iterdir()] == ["other.tif"]


def test_a_file_that_was_renamed_twice_waits_for_the_log(tmp_path: Path) -> None:
    folder, away = fill(tmp_path / "in", 1), tmp_path / "away"
    source = watch(folder, move_to=str(away))
    frames = source.frames()
    taken = [next(frames)]
    (folder / "img0.tif").rename(folder / "second.tif")
    assert notices([next(frames)]) == ["second.tif was taken under another name"]
    (folder / "second.tif").rename(folder / "third.tif")
    end(folder)
    assert notices(list(frames)) == ["third.tif was taken under another name"]
    assert not away.exists()
    source.admitted(log_of(taken))
    source.close()
    assert [path.name for path in away.iterdir()] == ["third.tif"]


def test_the_rest_of_a_file_that_was_renamed_after_a_kill(tmp_path: Path) -> None:
    folder, away = tmp_path / "in", tmp_path / "away"
    folder.mkdir()
    stack = np.stack([image(n) for n in range(3)])
    tifffile.imwrite(folder / "a.tif", stack, photometric="minisblack")
    taken = [next(watch(folder, move_to=str(away)).frames())]
    (folder / "a.tif").rename(folder / "b.tif")
    end(folder)
    again = watch(folder, move_to=str(away))
    again.resumed(log_of(taken))
    rest = list(again.frames(1))
    assert values(rest) == [1, 2]
    assert notices(rest) == ["b.tif was taken under another name"]
    again.admitted(log_of(rest))
    again.close()
    assert [path.name for path in away.iterdir()] == ["b.tif"]
    last = watch(folder, move_to=str(away), **again.reopen)
    last.resumed(log_of(taken + rest))
    assert list(last.frames(3)) == []


def test_a_move_to_another_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, away = fill(tmp_path / "in", 1), tmp_path / "away"
    (folder / "img0.tif.done").touch()
    content = (folder / "img0.tif").read_bytes()
    end(folder)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", refuse)
    source = watch(folder, move_to=str(away), sidecar=".done")
    source.admitted([])
    items = list(source.frames())
    source.admitted(log_of(items))
    source.close()
    assert (away / "img0.tif").read_bytes() == content
    assert sorted(p.name for p in away.iterdir()) == ["img0.tif", "img0.tif.done"]
    assert sorted(p.name for p in folder.iterdir()) == ["STOP"]


# what is known before the first image


@pytest.mark.parametrize("pattern", [None, "t{t:d}_{c}.tif"])
def test_a_run_that_is_resumed_waits_for_no_image(
    tmp_path: Path, pattern: str | None
) -> None:
    for c in "ab":
        plane(tmp_path, 0, c, 1)
    end(tmp_path)
    source = watch(tmp_path, pattern=pattern)
    for path in tmp_path.glob("*.tif"):
        path.unlink()
    write(tmp_path, "odd.tif", 1, (3, 3))
    again = watch(tmp_path, pattern=pattern, **source.reopen)
    assert again.info.identity == source.info.identity
    assert again.info.channels == source.info.channels
    for c in "ab":
        plane(tmp_path, 1, c, 2)
    assert [i for i in again.frames() if isinstance(i, sp.Frame)]


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ({"shape": [4, 4]}, r"expect must be such as .* \(KeyError: 'dtype'\)"),
        ({"shape": [4, 4], "dtype": "pixels"}, "expect must be such as"),
        ({"shape": 4, "dtype": "uint8"}, "expect must be such as"),
        ({"shape": [4, 4], "dtype": "uint8", "axes": "cyx"}, "axes cyx do not fit"),
        ({"form": [4, 4]}, "expect has no 'form'"),
    ],
)
def test_what_is_expected_must_make_sense(
    tmp_path: Path, expect: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        watch(tmp_path, expect=expect)


def test_what_is_expected_is_what_the_first_image_tells(tmp_path: Path) -> None:
    expected = watch(tmp_path, expect={"shape": [16, 20], "dtype": "uint16"})
    write(tmp_path, "a.tif", 3)
    end(tmp_path)
    assert expected.info.identity == watch(tmp_path).info.identity
    assert values(expected.frames()) == [3]


def test_events_name_no_million_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_SAID", 3)
    fill(tmp_path, 6)
    frames = watch(tmp_path).frames()
    taken = [next(frames) for _ in range(6)]
    assert sorted(values(taken)) == list(range(6))
    for n in range(6):
        (tmp_path / f"img{n}.tif").rename(tmp_path / f"name\n{n}.tif")
    end(tmp_path)
    said = notices(list(frames))
    assert said[0] == "name 0.tif was taken under another name"
    assert len(said) == 4
    assert "no more are named" in said[3]


@both
def test_a_listing_that_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, polling: bool
) -> None:
    """A network that is gone in the middle of one."""
    fill(tmp_path, 1)
    frames = watch(tmp_path, polling=polling).frames()
    assert values([next(frames)]) == [0]
    scandir, broken = os.scandir, [OSError(5, "Input/output error")]

    def failing(path: Any) -> Any:
        if broken:
            raise broken.pop()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    monkeypatch.setattr(_arrivals, "SURE", 0.1)
    write(tmp_path, "img1.tif", 1)
    end(tmp_path)
    items = list(frames)
    assert values(items) == [1]
    assert not broken
    kinds = [i.kind for i in items if isinstance(i, sp.Notice)]
    assert kinds == ["disconnect", "reconnect"]


def test_a_folder_that_is_gone_for_good_is_idle(tmp_path: Path) -> None:
    folder = fill(tmp_path / "drive", 1)
    frames = watch(folder, stop_file=None, idle_timeout=0.7).frames()
    assert values([next(frames)]) == [0]
    shutil.rmtree(folder)
    (lost,) = frames
    assert isinstance(lost, sp.Notice)
    assert lost.kind == "disconnect"


def test_a_file_that_is_open_elsewhere_moves_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Windows says while a scanner looks at it."""
    folder, away = fill(tmp_path / "in", 1), tmp_path / "away"
    rename: Any = os.rename
    refused = [PermissionError(13, "used by another process")] * 3

    def busy(*paths: Any) -> None:
        if refused:
            raise refused.pop()
        rename(*paths)

    monkeypatch.setattr(os, "rename", busy)
    source = watch(folder, move_to=str(away))
    frames = source.frames()
    source.admitted(log_of([next(frames)]))
    write(folder, "img1.tif", 1)
    end(folder)
    assert notices(list(frames)) == []
    while refused:
        source.close()
    source.close()
    assert [path.name for path in away.iterdir()] == ["img0.tif"]


def test_what_is_expected_of_planes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expect needs planes where a pattern has"):
        watch(
            tmp_path,
            pattern="t{t:d}_{c}.tif",
            expect={"shape": [2, 4, 4], "dtype": "uint8", "axes": "cyx"},
        )


def test_only_what_comes_from_now_on_if_it_is_known_what_comes(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    expect = {"shape": [16, 20], "dtype": "uint16"}
    frames = watch(tmp_path, existing=False, expect=expect).frames()
    assert "2 files that were there before" in notices([next(frames)])[0]
    write(tmp_path, "new.tif", 7)
    end(tmp_path)
    assert values(frames) == [7]
