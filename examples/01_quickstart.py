# /// script
# requires-python = ">=3.11"
# dependencies = ["streamproc"]
# ///
"""A simulated microscope in; label images and a table of nuclei out."""

import argparse

import streamproc as sp


def main(executor: str) -> None:
    raw = sp.open({"simulation": {"frames": 40, "shape": [256, 256], "fps": None}})
    smooth = raw.background(window=20, every=10).gaussian(sigma=1)
    nuclei = smooth.threshold("otsu").binary_opening(radius=2).label(name="nuclei")
    cells = nuclei.measure(raw, properties=["area", "centroid", "mean_intensity"])

    report = sp.run(
        {"source": raw, "nuclei": nuclei, "cells": cells},
        to="example_quickstart",
        executor=executor,
    )
    print(report)

    result = sp.load(report.path)
    print(result.labels["nuclei"].shape, result.labels["nuclei"].dtype)
    print(
        result.tables["cells"].groupby("frame")["area"].agg(["count", "mean"]).tail(3)
    )
    print("results:", report.path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="threads")
    main(parser.parse_args().executor)
