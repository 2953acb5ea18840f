"""A simulated microscope of known truth: moving, dividing, fluorescent nuclei."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from streamproc.errors import ConfigError, FrameError
from streamproc.frame import Array, Frame, Gap, SourceInfo, Unreadable

from ._cells import Bodies, Columns, Population, hashed, smoothstep

#: Acquisition time of frame 0, in seconds since the Unix epoch.
EPOCH = 1_700_000_000.0
PIXEL_SIZE_UM = 0.65
#: Photons per pixel: the field's own light, a cell of brightness 1, the offset.
BACKGROUND, CELL, OFFSET = 180.0, 620.0, 100.0
#: Half of the square that a cell is drawn in.
REACH = 14
#: Photons per count of the camera.
GAIN = {"uint8": 6.0, "uint16": 1.0, "float32": 1.0}
NOISE_BANK = 1 << 21


class Simulation:
    """Simulate a microscope that films moving, dividing cells.

    Frame n's pixels, time and truth depend on the parameters and n alone, never on
    the frames before it, so a run that resumes sees what it would have seen.

    Parameters
    ----------
    frames
        How many frames; None never ends (only with ``live``).
    shape
        Height and width in pixels.
    dtype
        ``uint8`` counts six photons each and saturates, the others count one.
    seed
        Another seed is another field of cells.
    fps
        Frames per second; None delivers as fast as it can, and times are seconds.
    live
        True behaves like a camera: in sequence, in real time, not to be read again.
        False behaves like a recording.
    cells
        Mean number of cells in the field; None is one per 2,900 pixels.

    Raises
    ------
    ConfigError
        More cells than fit, or an endless recording.

    Notes
    -----
    The light is uneven (vignette and gradient) and falls on cells as on the
    background. Noise is the normal approximation of Poisson noise: a bank of
    2,097,152 normal numbers, drawn once from the seed and read from a place that
    is hashed from (seed, n), times the root of the light.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        frames: Annotated[int, Ge(0)] | None = 200,
        *,
        shape: tuple[Annotated[int, Ge(16)], Annotated[int, Ge(16)]] = (512, 512),
        dtype: Literal["uint8", "uint16", "float32"] = "uint16",
        seed: int = 0,
        fps: Annotated[float, Gt(0)] | None = 20.0,
        live: bool = True,
        cells: Annotated[int, Ge(0)] | None = None,
    ) -> None:
        self._frames, self._fps, self._live = frames, fps, live
        self._population = Population(seed, (shape[0], shape[1]), cells)
        self._dtype = np.dtype(dtype)
        self._stop = threading.Event()
        if frames is None and not live:
            raise ConfigError("frames must be a number where live is false, got null")
        if cells is not None and cells > self._population.most:
            raise ConfigError(
                f"cells must be <= {self._population.most} in a field of "
                f"{shape[0]} x {shape[1]} pixels, got {cells}"
            )
        self._parameters = {
            "frames": frames,
            "shape": list(shape),
            "dtype": dtype,
            "seed": seed,
            "fps": fps,
            "live": live,
            "cells": cells,
        }

    @cached_property
    def info(self) -> SourceInfo:
        """What this source is."""
        told = json.dumps(self._parameters, sort_keys=True)
        return SourceInfo(
            shape=self._population.shape,
            dtype=self._dtype,
            axes="yx",
            identity="simulation:" + hashlib.sha256(told.encode()).hexdigest()[:16],
            frames=self._frames,
            live=self._live,
            random_access=not self._live,
            pixel_size_um={"y": PIXEL_SIZE_UM, "x": PIXEL_SIZE_UM},
            fps=self._fps,
            metadata={"simulated": True, **self._parameters},
        )

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap]:
        """Yield every frame from position ``start`` on, a live one when it is due."""
        self._stop.clear()
        began, n = time.monotonic(), start
        while self._frames is None or n < self._frames:
            if self._live and self._fps:
                due = began + (n - start) / self._fps
                self._stop.wait(max(0.0, due - time.monotonic()))
            if self._stop.is_set():
                return
            yield self._frame(n)
            n += 1

    def read(self, index: int) -> Frame:
        """Return frame ``index`` of a simulated recording.

        Raises
        ------
        FrameError
            A live source, or an index out of range.
        """
        if self._live:
            raise FrameError("a live simulation cannot be read again; set live: false")
        if self._frames is not None and not 0 <= index < self._frames:
            raise FrameError(f"no frame {index}; the simulation has {self._frames}")
        return self._frame(index)

    def truth(self, n: int) -> Columns:
        """Return the cells whose centre is inside frame ``n``, one row each.

        Returns
        -------
        dict
            Columns ``cell`` (a number that is a cell's own for ever), ``parent``
            (0: entered the field as it is), ``y``, ``x`` (pixels) and ``radius``.
            A dividing cell is two from the frame on in which a gap opens. Cells
            do not overlap, so every one is counted.
        """
        return self._population.truth(n)

    def stop(self) -> None:
        """End `frames` soon; it may be begun again."""
        self._stop.set()

    def close(self) -> None:
        """Release nothing: there is nothing to release."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters: the noise is drawn again where it is needed."""
        return dict(self._parameters)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the source again from its parameters."""
        Simulation.__init__(self, **{**state, "shape": tuple(state["shape"])})

    def _frame(self, n: int) -> Frame:
        """Return frame ``n``."""
        moment = EPOCH + n / (self._fps or 1.0)
        return Frame(self._render(n), n, moment, {})

    def _render(self, n: int) -> Array:
        """Return the pixels of frame ``n``."""
        light = np.zeros(self._population.shape, dtype=np.float32)
        _draw(light, self._population.bodies(n))
        light *= CELL
        light += BACKGROUND
        light *= self._illumination
        noise = np.sqrt(light)
        noise *= self._noise(n)
        light += noise
        light += OFFSET
        name = self._dtype.name
        if name == "float32":
            return light
        light *= 1 / GAIN[name]
        np.rint(light, out=light)
        np.clip(light, 0, np.iinfo(self._dtype).max, out=light)
        return light.astype(self._dtype)

    @cached_property
    def _illumination(self) -> NDArray[np.float32]:
        """The light's evenness: brightest right of the middle, dark in the corners."""
        height, width = self._population.shape
        y = np.linspace(-1, 1, height)[:, None]
        x = np.linspace(-1, 1, width)[None, :]
        return (1.0 - 0.16 * (y * y + x * x) + 0.08 * x + 0.04 * y).astype(np.float32)

    @cached_property
    def _bank(self) -> NDArray[np.float32]:
        # RandomState: numpy promises that its streams never change
        seed = int(hashed(self._population.seed, 20) * 2**32)
        size = max(NOISE_BANK, 4 * int(np.prod(self._population.shape)))
        return np.random.RandomState(seed).standard_normal(size).astype(np.float32)

    def _noise(self, n: int) -> NDArray[np.float32]:
        """Return the unit noise of frame ``n``: a place in the bank."""
        height, width = self._population.shape
        room = self._bank.size - height * width
        first = int(hashed(self._population.seed, n, 21) * room)
        return self._bank[first : first + height * width].reshape(height, width)


