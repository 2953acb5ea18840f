"""Pictures are shown as a viewer wants them: channel, plane, contrast, objects."""

import numpy as np
import pytest
from streamproc.dashboards.picture import COLOURS, Look, Pictures

import streamproc as sp
from streamproc.errors import ConfigError
from streamproc.folder import RunFolder
from streamproc.view.picture import limits, stretch
from tests.arrays import Arrays

STACK = np.random.default_rng(3).integers(100, 60_000, (3, 2, 4, 30, 40), np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of frames of two channels and four planes, and labels of two kinds."""
    raw = sp.open(Arrays(STACK, "czyx"))
    bright = raw.channel(0).threshold("fixed", value=30_000).label()
    flat = raw.channel(1).project("max").threshold("fixed", value=50_000).label()
    path = tmp_path_factory.mktemp("picture") / "RUN"
    sp.run({"source": raw, "bright": bright, "flat": flat}, path)
    return RunFolder(path)


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("z", [None, 0, 3])
def test_channel_and_plane(folder: RunFolder, channel: int, z: int | None) -> None:
    frame = STACK[2, channel]
    plane = frame.max(axis=0) if z is None else frame[z]
    pictures, look = Pictures(folder), Look(channel, z, labels="bright")
    picture = pictures.read(2, look)
    assert picture is not None
    np.testing.assert_array_equal(picture.gray, stretch(plane, limits(plane)))
    labels = np.asarray(sp.load(folder.path).labels["bright"][2])
    numbers = labels.max(axis=0) if z is None else labels[z]
    np.testing.assert_array_equal(picture.labels > 0, numbers > 0)
    values, found = pictures.whole(2, look)
    np.testing.assert_array_equal(values, plane)
    np.testing.assert_array_equal(found, numbers)
    mask = pictures.mask(2, look, [3, 5])
    np.testing.assert_array_equal(mask, np.isin(numbers, [3, 5]))


def test_black_and_white_by_hand(folder: RunFolder) -> None:
    look = Look(1, 2, (20_000.0, 20_500.0), "flat")
    picture = Pictures(folder).read(0, look)
    assert picture is not None
    plane = STACK[0, 1, 2].astype(float)
    expected = (np.clip((plane - 20_000) / 500, 0, 1) * 255).round()
    # of 16 bits: what lies between is told apart, not stretched from 8 bits
    assert np.abs(picture.gray - expected).max() <= 1
    assert picture.ends == (20_000, 20_500)
    labels = np.asarray(sp.load(folder.path).labels["flat"][0])
    colours = np.where(labels, labels.astype(int) * 5 % COLOURS + 1, 0)
    np.testing.assert_array_equal(picture.labels, colours)


def test_the_past_does_not_move_the_contrast_of_the_newest(folder: RunFolder) -> None:
    one, other = Pictures(folder), Pictures(folder)
    for frame in range(3):
        one.read(frame, follows=True)
        other.read(frame, follows=True)
        other.read(0)
    newest, same = one.read(2, follows=True), other.read(2, follows=True)
    assert newest is not None
    assert same is not None
    assert newest.ends == same.ends


def test_a_frame_without_labels_of_that_name_has_none(folder: RunFolder) -> None:
    picture = Pictures(folder).read(0, Look(labels="nothing"))
    assert picture is not None
    assert not picture.labels.any()
    assert Pictures(folder).mask(0, Look(labels="nothing"), [1]) is None


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (3, "a look has channel, z, ends and labels"),
        ({"colour": 1}, "a look has channel, z, ends and labels"),
        ({"channel": -1}, "channel must be 0 or more, got -1"),
        ({"channel": True}, "channel must be 0 or more, got True"),
        ({"z": 1.5}, "z must be 0 or more or null, got 1.5"),
        ({"labels": ["x"]}, r"labels must be a name, got \['x'\]"),
        ({"ends": 5}, "ends must be black and white, got 5"),
        ({"ends": [5]}, r"ends must be black and white, got \[5\]"),
        ({"ends": [5, "x"]}, r"black and white must be numbers, got \[5, 'x'\]"),
        ({"ends": [5, float("nan")]}, "black and white must be numbers"),
        ({"ends": [5, 5]}, r"black must be below white, got \[5, 5\]"),
    ],
)
def test_what_is_no_look_is_said_in_one_line(told: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Look.of(told)


def test_a_look_is_one_for_all_who_want_it() -> None:
    told = {"channel": 1, "z": 2, "ends": [3, 4], "labels": "flat"}
    assert Look.of(told) == Look(1, 2, (3.0, 4.0), "flat")
    assert len({Look.of(told), Look.of(dict(told)), Look.of({})}) == 2
