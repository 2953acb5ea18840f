"""Sums over the pixels of every object, and what follows from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import lines
from ._runs import Runs

# columns of the table of whole numbers: the first pixel, the box, the sums around
# the first pixel
_AREA, _Z, _Y, _X = 0, 1, 2, 3
_Z0, _Y0, _X0, _Z1, _Y1, _X1 = 4, 5, 6, 7, 8, 9
_SZ, _SY, _SX, _SZZ, _SYY, _SXX, _SZY, _SZX, _SYX = range(10, 19)
_WIDTH = 19
# and of that of grey levels, after the weighted positions
_SHIFTED, _SQUARES, _LOW, _HIGH, _TOTAL = 3, 4, 5, 6, 7


@dataclass(frozen=True, slots=True)
class Geometry:
    """Shape and place of every object, from whole-number sums."""

    ndim: int
    sums: NDArray[np.int64]

    @property
    def area(self) -> NDArray[np.int64]:
        """Pixels."""
        return self.sums[:, _AREA]

    @property
    def lowest(self) -> dict[str, NDArray[np.int64]]:
        """The first plane, row and column of each box."""
        return {a: self.sums[:, k] for a, k in zip("zyx", (_Z0, _Y0, _X0), strict=True)}

    @property
    def highest(self) -> dict[str, NDArray[np.int64]]:
        """The plane, row and column after each box."""
        return {a: self.sums[:, k] for a, k in zip("zyx", (_Z1, _Y1, _X1), strict=True)}

    @property
    def first(self) -> NDArray[np.int64]:
        """Where the first pixel of each object is: z, y, x."""
        return self.sums[:, _Z : _X + 1]

    def centre(self) -> NDArray[np.float64]:
        """Return the mean positions: z, y, x."""
        return self.first + self.sums[:, _SZ : _SX + 1] / self.area[:, None]

    def diameter(self) -> NDArray[np.float64]:
        """Return the diameter of the circle (the ball) of the same size."""
        return np.asarray((2 * self.ndim * self.area / np.pi) ** (1 / self.ndim))

    def eccentricity(self) -> NDArray[np.float64]:
        """Return that of the ellipse of the same second moments: 0 is a circle."""
        large, small = self.inertia().T
        ratio = np.divide(small, large, out=np.ones_like(large), where=large > 0)
        # a round object's ratio may be 1 and a rounding
        return np.asarray(np.sqrt(np.maximum(1 - ratio, 0)))

    def axis_lengths(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the longest and the shortest axis of the ellipse (ellipsoid)."""
        inertia = self.inertia()
        if self.ndim == 2:
            return 4 * np.sqrt(inertia[:, 0]), 4 * np.sqrt(inertia[:, 1])
        high, middle, low = inertia.T
        return (
            np.sqrt(10 * np.maximum(high + middle - low, 0)),
            np.sqrt(10 * np.maximum(low + middle - high, 0)),
        )

    def orientation(self) -> NDArray[np.float64]:
        """Return the angle from the y axis to the major axis."""
        yy, xx, yx = self._spread(_SYY), self._spread(_SXX), self._spread(_SYX)
        diagonal = np.where(-yx < 0, np.pi / 4, -np.pi / 4)
        return np.where(xx == yy, diagonal, 0.5 * np.arctan2(2 * yx, yy - xx))

    def undecided(self) -> NDArray[np.intp]:
        """Return which objects have two angles, or all: lying ones and round ones."""
        level = (self._spread(_SYX) == 0) & (self._spread(_SYY) <= self._spread(_SXX))
        return np.flatnonzero(level & (self.area > 1))

    def inertia(self) -> NDArray[np.float64]:
        """Return the eigenvalues of the tensor of inertia, descending, >= 0."""
        if self.ndim == 2:
            yy, xx, yx = self._spread(_SYY), self._spread(_SXX), self._spread(_SYX)
            middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
            large = middle + half
            # the determinant keeps the digits that middle - half would lose
            small = np.divide(
                yy * xx - yx * yx, large, out=np.zeros_like(large), where=large > 0
            )
            return np.stack([large, np.maximum(small, 0)], axis=1)
        values = np.linalg.eigvalsh(self.tensor())[:, ::-1]
        return np.asarray(np.maximum(values, 0))

    def tensor(self) -> NDArray[np.float64]:
        """Return the tensor of inertia of a pixel's mean mass, ``(objects, n, n)``."""
        yy, xx, yx = self._spread(_SYY), self._spread(_SXX), self._spread(_SYX)
        if self.ndim == 2:
            rows = [[xx, -yx], [-yx, yy]]
        else:
            zz, zy, zx = self._spread(_SZZ), self._spread(_SZY), self._spread(_SZX)
            rows = [[yy + xx, -zy, -zx], [-zy, zz + xx, -yx], [-zx, -yx, zz + yy]]
        return np.asarray(rows, np.float64).transpose(2, 0, 1)

    def _spread(self, column: int) -> NDArray[np.float64]:
        """Return the (co)variance of two positions over each object."""
        i, j = {
            _SZZ: (_SZ, _SZ),
            _SYY: (_SY, _SY),
            _SXX: (_SX, _SX),
            _SZY: (_SZ, _SY),
            _SZX: (_SZ, _SX),
            _SYX: (_SY, _SX),
        }[column]
        area, both = self.area, self.sums[:, column]
        size = area.astype(float)
        one, other = self.sums[:, i], self.sums[:, j]
        # exact in whole numbers, unless they would not fit in 64 bits
        exact = area * both - one * other
        product, cross = size * both, one.astype(float) * other
        fits = np.maximum(np.abs(product), np.abs(cross)) < 2.0**62
        return np.asarray(np.where(fits, exact, product - cross) / size**2)


