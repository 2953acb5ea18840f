"""Pictures of the pages and the gallery, made by the software itself.

Every picture is what the commands beside it draw, run in a folder of its own while the
documentation is built; one is made again when its commands or its example change.
"""

import ast
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

#: Pixels of a picture's longer side.
LONGEST = 1280
#: A recording of the simulated microscope, in place of a file.
SIMULATED = '"{simulation: {frames: 60, shape: [256, 256], live: false}}"'
#: What draws the picture of each example, after it has run.
SHOWN = {
    "01_quickstart": "streamproc export example_quickstart overlay "
    "--frames 30 --to 01_quickstart.png",
    "02_files_and_video": "streamproc info example_tif "
    "--frame 4 --png 02_files_and_video.png",
    "03_stream": "streamproc info example_stream --png 03_stream.png",
    "04_own_function": "streamproc export example_own_function overlay "
    "--images edges --frames 0 --to 04_own_function.png",
    "06_compare_methods": "mv example_comparison/thresholds.png 06_compare_methods.png",
    "05_stop_and_resume": "streamproc info example_resume "
    "--frame 40 --png 05_stop_and_resume.png",
    "07_microscope": "streamproc info example_microscope "
    "--frame 4 --png 07_microscope.png",
    "demo": f"streamproc preview demo.yaml --source {SIMULATED} "
    "--frame 50 --png demo.png",
    "folder": f"streamproc preview folder.yaml --source {SIMULATED} "
    "--frame 50 --png folder.png",
    "micromanager": f"streamproc preview micromanager.yaml --source {SIMULATED} "
    "--frame 50 --png micromanager.png",
    "nuclei": f"streamproc preview nuclei.yaml --source {SIMULATED} "
    "--frame 50 --png nuclei.png",
    "touching_nuclei": f"streamproc preview touching_nuclei.yaml --source {SIMULATED} "
    "--frame 50 --png touching_nuclei.png",
    "video": "streamproc preview video.yaml --frame 30 --png video.png",
}
#: What an example reads that is not there: a script that writes it. The video is the
#: simulated microscope's, with its light turned round.
NEEDS = {
    "video": """
import av
import streamproc as sp

with av.open("clip.mp4", "w") as container:
    video = container.add_stream("libx264", rate=20, options={"crf": "12"})
    video.width, video.height, video.pix_fmt = 256, 256, "yuv420p"
    for cells in sp.testing.frames(40, shape=(256, 256)):
        dark = (220 - cells.clip(0, 1000) / 5).astype("uint8")
        container.mux(video.encode(av.VideoFrame.from_ndarray(dark, "gray")))
    container.mux(video.encode())
""",
}
#: Pictures of the how-to pages: the page whose pipeline they show, and the command.
HOWTO = {
    "first": (
        "first-pipeline",
        "streamproc run first.yaml --to RUN && streamproc info RUN --png first.png",
    ),
    "preview": (
        "tune-parameters",
        "streamproc preview nuclei.yaml --frame 3 --png preview.png",
    ),
    "sweep": (
        "tune-parameters",
        "streamproc sweep nuclei.yaml --set graph.smooth.gaussian.sigma=1,2,4 "
        "--to SWEEP && mv SWEEP/sweep.png sweep.png",
    ),
    "compare": (
        "compare-methods",
        "streamproc run nuclei.yaml --to ONE && streamproc compare ONE "
        "--of cells,blurred --column mean_intensity --plot compare.png",
    ),
    "overlay": (
        "export",
        "streamproc run nuclei.yaml --to RUN && "
        "streamproc export RUN overlay --to overlay.png --frames 4",
    ),
}


@dataclass(frozen=True)
class Picture:
    """A picture, the files its commands need, and the commands."""

    path: Path
    files: dict[str, str]
    commands: tuple[str, ...]

    @property
    def printed(self) -> Path:
        """What the first command printed, beside the picture."""
        return self.path.with_suffix(".txt")

    @property
    def stamp(self) -> str:
        """Changes when the picture has to be made again."""
        said = repr((sorted(self.files.items()), self.commands))
        return hashlib.sha256(said.encode()).hexdigest()


def setup(app: Sphinx) -> dict[str, Any]:
    """Join Sphinx: pictures and pages are made before it looks for them."""
    app.connect("builder-inited", lambda app: make(Path(app.srcdir)))
    return {"parallel_read_safe": True}


