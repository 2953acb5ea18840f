"""Blocks of pixels made into one: sum, mean, extremes."""

import numpy as np

from ..frame import Array
from ._jit import jit

#: Sums without overflow.
WIDE = {"u": np.uint64, "i": np.int64, "f": np.float64}


def block_sums(image: Array, factors: tuple[int, ...], dtype: type) -> Array:
    """Return the sum of every whole block, each plane row by row."""
    out: Array = np.zeros(
        [n // f for n, f in zip(image.shape, factors, strict=True)], dtype
    )
    volume = image.reshape(-1, *image.shape[-2:])
    depth, height, width = (1, *factors)[-3:]
    _sums(volume, depth, height, width, out.reshape(-1, *out.shape[-2:]))
    return out


def block_squares(image: Array, mean: Array, factors: tuple[int, ...]) -> Array:
    """Return the sum of squared distances from the mean of every block of a volume."""
    out = np.zeros_like(mean)
    depth, height, width = factors
    _squares(image, mean, depth, height, width, out)
    return out


def block_ends(image: Array, factors: tuple[int, ...], largest: bool) -> Array:
    """Return the largest or the smallest of every whole block."""
    combine = np.maximum if largest else np.minimum
    for axis, factor in enumerate(factors):
        before = (slice(None),) * axis
        end = image.shape[axis] // factor * factor
        parts = [image[(*before, slice(k, end, factor))] for k in range(factor)]
        image = parts[0]
        for part in parts[1:]:
            image = combine(image, part)
    return np.array(image, order="C")


@jit
def _sums(image: Array, depth: int, height: int, width: int, out: Array) -> None:
    for z in range(out.shape[0] * depth):
        for y in range(out.shape[1] * height):
            row, line = out[z // depth, y // height], image[z, y]
            if width == 1:  # several at a time
                for x in range(out.shape[2]):
                    row[x] += line[x]
                continue
            for x in range(out.shape[2]):
                total = row[x]
                for k in range(x * width, (x + 1) * width):
                    total += line[k]
                row[x] = total


@jit
def _squares(
    image: Array, mean: Array, depth: int, height: int, width: int, out: Array
) -> None:
    for z in range(out.shape[0] * depth):
        for y in range(out.shape[1] * height):
            row, line = out[z // depth, y // height], image[z, y]
            middle = mean[z // depth, y // height]
            if width == 1:
                for x in range(out.shape[2]):
                    row[x] += (line[x] - middle[x]) ** 2
                continue
            for x in range(out.shape[2]):
                total = row[x]
                for k in range(x * width, (x + 1) * width):
                    total += (line[k] - middle[x]) ** 2
                row[x] = total
