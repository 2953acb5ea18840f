"""What a comparison with an oracle cannot say of geometry."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests.ops.pictures import BIG_ENDIAN, DTYPES, Array, smooth

MOVING = ("flip", "rot90", "crop")
INTERPOLATING = ("rotate", "resize", "affine", "shift", "warp_polar")


def call(name: str, image: Array, **parameters: Any) -> Array:
    return np.asarray(getattr(ops, name)(image, **parameters))


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", [(6, 5), (3, 6, 5)])
def test_pixels_that_are_moved_stay_as_they_are(
    name: str, dtype: str, shape: tuple[int, ...]
) -> None:
    image = smooth(shape, dtype)
    oracles = {
        "flip": image[..., ::-1],
        "rot90": np.rot90(image, axes=(-2, -1)),
        "crop": image,
    }
    result = call(name, image)
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(result, oracles[name])


@pytest.mark.parametrize("name", INTERPOLATING)
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
def test_what_lies_between_pixels_is_real(name: str, dtype: str) -> None:
    image = smooth((9, 8), dtype)
    is_wide = np.dtype(dtype).itemsize > 2 and dtype not in ("float32", ">f4")
    assert call(name, image).dtype == (np.float64 if is_wide else np.float32)
    nearest = call(name, image, order=0)
    assert nearest.dtype == np.dtype(dtype).newbyteorder("=")
    assert set(nearest.flat) <= {0, *image.flat}


@pytest.mark.parametrize("name", INTERPOLATING)
def test_booleans_keep_their_values(name: str) -> None:
    result = call(name, smooth((9, 8)) > 2000)
    assert result.dtype == np.uint8
    assert set(result.flat) <= {0, 1}


@given(st.integers(-9, 9))
def test_quarters_of_a_turn_are_exact(k: int) -> None:
    image = smooth((7, 7), "float32")
    expected = np.rot90(image, k)
    np.testing.assert_array_equal(ops.rot90(image, k=k), expected)
    np.testing.assert_array_equal(ops.rotate(image, angle=90 * k), expected)
    wide = smooth((4, 7), "float32")
    turned = ops.rotate(wide, angle=90 * k, resize=True)
    np.testing.assert_array_equal(turned, np.rot90(wide, k))


@given(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), st.sampled_from([0, 1, 3]))
def test_whole_pixels_are_exact(moves: tuple[int, int], order: Any) -> None:
    image = smooth((6, 7))
    result = ops.shift(image, shift=moves, order=order, cval=3)
    for (y, x), value in np.ndenumerate(result):
        row, column = y - moves[0], x - moves[1]
        inside = 0 <= row < 6 and 0 <= column < 7
        assert value == (image[row, column] if inside else 3)


def test_two_numbers_of_a_volume_are_those_of_its_planes() -> None:
    volume = smooth((3, 8, 9))
    for name, parameters in (
        ("shift", {"shift": (1.5, -2)}),
        ("crop", {"start": (1, 2), "shape": (4, 5)}),
        ("binning", {"factor": (2, 3)}),
        ("resize", {"shape": (5, 4)}),
        ("resize", {"scale": (0.5, 2.0)}),
        ("affine", {"matrix": ((1, 0.1), (0, 1))}),
        ("rotate", {"angle": 12.0, "resize": True}),
        ("warp_polar", {}),
    ):
        alone = np.stack([call(name, plane, **parameters) for plane in volume])
        np.testing.assert_allclose(call(name, volume, **parameters), alone, rtol=1e-6)


def test_rows_of_a_matrix_may_hold_the_offset() -> None:
    image = smooth((6, 7), "float32")
    apart = ops.affine(image, matrix=((1, 0.2), (0, 1)), offset=(2, -1))
    np.testing.assert_array_equal(
        ops.affine(image, matrix=((1, 0.2, 2), (0, 1, -1))), apart
    )
    np.testing.assert_array_equal(ops.affine(image), image)


def test_blocks_that_are_not_whole_are_dropped() -> None:
    image = np.arange(15, dtype=np.uint8).reshape(3, 5)
    assert ops.binning(image).tolist() == [[3.0, 5.0]]
    assert ops.binning(image, factor=(3, 1), method="max").tolist() == [
        [10, 11, 12, 13, 14]
    ]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_sums_of_blocks_do_not_overflow(dtype: str) -> None:
    most = 255 if dtype == "uint8" else 30000
    image = np.full((300, 300), most, dtype)
    assert ops.binning(image, factor=300, method="sum").item() == most * 90000
    assert ops.binning(image, factor=300).item() == most


def test_nan_stays_in_its_block() -> None:
    image = np.ones((4, 4), np.float32)
    image[0, 0] = np.nan
    for method in ("mean", "sum", "max", "min"):
        binned = ops.binning(image, method=method)
        assert np.isnan(binned).tolist() == [[True, False], [False, False]]


def test_rays_go_to_the_right_and_turn_down() -> None:
    image = np.zeros((9, 9), np.uint8)
    image[4, 6], image[6, 4] = 10, 20
    polar = ops.warp_polar(image, radius=4, output_shape=(4, 4), order=0)
    assert (polar[0, 2], polar[1, 2]) == (10, 20)
    volume = np.stack([image, image * 2])
    cuts = ops.reslice_radial(volume, angles=2, angle_step=90, radius=4, order=0)
    assert cuts.shape == (2, 2, 4)
    assert cuts[:, :, 2].tolist() == [[10, 20], [20, 40]]
    later = ops.reslice_radial(volume, angles=1, start_angle=90, radius=4, order=0)
    np.testing.assert_array_equal(later[0], cuts[1])
    moved = ops.warp_polar(image, center=(4, 5), radius=4, output_shape=(4, 4))
    assert moved[0, 1] == 10


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("flip", {"axis": "z"}, r"flip: the image of shape \(4, 5\) has no axis z"),
        (
            "crop",
            {"start": (5, 0)},
            r"crop: start \(5, 0\) and shape None reach",
        ),
        ("crop", {"shape": (3, 9)}, "reach beyond an image of shape"),
        ("crop", {"start": (1,)}, "crop: start must be 2 numbers, one per axis, got"),
        ("crop", {"shape": (1, 2, 3)}, "crop: shape must be 2 numbers, one per axis"),
        ("binning", {"factor": 5}, r"binning: blocks of \(5, 5\) are larger than an"),
        ("binning", {"factor": (1, 2, 3)}, "binning: factor must be 2 numbers, one"),
        ("binning", {"factor": 0}, "factor must be >= 1, got 0"),
        ("resize", {"shape": (2, 2), "scale": 2.0}, "resize: give shape or scale, got"),
        ("resize", {"shape": (2, 2, 2)}, "resize: shape must be 2 numbers, one per"),
        ("resize", {"scale": (2.0,)}, "resize: scale must be 2 numbers, one per axis"),
        ("resize", {"scale": 0.0}, "scale must be > 0"),
        (
            "resize",
            {"order": 0, "anti_aliasing": True},
            "resize: anti_aliasing needs order 1 or 3, got order 0",
        ),
        ("affine", {"matrix": ((1, 0),)}, "affine: matrix must have 2 rows of 2 or 3"),
        ("affine", {"matrix": ((1,), (0,))}, "affine: matrix must have 2 rows of 2 or"),
        (
            "affine",
            {"offset": (1, 2, 3)},
            "affine: offset must be one number or 2",
        ),
        ("shift", {"shift": (1, 2, 3)}, "shift must be one number or 2, one per axis"),
        ("rotate", {"order": 2}, "order must be"),
        ("reslice_radial", {}, "reslice_radial needs a z axis, got an image of shape"),
        ("warp_polar", {"radius": 0.5}, "radius must be > 1"),
    ],
)
def test_bad_parameters_are_named(
    name: str, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        call(name, smooth((4, 5)), **parameters)


@pytest.mark.parametrize("name", ["rotate", "affine", "shift"])
@pytest.mark.parametrize("cval", [-1.0, 256.0, 0.5])
def test_what_fills_must_fit(name: str, cval: float) -> None:
    image = smooth((4, 5), "uint8")
    with pytest.raises(FrameError, match=f"cval {cval} does not fit uint8; give one"):
        call(name, image, order=0, cval=cval)
    corner = call(name, image, cval=cval, **MOVED[name])
    assert corner[0, 0] == cval


MOVED: dict[str, dict[str, Any]] = {
    "rotate": {"angle": 45.0, "resize": True},
    "affine": {"offset": -9.0},
    "shift": {"shift": 2.5},
}