def make(docs: Path) -> None:
    """Make the pictures that are missing, and the pages of the gallery."""
    wanted = [*of_howto(docs), *of_examples(docs)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(draw, wanted))
    folder = docs / "gallery" / "generated"
    for example in examples(docs):
        page = folder / f"{example.stem}.md"
        text = one_page(example, folder / f"{example.stem}.txt")
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    overview = folder / "overview.txt"
    overview.write_text(cards(examples(docs)), encoding="utf-8")


def examples(docs: Path) -> list[Path]:
    """Return the scripts and pipelines of ``examples/``, in their order."""
    folder = docs.parent / "examples"
    return [*sorted(folder.glob("*.py")), *sorted(folder.glob("pipelines/*.yaml"))]


def of_examples(docs: Path) -> Iterator[Picture]:
    """Yield the pictures of the gallery."""
    known = {path.stem: path for path in examples(docs)}
    for stem, path in known.items():
        if stem not in SHOWN:
            raise ExtensionError(f"docs/_ext/gallery.py draws no picture of {path}")
        run = [f"python {path.name}"] if path.suffix == ".py" else []
        files = {path.name: path.read_text(encoding="utf-8")}
        if stem in NEEDS:
            files["needs.py"], run = NEEDS[stem], ["python needs.py", *run]
        target = docs / "gallery" / "generated" / f"{stem}.jpg"
        yield Picture(target, files, (*run, SHOWN[stem]))


def of_howto(docs: Path) -> Iterator[Picture]:
    """Yield the pictures of the how-to pages, with the pipelines of their pages."""
    for name, (page, command) in HOWTO.items():
        text = (docs / "howto" / f"{page}.md").read_text(encoding="utf-8")
        block = re.search(r"^```yaml\n(# (\S+)\n.*?)^```$", text, re.M | re.S)
        if block is None:
            raise ExtensionError(f"{page}.md has no pipeline to draw {name}.jpg")
        target = docs / "howto" / "generated" / f"{name}.jpg"
        yield Picture(target, {block[2]: block[1]}, (command,))


def draw(picture: Picture) -> None:
    """Run the commands of a picture in an empty folder, unless nothing changed."""
    stamp = picture.path.with_suffix(".stamp")
    known = stamp.read_text() if stamp.exists() else ""
    if picture.path.exists() and known == picture.stamp:
        return
    picture.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in picture.files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        said = [run(command, folder) for command in picture.commands]
        shrink(Path(folder, picture.path.stem + ".png"), picture.path)
    picture.printed.write_text(said[0], encoding="utf-8")
    stamp.write_text(picture.stamp)


def shrink(drawn: Path, to: Path) -> None:
    """Write a picture as a page needs it: noise makes PNG files ten times as large."""
    with Image.open(drawn) as image:
        picture = image.convert("RGB")
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    picture.save(to, quality=85)


def run(command: str, folder: str) -> str:
    """Run one command with this interpreter's programs and return what it prints."""
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise ExtensionError(f"{command}: {done.stderr.strip()}")
    return done.stdout


def title(example: Path) -> str:
    """Return the first line that says what an example shows."""
    text = example.read_text(encoding="utf-8")
    if example.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return text.partition("\n")[0].removeprefix("# ")


def one_page(example: Path, printed: Path) -> str:
    """Return the page of one example: picture, what it prints, source."""
    stem = example.stem
    is_script = example.suffix == ".py"
    inside = example.name if is_script else f"pipelines/{example.name}"
    language = "python" if is_script else "yaml"
    depth = "../../../examples"
    lines = [
        f"# {stem}\n",
        title(example) + "\n",
        f"```{{image}} {stem}.jpg\n:alt: {title(example)}\n```\n",
        f"Drawn by `{SHOWN[stem]}`.\n",
        f"## examples/{inside}\n",
        f"```{{literalinclude}} {depth}/{inside}\n:language: {language}\n```\n",
    ]
    said = printed.read_text(encoding="utf-8").strip() if is_script else ""
    if said:
        lines += ["## What it prints\n", f"```text\n{said}\n```\n"]
    return "\n".join(lines)


def cards(found: list[Path]) -> str:
    """Return the overview: a picture and a line for each example."""
    text = ["````{container} gallery"]
    for example in found:
        stem = example.stem
        text += [
            f"```{{figure}} generated/{stem}.jpg",
            f":target: generated/{stem}.html",
            f":alt: {title(example)}",
            "",
            f"**{stem}** {title(example)}",
            "```",
        ]
    return "\n".join([*text, "````", ""])
