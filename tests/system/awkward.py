"""A writer of images who does everything that a reader fears.

``python -m tests.system.awkward FOLDER --count 2000 --seed 0`` writes images in pieces,
under other names first, out of order, twice, and some that nobody can read. It prints
what it wrote as JSON, and says by a file ``STOP`` in the folder that there is no more.
"""

import argparse
import io
import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import tifffile

from streamproc.frame import Array

SHAPE = (24, 30)
#: Seconds between the pieces of a file, times four, at most.
PAUSE = 0.3


def image(number: int) -> Array:
    """Return the image of a number: no two are alike, and it tells which one it is."""
    made = np.random.default_rng(number).integers(0, 60_000, SHAPE, dtype=np.uint16)
    made[0, 0] = number
    return made


def tiff(number: int) -> bytes:
    """Return it as a TIFF, whose directory comes last now and then."""
    file = io.BytesIO()
    compression = "zlib" if number % 3 == 0 else None
    tifffile.imwrite(file, image(number), compression=compression)
    return file.getvalue()


def png(number: int) -> bytes:
    """Return it as a PNG."""
    return bytes(cv2.imencode(".png", image(number))[1])


class Writer:
    """Writes images into a folder, each in a way of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self.good: list[int] = []
        self.bad: list[str] = []
        #: ways that give the image, and ways that do not
        self._ways: list[Callable[[int, float], None]] = [
            self._at_once,
            self._in_pieces,
            self._png_in_pieces,
            self._renamed,
            self._hidden,
            self._twice,
            self._renamed_later,
        ]
        self._bad_ways = [self._cut, self._text, self._small]

    def write(self, count: int) -> None:
        """Write so many images, several at a time, out of order."""
        numbers = list(range(count))
        for first in range(0, count, 20):
            part = numbers[first : first + 20]
            self._chance.shuffle(part)
            numbers[first : first + 20] = part
        with ThreadPoolExecutor(8) as pool:
            for n, number in enumerate(numbers):
                ways = self._bad_ways if n % 400 in (50, 51, 52) else self._ways
                way, pause = self._chance.choice(ways), self._chance.random() * PAUSE
                if n == 5 or n % 400 in (50, 51, 52):
                    way = ways[n % len(ways)]
                if way in self._ways:
                    self.good.append(number)
                pool.submit(way, number, pause)
        (self._folder / "STOP").touch()

    def _name(self, number: int, suffix: str = ".tif") -> Path:
        return self._folder / f"img_{number:05d}{suffix}"

    def _at_once(self, number: int, pause: float) -> None:
        self._name(number).write_bytes(tiff(number))

    def _pieces(self, path: Path, content: bytes, pause: float) -> None:
        for at in range(0, len(content), len(content) // 3 + 1):
            with path.open("ab") as file:
                file.write(content[at : at + len(content) // 3 + 1])
            time.sleep(pause / 4)

    def _in_pieces(self, number: int, pause: float) -> None:
        self._pieces(self._name(number), tiff(number), pause)

    def _png_in_pieces(self, number: int, pause: float) -> None:
        self._pieces(self._name(number, ".png"), png(number), pause)

    def _renamed(self, number: int, pause: float) -> None:
        path = self._name(number)
        self._pieces(path.with_suffix(".tmp"), tiff(number), pause)
        os.replace(path.with_suffix(".tmp"), path)

    def _hidden(self, number: int, pause: float) -> None:
        path = self._name(number)
        hidden = path.with_name("." + path.name)
        self._pieces(hidden, tiff(number), pause)
        os.replace(hidden, path)

    def _twice(self, number: int, pause: float) -> None:
        self._at_once(number, pause)
        time.sleep(pause)
        self._at_once(number, pause)

    def _renamed_later(self, number: int, pause: float) -> None:
        self._at_once(number, pause)
        time.sleep(pause)
        os.replace(self._name(number), self._name(number, "_final.tif"))

    def _cut(self, number: int, pause: float) -> None:
        self._spoil(number, tiff(number)[:-40])

    def _text(self, number: int, pause: float) -> None:
        self._spoil(number, b"no image at all")

    def _small(self, number: int, pause: float) -> None:
        file = io.BytesIO()
        tifffile.imwrite(file, image(number)[:8])
        self._spoil(number, file.getvalue())

    def _spoil(self, number: int, content: bytes) -> None:
        path = self._name(number)
        path.write_bytes(content)
        self.bad.append(path.name)


def main() -> None:
    """Write, and tell what was written."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    writer = Writer(given.folder, given.seed)
    given.folder.mkdir(exist_ok=True)
    writer.write(given.count)
    print(json.dumps({"good": sorted(writer.good), "bad": sorted(writer.bad)}))


if __name__ == "__main__":
    main()
