"""The picture of a frame: contrast, outlines, size, scale bar."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamproc.errors import FrameError, StoreError
from streamproc.view.picture import (
    LONGEST,
    MASK,
    Pen,
    axes_said,
    draw,
    flat,
    label_colours,
    limits,
    mask_colours,
    stretch,
    write,
)


@pytest.fixture
def plane() -> np.ndarray:
    image = np.random.default_rng(0).normal(1000, 30, (60, 80)).astype(np.float32)
    image[10:30, 10:30] += 5000
    image[30:50, 50:70] += 9000
    return image


@pytest.fixture
def labels() -> np.ndarray:
    numbers = np.zeros((60, 80), np.uint32)
    numbers[10:30, 10:30] = 1
    numbers[30:50, 50:70] = 2
    return numbers


def grey(picture: np.ndarray) -> np.ndarray:
    """Where the three colours are equal."""
    same: np.ndarray = (picture == picture[..., :1]).all(axis=-1)
    return same


def test_contrast_goes_from_black_to_white_whatever_the_dtype() -> None:
    ramp = np.arange(1000).reshape(20, 50)
    for dtype in (np.uint16, np.int32, np.float32, np.float64):
        stretched = stretch((ramp * 3 + 7).astype(dtype))
        assert (stretched.min(), stretched.max()) == (0, 255)
        assert (np.diff(stretched.ravel().astype(int)) >= 0).all()


def test_a_hot_pixel_does_not_darken_the_picture() -> None:
    ramp = np.arange(10000, dtype=np.float32).reshape(100, 100)
    ramp[0, 0] = 1e9
    assert stretch(ramp).mean() == pytest.approx(127, abs=3)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_flat_pictures_do_not_fail(value: float) -> None:
    assert draw(np.full((20, 30), value, np.float32), "yx").shape[2] == 3


def test_nan_is_black() -> None:
    image = np.arange(100.0).reshape(10, 10)
    image[9, 9] = np.nan
    assert stretch(image)[9, 9] == 0


def test_small_ones_grow_by_whole_numbers_and_large_ones_shrink() -> None:
    assert draw(np.zeros((512, 512), np.uint8), "yx").shape == (1024, 1024, 3)
    assert draw(np.zeros((424, 640), np.uint8), "yx").shape == (848, 1280, 3)
    assert draw(np.zeros((900, 1200), np.uint8), "yx").shape == (900, 1200, 3)
    large = draw(np.zeros((3000, 6000), np.uint8), "yx").shape
    assert large == (LONGEST // 2, LONGEST, 3)
    assert draw(np.zeros((1, 1), np.uint8), "yx").shape == (1024, 1024, 3)


def test_outlines_are_half_a_pixel_inside_and_of_two_colours(
    plane: np.ndarray, labels: np.ndarray
) -> None:
    picture = draw(plane, "yx", labels=labels)
    factor = picture.shape[0] // 60
    coloured = ~grey(picture)
    thick = round(factor / 2)
    for top, left in ((10, 10), (30, 50)):
        side = 20 * factor
        square = coloured[top * factor :, left * factor :][:side, :side]
        rim = np.ones((side, side), bool)
        rim[thick:-thick, thick:-thick] = False
        np.testing.assert_array_equal(square, rim)
    assert coloured.sum() == 2 * 4 * thick * (20 * factor - thick)
    assert len(np.unique(picture[coloured], axis=0)) == 2


def test_objects_that_touch_are_told_apart() -> None:
    labels = np.zeros((40, 40), np.uint32)
    labels[10:30, 10:20], labels[10:30, 20:30] = 70_000, 70_001
    picture = draw(np.zeros((40, 40), np.uint8), "yx", labels=labels)
    row = picture[picture.shape[0] // 2]
    assert (~grey(row)).sum() == 4 * (picture.shape[0] // 40 // 2)
    assert len(np.unique(row[~grey(row)], axis=0)) == 2


def test_a_mask_is_outlined_by_its_parts(plane: np.ndarray, labels: np.ndarray) -> None:
    mask = draw(plane, "yx", labels=(labels > 0).astype(np.uint8))
    np.testing.assert_array_equal(mask, draw(plane, "yx", labels=labels))


def test_one_object_and_none(plane: np.ndarray, labels: np.ndarray) -> None:
    none = draw(plane, "yx", labels=np.zeros_like(labels))
    assert grey(none).all()
    assert not grey(draw(plane, "yx", labels=labels * (labels == 1))).all()


def test_outlines_follow_when_a_large_picture_shrinks() -> None:
    labels = np.zeros((2000, 4096), np.uint32)
    labels[500:1500, 1000:3000] = 9
    picture = draw(np.zeros((2000, 4096), np.uint8), "yx", labels=labels)
    assert picture.shape == (1000, 2048, 3)
    where = np.argwhere(~grey(picture))
    assert where.min(axis=0).tolist() == [250, 500]
    assert where.max(axis=0).tolist() == [749, 1499]


def test_stacks_and_channels() -> None:
    stack = np.zeros((4, 30, 40), np.uint16)
    stack[2, 10:20, 10:20] = 100
    np.testing.assert_array_equal(flat(stack, "zyx"), stack[2])
    labels = (stack > 0).astype(np.uint32) * 5
    assert not grey(draw(stack, "zyx", labels=labels)).all()
    colour = np.zeros((3, 10, 10), np.uint8)
    colour[0] = 200
    assert draw(colour, "cyx")[0, 0].tolist() == [0, 0, 200]
    channels = np.zeros((2, 30, 40), np.uint16)
    channels[0, :15], channels[1, 15:] = 50, 70
    mixed = draw(channels, "cyx")
    assert mixed[0, 0].tolist() == [0, 255, 0]
    assert mixed[-1, 0].tolist() == [255, 0, 255]
    assert draw(np.zeros((2, 3, 30, 40), np.uint16), "czyx").shape[2] == 3


@pytest.mark.parametrize(
    ("size", "bar"), [(0.65, 50), (0.1, 10), (3.0, 200), (40, 5000)]
)
def test_the_scale_bar_has_a_round_length(size: float, bar: float) -> None:
    picture = draw(np.zeros((512, 512), np.uint8), "yx", pixel_size_um={"x": size})
    white = (picture == 255).all(axis=-1)
    rows = np.flatnonzero(white.sum(axis=1) > 100)
    length = white[rows[0]].sum() * size / 2
    assert length == pytest.approx(bar, rel=0.02)
    assert rows.min() > 0.9 * picture.shape[0]


def test_the_scale_bar_fits_into_small_pictures() -> None:
    for shape in ((5, 5), (20, 2000), (2000, 20)):
        draw(np.zeros(shape, np.uint8), "yx", pixel_size_um={"y": 1.0, "x": 1.0})


def test_no_pixels_are_refused() -> None:
    with pytest.raises(FrameError, match="has no pixels to draw"):
        draw(np.zeros((0, 5), np.uint8), "yx")


def test_writing(tmp_path: Path, plane: np.ndarray) -> None:
    picture = draw(plane, "yx")
    write(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png")), picture)
    with pytest.raises(StoreError, match=r"cannot write .*choose another file"):
        write(tmp_path / "none" / "a.png", picture)


@pytest.mark.parametrize(
    ("side", "thick"), [(50, 10), (128, 4), (512, 2), (1000, 2), (3000, 1)]
)
def test_outlines_grow_with_the_picture(side: int, thick: int) -> None:
    labels = np.zeros((side, side), np.uint32)
    labels[side // 4 : side // 2, side // 4 : side // 2] = 3
    picture = draw(np.zeros((side, side), np.uint8), "yx", labels=labels)
    row = ~grey(picture)[round(0.375 * picture.shape[0])]
    begin = np.flatnonzero(row)[0]
    assert row[begin : begin + 2 * thick].sum() == thick


def test_outlines_of_bent_objects_are_as_thick_everywhere() -> None:
    from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]

    y, x = np.mgrid[:1024, :1024]
    ball = ((y - 500) ** 2 + (x - 400) ** 2 < 200**2).astype(np.uint32)
    rim = ~grey(draw(np.zeros((1024, 1024), np.uint8), "yx", labels=ball))
    depth = distance_transform_edt(ball)
    np.testing.assert_array_equal(rim[(depth > 0) & (depth <= 2)], True)
    assert not rim[(depth == 0) | (depth > 3)].any()


def test_the_scale_bar_hides_little(plane: np.ndarray) -> None:
    image = np.full((512, 512), 100, np.uint8)
    image[0, :2] = 0, 255
    bare = draw(image, "yx")
    barred = draw(image, "yx", pixel_size_um={"x": 0.65})
    changed = (bare != barred).any(axis=-1)
    assert 0 < changed.mean() < 0.006
    where = np.argwhere(changed)
    assert where[:, 0].min() > 0.9 * len(bare)
    # legible on black and on white: both are there
    colours = barred[changed]
    assert (colours == 255).all(axis=-1).any()
    assert (colours == 0).all(axis=-1).any()


@pytest.mark.parametrize("value", [0, 255])
def test_the_scale_bar_is_seen_on_black_and_on_white(value: int) -> None:
    image = np.full((3, 300, 400), value, np.uint8)
    bare = draw(image, "cyx")
    barred = draw(image, "cyx", pixel_size_um={"x": 0.65})
    assert (bare != barred).any(axis=-1).sum() > 500


def test_text_has_a_micro_sign() -> None:
    def ink(text: str) -> np.ndarray:
        picture = np.zeros((60, 120, 3), np.uint8)
        with Pen(picture) as pen:
            pen.write((5, 5), text, 40, "white")
        return picture[..., 0] > 127

    micro, letter = ink("µ"), ink("u")
    assert (micro & letter).sum() == letter.sum()
    tail = np.argwhere(micro & ~letter)
    assert tail[:, 0].min() >= np.argwhere(letter)[:, 0].max() - 12
    assert tail[:, 1].max() < np.argwhere(letter)[:, 1].mean()
    np.testing.assert_array_equal(ink("日"), ink("?"))


def test_axes_are_said() -> None:
    assert axes_said(np.zeros((4, 5)), "yx") == []
    assert axes_said(np.zeros((7, 4, 5)), "zyx") == ["z: maximum of 7 planes"]
    two = np.zeros((2, 7, 4, 5))
    assert axes_said(two, "czyx")[1] == "c: 2 as green + magenta"
    many = np.zeros((9, 4, 5))
    assert axes_said(many, "cyx")[0].startswith("c: first 5 as green + magenta")
    assert axes_said(np.zeros((3, 4, 5), np.uint8), "cyx") == []


def test_masks_and_labels_in_colours() -> None:
    labels = np.zeros((2, 6, 6), np.uint32)
    labels[0, 1, 1], labels[1, 4, 4], labels[1, 2, 2] = 1, 2**32 - 1, 7
    drawn = label_colours(labels)
    assert {tuple(c) for c in drawn.reshape(-1, 3)} >= {(0, 0, 0)}
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 4
    marked = mask_colours((labels > 0).astype(np.uint8))
    np.testing.assert_array_equal(
        (marked == MASK).all(axis=-1), (labels > 0).any(axis=0)
    )


def test_limits_are_percentiles_of_what_is_finite() -> None:
    values = np.arange(1001, dtype=np.float64)
    assert limits(values) == pytest.approx((5, 998))
    values[:2] = np.nan, np.inf
    assert limits(values) == pytest.approx(np.percentile(values[2:], (0.5, 99.8)))
    assert np.isnan(limits(np.full((2, 2), np.nan))).all()