def _draw(image: NDArray[np.float32], bodies: Bodies) -> None:
    """Draw bodies into an image, the brighter one where two overlap."""
    height, width = image.shape
    row = np.floor(bodies.y).astype(int)
    column = np.floor(bodies.x).astype(int)
    stamps = _stamps(bodies, bodies.y - row, bodies.x - column)
    size = 2 * REACH + 1
    for stamp, y, x in zip(stamps, row - REACH, column - REACH, strict=True):
        top, left = max(0, -y), max(0, -x)
        bottom, right = min(size, height - y), min(size, width - x)
        if top < bottom and left < right:
            part = image[y + top : y + bottom, x + left : x + right]
            np.maximum(part, stamp[top:bottom, left:right], out=part)


def _stamps(
    bodies: Bodies, y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return a small picture of every body, its centre (y, x) off the middle."""
    grid = np.arange(-REACH, REACH + 1, dtype=np.float32)
    column = (slice(None), None, None)

    def small(value: NDArray[np.float64]) -> NDArray[np.float32]:
        return value.astype(np.float32)[column]

    v = grid[None, :, None] - small(y)
    u = grid[None, None, :] - small(x)
    cos, sin = small(np.cos(bodies.angle)), small(np.sin(bodies.angle))
    long = (u * cos + v * sin) * small(1 / bodies.stretch)
    wide = (v * cos - u * sin) * small(bodies.stretch)
    distance = np.sqrt(long * long + wide * wide)
    picture = smoothstep((small(bodies.radius + 1.6) - distance) * np.float32(1 / 3.2))
    texture = np.sin(long * np.float32(0.75) + small(bodies.texture))
    texture *= np.sin(wide * np.float32(0.9) + small(2 * bodies.texture))
    picture *= small(bodies.brightness) * (1 + np.float32(0.18) * texture)
    return picture.astype(np.float32)
