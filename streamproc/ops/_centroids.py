"""Centres of brightness in a round window that follows them."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

#: A centre farther from the middle of its window moves the window, in pixels.
_SHIFT = 0.6
#: What is measured of each, after its position.
COLUMNS = ("mass", "size", "ecc", "signal", "raw_mass")


def ball(radius: int, ndim: int) -> NDArray[np.int64]:
    """Return the steps from the middle to every pixel of a disk or ball."""
    steps = np.argwhere(np.ones((2 * radius + 1,) * ndim)) - radius
    return np.asarray(steps[(steps**2).sum(axis=1) <= radius**2], np.int64)


def centred(
    image: Array, raw: Array, points: NDArray[np.int64], radius: int, rounds: int
) -> NDArray[np.float64]:
    """Return a row per point: where its centre is, then the `COLUMNS`.

    ``image`` weighs the pixels, ``raw`` is summed too; both ``(z, y, x)`` or
    ``(y, x)``. The window stays inside the image.
    """
    steps = ball(radius, image.ndim)
    angle = 2 * np.arctan2(-steps[:, -2], steps[:, -1])
    waves = np.stack([np.cos(angle), np.sin(angle)])
    # a plane is a volume of one: no step leads out of it
    flat = 3 - image.ndim
    volume = image.reshape((1,) * flat + image.shape)
    moves = np.insert(steps, [0] * flat, 0, axis=1)
    starts = np.insert(points, [0] * flat, 0, axis=1)
    reach = np.array([0] * flat + [radius] * image.ndim)
    out = np.empty((len(points), 3 + len(COLUMNS)))
    _centre(volume, raw.reshape(volume.shape), starts, moves, reach, waves, rounds, out)
    if image.ndim == 3:
        out[:, 5] = np.nan  # how long a disk is has no meaning for a ball
    return out[:, flat:]


@jit
def _centre(
    image: Array,
    raw: Array,
    starts: Array,
    steps: Array,
    reach: Array,
    waves: Array,
    rounds: int,
    out: Array,
) -> None:
    middle = np.empty(3, np.int64)
    off = np.zeros(3)
    for n in range(starts.shape[0]):
        middle[:] = starts[n]
        mass = 0.0
        for turn in range(rounds):
            off[:] = 0.0
            mass = 0.0
            for k in range(steps.shape[0]):
                z, y, x = steps[k, 0], steps[k, 1], steps[k, 2]
                pixel = np.float64(image[middle[0] + z, middle[1] + y, middle[2] + x])
                off[0] += pixel * z
                off[1] += pixel * y
                off[2] += pixel * x
                mass += pixel
            off /= mass
            for axis in range(3):
                out[n, axis] = off[axis] + middle[axis]
            if np.abs(off).max() < _SHIFT or turn == rounds - 1:
                break
            for axis in range(3):
                middle[axis] += int(off[axis] > _SHIFT) - int(off[axis] < -_SHIFT)
                last = image.shape[axis] - 1 - reach[axis]
                middle[axis] = min(max(middle[axis], reach[axis]), last)
        _describe(image, raw, middle, steps, waves, mass, out[n, 3:])


@jit
def _describe(
    image: Array,
    raw: Array,
    middle: Array,
    steps: Array,
    waves: Array,
    mass: float,
    out: Array,
) -> None:
    spread, along, across, signal, total = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(steps.shape[0]):
        z, y, x = steps[k, 0], steps[k, 1], steps[k, 2]
        pixel = np.float64(image[middle[0] + z, middle[1] + y, middle[2] + x])
        total += np.float64(raw[middle[0] + z, middle[1] + y, middle[2] + x])
        spread += (z * z + y * y + x * x) * pixel
        along += waves[0, k] * pixel
        across += waves[1, k] * pixel
        signal = max(signal, pixel)
    centre = np.float64(image[middle[0], middle[1], middle[2]])
    out[0] = mass
    out[1] = np.sqrt(spread / mass)
    out[2] = np.sqrt(along * along + across * across) / (mass - centre + 1e-6)
    out[3] = signal
    out[4] = total
