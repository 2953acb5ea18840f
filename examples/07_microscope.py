# /// script
# requires-python = ">=3.11"
# dependencies = ["streamproc[micromanager]", "mm-test-adapters"]
# ///
"""A microscope that moves to what it sees: image, decision, next image."""

import argparse
from typing import Any

import useq
from streamproc.sinks.microscope import decisions

import streamproc as sp

#: Images after the first one.
MOVES = 8


def follow(
    frame: int, tables: dict[str, Any], metadata: dict[str, Any]
) -> useq.MDAEvent | None:
    cells = tables.get("cells", [])
    if frame >= MOVES or not cells:
        return None
    largest = max(cells, key=lambda row: row["area"])
    # the demo's objective has pixels of 1 µm
    return useq.MDAEvent(
        x_pos=metadata["x_um"] + largest["centroid_x"] - 64,
        y_pos=metadata["y_um"] + largest["centroid_y"] - 64,
        metadata={"follows": frame},
    )


def main(executor: str) -> None:
    raw = sp.open(
        {
            "micromanager": {
                "config": "demo",
                "exposure_ms": 5,
                "roi": [0, 0, 128, 128],
                "sequence": {"channels": ["DAPI"]},
                "feedback": True,
            }
        }
    )
    cells = raw.threshold("otsu").label().measure(raw, name="cells")
    report = sp.run(
        {"cells": cells},
        "example_microscope",
        executor=executor,
        sinks=[{"microscope": {"function": f"{__name__}:follow"}}],
    )
    made = decisions(report.path)
    print(made[["frame", "latency_ms", "state", "events"]].to_string(index=False))
    p50, p99 = made["latency_ms"].quantile([0.5, 0.99])
    print(f"from image to decision: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(report)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="threads")
    main(parser.parse_args().executor)
