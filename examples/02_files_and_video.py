# /// script
# requires-python = ">=3.11"
# dependencies = ["streamproc"]
# ///
"""The same steps on a TIFF stack and on a video; both are written here first."""

import argparse
from pathlib import Path

import av
import numpy as np
import tifffile

import streamproc as sp


def write_recordings(folder: Path) -> tuple[Path, Path]:
    """Write ten frames of two moving squares as a TIFF stack and as a video."""
    folder.mkdir()
    frames = np.full((10, 96, 128), 20, np.uint8)
    for t, frame in enumerate(frames):
        frame[20:32, 10 + 5 * t : 22 + 5 * t] = 200
        frame[60:70, 100 - 4 * t : 110 - 4 * t] = 160
    stack, clip = folder / "squares.tif", folder / "squares.mkv"
    tifffile.imwrite(stack, frames.astype(np.uint16), metadata={"axes": "TYX"})
    with av.open(str(clip), "w") as container:
        video = container.add_stream("ffv1", rate=10)  # lossless
        video.width, video.height, video.pix_fmt = 128, 96, "gray"
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, "gray")))
        container.mux(video.encode())
    return stack, clip


def main(executor: str) -> None:
    for path in write_recordings(Path("example_recordings")):
        raw = sp.open(path)
        info = raw.graph.source.info
        print(f"{path.name}: {info.frames} frames of {info.shape} {info.dtype}")

        squares = raw.threshold("fixed", value=100).label(name="squares")
        shapes = squares.measure(properties=["area", "bbox"], name="shapes")
        to = f"example_{path.suffix[1:]}"
        report = sp.run({"squares": squares, "shapes": shapes}, to, executor=executor)

        areas = sp.load(report.path).tables["shapes"]["area"]
        print(f"  {len(areas)} objects of {sorted(set(areas.tolist()))} pixels")
        print("  results:", report.path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="threads")
    main(parser.parse_args().executor)
