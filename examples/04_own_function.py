# /// script
# requires-python = ">=3.11"
# dependencies = ["streamproc"]
# ///
"""Functions of your own as steps, values per frame, and a count that goes on."""

import argparse
from typing import Any

from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

import streamproc as sp


def sharpness(image: NDArray[Any], scale: float = 1.0) -> dict[str, float]:
    """Return the variance of the Laplacian: high where the image is in focus."""
    return {"sharpness": float(scale * ndimage.laplace(image.astype(float)).var())}


def main(executor: str) -> None:
    raw = sp.open({"simulation": {"frames": 20, "shape": [256, 256], "live": False}})

    # any importable function is a step; its parameters are recorded with the run
    edges = raw.map(
        ndimage.gaussian_gradient_magnitude,
        kind="image",
        parameters={"sigma": 2, "output": "float32"},
        name="edges",
    )
    # a value per frame becomes a table of one row per frame. This function lives in
    # the script, not in a module: the run is marked as not resumable
    focus = raw.map(sharpness, kind="value", parameters={"scale": 0.5}, name="focus")
    cells = raw.gaussian(sigma=1).threshold("otsu").label().measure(raw, name="cells")
    objects = cells.running_count(name="objects")

    report = sp.run(
        {"edges": edges, "focus": focus, "objects": objects},
        to="example_own_function",
        executor=executor,
    )
    result = sp.load(report.path)
    print(result.images["edges"].shape, result.images["edges"].dtype)
    print(result.tables["focus"].tail(2))
    print(result.tables["objects"].tail(2))
    print("results:", report.path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="threads")
    main(parser.parse_args().executor)
