# /// script
# requires-python = ">=3.11"
# dependencies = ["streamproc"]
# ///
"""Two methods compared: live, on every frame, and afterwards as a table and a plot."""

import argparse

import streamproc as sp


def main(executor: str) -> None:
    raw = sp.open({"simulation": {"frames": 20, "shape": [256, 256], "live": False}})

    # two segmentations of the same frames
    smooth = raw.gaussian(sigma=1)
    otsu = smooth.threshold("otsu").label(name="otsu")
    li = smooth.threshold("li").label(name="li")
    # the comparison is a step like any other: a live run has it with every frame
    overlap = otsu.compare_labels(li, name="overlap")
    # two ways to measure the same objects; the limits are those of all frames so far
    sharp = otsu.measure(raw, properties=["mean_intensity"], name="sharp")
    blurred = otsu.measure(smooth, properties=["mean_intensity"], name="blurred")
    agree = sharp.bland_altman(blurred, column="mean_intensity", name="agree")

    save = {"otsu": otsu, "li": li, "sharp": sharp, "blurred": blurred}
    report = sp.run(
        {**save, "overlap": overlap, "agree": agree},
        to="example_comparison",
        executor=executor,
    )
    tables = sp.load(report.path).tables
    print(tables["overlap"][["frame", "dice", "objects_a", "objects_b"]].tail(2))
    print(tables["agree"][["frame", "pairs", "bias", "lower", "upper"]].tail(2))

    # the same, and more, of what is saved
    thresholds = sp.compare(report.path, of=("otsu", "li"))
    print(thresholds)
    thresholds.plot(report.path / "thresholds.png")
    intensities = sp.compare(report.path, of=("sharp", "blurred"))
    print(intensities)
    intensities.plot(report.path / "intensities.html")
    print("results:", report.path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="threads")
    main(parser.parse_args().executor)
