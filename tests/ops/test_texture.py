import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests.ops.pictures import Array, blobs, smooth

FEATURES = ["contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM"]


def pair_by_pair(labels: Array, levels: Array, distance: int) -> list[list[float]]:
    """The features of every object, by the definition, direction by direction."""
    rows = []
    for number in np.unique(labels[labels > 0]):
        found = []
        for step in np.ndindex((3,) * labels.ndim):
            unit = np.array(step, float) - 1
            if tuple(unit) <= (0,) * labels.ndim:
                continue
            shift = np.rint(unit / np.linalg.norm(unit) * distance).astype(int)
            both = []
            for place in np.argwhere(labels == number):
                other = tuple(place + shift)
                inside = all(
                    0 <= o < s for o, s in zip(other, labels.shape, strict=True)
                )
                if inside and labels[other] == number:
                    i, j = levels[tuple(place)], levels[other]
                    both += [(i, j), (j, i)] if min(i, j) >= 0 else []
            if both:
                found.append(of_pairs(np.array(both, float)))
        rows.append(list(np.mean(found, axis=0)) if found else [np.nan] * 6)
    return rows


def of_pairs(both: Array) -> list[float]:
    i, j = both.T
    _, counts = np.unique(both, axis=0, return_counts=True)
    mass = float(((counts / len(both)) ** 2).sum())
    spread = ((i - i.mean()) ** 2).mean()
    alike = ((i - i.mean()) * (j - j.mean())).mean() / spread if spread else 1.0
    return [
        ((i - j) ** 2).mean(),
        abs(i - j).mean(),
        (1 / (1 + (i - j) ** 2)).mean(),
        mass**0.5,
        alike,
        mass,
    ]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([(9, 8), (3, 5, 4)]), st.integers(1, 3)
)
def test_features_are_those_counted_pair_by_pair(
    seed: int, shape: tuple[int, ...], distance: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, shape).astype(np.uint8) * 4
    image = rng.integers(0, 4, shape).astype(np.float32)
    image[rng.random(shape) < 0.1] = np.nan
    found = ops.texture(labels, image, distance=distance, levels=4, low=0, high=4)
    levels = np.nan_to_num(image, nan=-1).astype(int)
    expected = pair_by_pair(labels, levels, distance)
    assert list(found) == ["label", *FEATURES]
    np.testing.assert_allclose(
        found[FEATURES], np.reshape(expected, (-1, 6)), rtol=1e-9, atol=1e-12
    )


def test_a_flat_object_on_a_bright_ground_keeps_its_digits() -> None:
    image = np.full((300, 300), 250, np.uint8)
    image[7, 9] = 251
    table = ops.texture(np.ones_like(image), image, levels=256, low=0, high=256)
    expected = pair_by_pair(np.ones((300, 300), int)[:16, :16], image[:16, :16], 1)
    # one pixel among n: hardly any likeness between neighbours
    assert table["correlation"].item() == pytest.approx(0, abs=1e-4)
    assert expected[0][4] == pytest.approx(0, abs=1e-2)


def test_brightness_and_contrast_do_not_matter_unless_a_range_is_given() -> None:
    labels, image = ops.label(blobs((30, 40))), smooth((30, 40), "float64")
    once, again = (
        ops.texture(labels, image * gain + offset) for gain, offset in ((1, 0), (4, 64))
    )
    np.testing.assert_allclose(once[FEATURES], again[FEATURES], rtol=0.05)
    fixed = [ops.texture(labels, image * gain, low=0, high=4000) for gain in (1, 0.5)]
    assert (fixed[0]["contrast"] > 2 * fixed[1]["contrast"]).mean() > 0.9


def test_channels_have_a_number() -> None:
    labels = ops.label(blobs((20, 30)))
    image = np.stack([smooth((20, 30)), 4000 - smooth((20, 30))])
    table = ops.texture(labels, image, low=0, high=5000)
    assert list(table)[1:] == [f"{n}_c{c}" for c in (0, 1) for n in FEATURES]
    for c in (0, 1):
        alone = ops.texture(labels, image[c], low=0, high=5000)
        np.testing.assert_array_equal(table[f"ASM_c{c}"], alone["ASM"])


@pytest.mark.parametrize("level", [0.0, 7.0, np.nan])
def test_images_of_one_level(level: float) -> None:
    table = ops.texture([[1, 1, 0, 2]], np.full((1, 4), level))
    expected = [0, 0, 1, 1, 1, 1] if level == level else [np.nan] * 6
    np.testing.assert_array_equal(table[FEATURES], [expected, [np.nan] * 6])


def test_infinite_pixels_are_the_darkest_and_the_brightest() -> None:
    image = [[-np.inf, 0.0, 1.0, np.inf]]
    table = ops.texture([[1, 1, 1, 1]], image, levels=2)
    assert table["contrast"].item() == pytest.approx(1 / 3)


def test_the_range_must_ascend_and_shapes_fit() -> None:
    with pytest.raises(ConfigError, match=r"high must be > low, got 1\.0 and 2\.0"):
        ops.texture([[1]], [[1]], low=2.0, high=1.0)
    with pytest.raises(FrameError, match=r"intensity of shape \(1, 2\) does not fit"):
        ops.texture([[1]], [[1, 2]])
    with pytest.raises(ConfigError, match="levels must be <= 256, got 300"):
        ops.texture([[1]], [[1]], levels=300)