@dataclass(frozen=True, slots=True)
class Intensity:
    """The grey levels of every object in one channel, from sums over its pixels.

    An object of nothing but NaN has none: all is NaN.
    """

    #: the columns that `_add_levels` writes
    sums: Array
    #: pixels that are not NaN
    known: NDArray[np.int64]
    first: NDArray[np.int64]

    def sum(self) -> NDArray[np.float64]:
        """Return the sum."""
        return self._of_known(_TOTAL)

    def mean(self) -> NDArray[np.float64]:
        """Return the mean."""
        return self.sum() / self.known

    def min(self) -> NDArray[np.float64]:
        """Return the darkest level."""
        return self._of_known(_LOW)

    def max(self) -> NDArray[np.float64]:
        """Return the brightest level."""
        return self._of_known(_HIGH)

    def std(self) -> NDArray[np.float64]:
        """Return the standard deviation of the population."""
        shifted = self._of_known(_SHIFTED) / self.known
        variance = self._of_known(_SQUARES) / self.known - shifted**2
        return np.asarray(np.sqrt(np.maximum(variance, 0)))

    def centre(self) -> NDArray[np.float64]:
        """Return the centres of brightness, z, y, x; NaN without brightness."""
        total = self.sum()[:, None]
        centre = np.full((len(total), 3), np.nan)
        np.divide(self.sums[:, :3], total, out=centre, where=total != 0)
        return np.asarray(self.first + centre)

    def _of_known(self, column: int) -> NDArray[np.float64]:
        return np.where(self.known > 0, self.sums[:, column], np.nan)


def geometry(
    shape: tuple[int, ...], runs: Runs, place: NDArray[np.int64], count: int
) -> Geometry:
    """Return the sums of every object; run ``i`` belongs to object ``place[i]``."""
    sums = np.zeros((count, _WIDTH), np.int64)
    _add_positions(runs.first, runs.start, runs.stop, place, shape[-2], sums)
    return Geometry(len(shape), sums)


def intensities(
    image: Array, runs: Runs, place: NDArray[np.int64], shapes: Geometry
) -> Intensity:
    """Return the sums over the pixels of one channel; NaN is left out."""
    count = len(shapes.sums)
    is_short = image.dtype.kind in "iu" and image.dtype.itemsize <= 2
    sums = np.zeros((count, 8), np.int64 if is_short else np.float64)
    add = _add_whole_levels if is_short else _add_levels
    known = np.zeros(count, np.int64)
    add(
        lines(image), runs.first, runs.start, runs.stop, place, image.shape[-2],
        shapes.sums, sums, known,
    )  # fmt: skip
    return Intensity(sums, known, shapes.first)


@jit
def _squares(m: int) -> int:
    """Return the sum of the squares of the whole numbers below m (from 0)."""
    return (m - 1) * m * (2 * m - 1) // 6


