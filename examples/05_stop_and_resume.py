# /// script
# requires-python = ">=3.11"
# dependencies = ["streamproc"]
# ///
"""A run that is stopped half way, and goes on where it was."""

import argparse
import time

import streamproc as sp


def main(executor: str) -> None:
    raw = sp.open({"simulation": {"frames": 60, "shape": [256, 256], "live": False}})
    nuclei = raw.gaussian(sigma=1).threshold("otsu").label(name="nuclei")
    cells = nuclei.measure(raw, name="cells")

    run = sp.start(
        {"nuclei": nuclei, "cells": cells}, "example_resume", executor=executor
    )
    while run.state == "running" and run.report().frames.done < 5:
        time.sleep(0.005)
    run.stop()  # a crash, kill -9 or a power cut would do as well
    print(run.wait())

    report = sp.resume(run.path)
    print(report)
    frames = sp.load(run.path).frames
    print(
        f"{len(frames)} frames, states {sorted(frames['state'].unique())}: {run.path}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="threads")
    main(parser.parse_args().executor)
