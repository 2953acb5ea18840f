"""Blocks of Markdown, run in order in one folder: README.md and the pages of docs."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import tifffile

#: What a block may be; text is what a command says, and is not run.
LANGUAGES = {"shell", "python", "yaml", "toml", "sql", "text"}
#: A first line that names the file which the block is: ``# nuclei.yaml``.
_FILE = re.compile(r"# ([\w./-]+\.(?:yaml|py|toml))\n")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text and the line it begins at."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file it is to be written to, by its first line."""
        found = _FILE.match(self.text)
        if found:
            return found[1]
        return "nuclei.yaml" if self.language == "yaml" else None


def blocks(text: str) -> list[Block]:
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [Block(m[1], m[2], text[: m.start()].count("\n") + 1) for m in found]


def run_page(
    page: Path, not_run: Collection[str] = (), *, skip: Collection[str] = ()
) -> None:
    """Run every block of a page here.

    YAML, and whatever names a file, is written; SQL asks ``RUN/run.sqlite`` and must
    find something; Python blocks share their names; text is what the shell block
    before it prints. Shell blocks whose first word is in ``not_run``, and those in
    ``skip``, are left out.
    """
    names: dict[str, Any] = {"__name__": page.stem}
    said = ""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.text in skip:
            continue
        if block.file is not None:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            code = compile("\n" * block.line + block.text, str(page), "exec")
            exec(code, names)
        elif block.language == "sql":
            sql(block, page)
        elif block.language == "shell" and block.text.split()[0] not in not_run:
            said = shell(block, page)
        elif block.language == "text":
            printed(block, said, page)


def printed(block: Block, said: str, page: Path) -> None:
    """Compare line by line, however far the columns are apart."""
    lines = {" ".join(line.split()) for line in said.splitlines()}
    for line in block.text.splitlines():
        assert " ".join(line.split()) in lines, f"{page.name}:{block.line}\n{said}"


def shell(block: Block, page: Path) -> str:
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    where = f"{page.name}:{block.line}"
    assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
    return done.stdout


def sql(block: Block, page: Path) -> None:
    db = sqlite3.connect("file:RUN/run.sqlite?mode=ro", uri=True)
    try:
        for statement in filter(str.strip, block.text.split(";")):
            where = f"{page.name}:{block.line} {statement}"
            assert db.execute(statement).fetchall(), where
    finally:
        db.close()


def squares(frames: int = 6, height: int = 64, width: int = 80) -> Any:
    """Two bright squares that move over noise: ``(t, y, x)``, uint16."""
    rng = np.random.default_rng(1)
    movie = rng.poisson(20, (frames, height, width)).astype(np.uint16)
    for t, frame in enumerate(movie):
        frame[10:22, 8 + 4 * t : 20 + 4 * t] += 300
        frame[40:48, 60 - 3 * t : 70 - 3 * t] += 200
    return movie


def write_data(folder: Path) -> None:
    """Write what the pages take for granted."""
    movie = squares()
    tifffile.imwrite(folder / "movie.tif", movie, photometric="minisblack")
    (folder / "plate").mkdir()
    for t, frame in enumerate(movie):
        cv2.imwrite(str(folder / "plate" / f"well_{t}.png"), frame)


def write_more_data(folder: Path) -> None:
    """Write what the pages of docs take for granted beyond that."""
    movie = squares()
    with av.open(str(folder / "clip.mkv"), "w") as container:
        video = container.add_stream("ffv1", rate=10)
        video.width, video.height, video.pix_fmt = 80, 64, "gray"
        for frame in movie:
            gray = np.minimum(frame, 255).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(gray, "gray")))
        container.mux(video.encode())
    z = np.array([0.4, 1.0, 0.6])[None, :, None, None]
    cells = (movie[:, None] * z).astype(np.uint16)
    tifffile.imwrite(
        folder / "stack.ome.tif",
        np.stack([cells, cells[..., ::-1]], axis=2),
        metadata={
            "axes": "TZCYX",
            "Channel": {"Name": ["DAPI", "GFP"]},
            "PhysicalSizeX": 0.5,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 0.5,
            "PhysicalSizeYUnit": "µm",
        },
        photometric="minisblack",
    )