@jit
def _add_positions(
    first: Array, start: Array, stop: Array, place: Array, height: int, sums: Array
) -> None:
    for line in range(first.size - 1):
        z, y = line // height, line % height
        for i in range(first[line], first[line + 1]):
            k = np.uint64(place[i])
            a, b = np.int64(start[i]), np.int64(stop[i])
            if sums[k, _AREA] == 0:
                sums[k, _Z], sums[k, _Y], sums[k, _X] = z, y, a
                sums[k, _Z0], sums[k, _Y0], sums[k, _X0] = z, y, a
            sums[k, _Y0] = min(sums[k, _Y0], y)
            sums[k, _X0] = min(sums[k, _X0], a)
            sums[k, _Z1] = z + 1
            sums[k, _Y1] = max(sums[k, _Y1], y + 1)
            sums[k, _X1] = max(sums[k, _X1], b)
            n = b - a
            dz, dy = z - sums[k, _Z], y - sums[k, _Y]
            a -= sums[k, _X]
            b -= sums[k, _X]
            along = n * (a + b - 1) // 2
            sums[k, _AREA] += n
            sums[k, _SZ] += n * dz
            sums[k, _SY] += n * dy
            sums[k, _SX] += along
            sums[k, _SZZ] += n * dz * dz
            sums[k, _SYY] += n * dy * dy
            sums[k, _SXX] += _squares(b) - _squares(a)
            sums[k, _SZY] += n * dz * dy
            sums[k, _SZX] += dz * along
            sums[k, _SYX] += dy * along


@jit
def _add_levels(
    rows: Array,
    first: Array,
    start: Array,
    stop: Array,
    place: Array,
    height: int,
    where: Array,
    sums: Array,
    known: Array,
) -> None:
    """Add weighted z y x, shifted sum, shifted squares, min, max, sum; count pixels."""
    shift = np.zeros(known.size)
    for line in range(first.size - 1):
        z, y = line // height, line % height
        row = rows[line]
        for i in range(first[line], first[line + 1]):
            # unsigned, or numba looks for negative indices
            k, begin = np.uint64(place[i]), np.uint64(start[i])
            size = np.uint64(stop[i] - start[i])
            if known[k] == 0:
                # around a level of its own an object loses no digits of its spread
                x = np.uint64(0)
                while x + np.uint64(1) < size and row[begin + x] != row[begin + x]:
                    x += np.uint64(1)
                level = np.float64(row[begin + x])
                if level != level:
                    continue
                shift[k] = sums[k, 5] = sums[k, 6] = level
            origin, low, high = shift[k], sums[k, 5], sums[k, 6]
            n, steps = np.int64(0), np.int64(0)
            moved, squares, along = 0.0, 0.0, 0.0
            for step in range(size):
                v = np.float64(row[begin + step])
                if v != v:
                    continue
                n += 1
                steps += np.int64(step)
                d = v - origin
                moved += d
                squares += d * d
                along += d * np.float64(step)
                low = v if v < low else low
                high = v if v > high else high
            total = moved + n * origin
            along += origin * steps
            known[k] += n
            sums[k, 0] += total * (z - where[k, _Z])
            sums[k, 1] += total * (y - where[k, _Y])
            sums[k, 2] += along + total * (np.int64(start[i]) - where[k, _X])
            sums[k, 3] += moved
            sums[k, 4] += squares
            sums[k, 5], sums[k, 6] = low, high
            sums[k, 7] += total


@jit
def _add_whole_levels(
    rows: Array,
    first: Array,
    start: Array,
    stop: Array,
    place: Array,
    height: int,
    where: Array,
    sums: Array,
    known: Array,
) -> None:
    """Do the same for 8 and 16 bits, exactly, several pixels at a time."""
    shift = np.zeros(known.size, np.int64)
    for line in range(first.size - 1):
        z, y = line // height, line % height
        row = rows[line]
        for i in range(first[line], first[line + 1]):
            k, begin = np.uint64(place[i]), np.uint64(start[i])
            size = np.uint64(stop[i] - start[i])
            total, squares, along = np.int64(0), np.int64(0), np.int64(0)
            low = high = row[begin]
            for x in range(size):
                level = row[begin + x]
                v = np.int64(level)
                total += v
                squares += v * v
                along += v * np.int64(x)
                low = min(low, level)
                high = max(high, level)
            if known[k] == 0:
                shift[k] = sums[k, 5] = sums[k, 6] = row[begin]
            n, origin = np.int64(size), shift[k]
            known[k] += n
            sums[k, 0] += total * (z - where[k, _Z])
            sums[k, 1] += total * (y - where[k, _Y])
            sums[k, 2] += along + total * (np.int64(start[i]) - where[k, _X])
            sums[k, 3] += total - n * origin
            sums[k, 4] += squares - origin * (2 * total - n * origin)
            sums[k, 5] = min(sums[k, 5], np.int64(low))
            sums[k, 6] = max(sums[k, 6], np.int64(high))
            sums[k, 7] += total
