"""A third-party distribution: installed by pip, tested by its own tests, and used."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import streamproc as sp
from streamproc.__main__ import main
from streamproc.testing import frames
from tests.arrays import wait_for, whole
from tests.same_run import assert_same_run

EXAMPLE = Path(__file__).parent / "plugin_example"
PIPELINE = """
source: {dump: {path: stack.dump, pixel_size_um: 0.65}}
graph:
  spots: {bright_spots: {radius: 15, factor: 1.4}}
  smooth: {gaussian: {sigma: 1}, of: spots}
  again: {bright_spots: 7, of: smooth}
  nuclei: {label: {}, of: spots}
  cells: {measure: {intensity: source}, of: nuclei}
  how: {spread: {}, of: [spots, source]}
save: [spots, again, nuclei, cells, how]
sinks: [{counts: {file: told.jsonl}}]
"""
Streamproc = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution in a folder of its own, as pip puts it there."""
    folder = tmp_path_factory.mktemp("plugin")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(EXAMPLE, folder / "source", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    pip += ["--no-deps", "--no-build-isolation", "--target", str(folder / "target")]
    subprocess.run([*pip, str(folder / "source")], check=True, capture_output=True)
    return folder / "target"


def dump(path: Path, count: int) -> Path:
    """Frames as the plugin's source takes them."""
    frames(count, shape=(96, 96)).astype("<u2").tofile(path)
    return path


def environment(*folders: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


@pytest.fixture
def streamproc(installed: Path, tmp_path: Path) -> Streamproc:
    """The command line, in a folder with a stack, where the plugin is installed."""
    dump(tmp_path / "stack.dump", 12)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    return lambda *arguments, plugin=installed: subprocess.run(
        [sys.executable, "-m", "streamproc", *arguments],
        cwd=tmp_path,
        env=environment(plugin),
        capture_output=True,
        text=True,
    )


@pytest.fixture
def importable(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin, installed for this process."""
    monkeypatch.syspath_prepend(installed)


def test_its_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    for name in ("test_example.py", "pyproject.toml"):
        shutil.copy(EXAMPLE / name, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment(installed),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.rpartition(" passed")[0].split()[-1]) > 40


def test_it_is_listed(streamproc: Streamproc) -> None:
    text = streamproc("list").stdout
    assert "  dump: Read a file of frames without a header.\n" in text
    assert "      path, shape=[96, 96], dtype=uint16, pixel_size_um=null\n" in text
    assert "  counts: Write ``RUN/<file>``" in text
    assert "  bright_spots: Mark what is brighter than its surroundings." in text
    assert "      radius=3, factor=1.1\n" in text


def test_a_pipeline_of_it_runs(streamproc: Streamproc, tmp_path: Path) -> None:
    checked = streamproc("check", "p.yaml")
    assert checked.returncode == 0, checked.stderr
    assert "  again: bright_spots of smooth -> mask\n" in checked.stdout
    assert "  how: spread of spots, source -> value\n" in checked.stdout
    done = streamproc("run", "p.yaml", "--to", "RUN")
    assert done.returncode == 0, done.stderr
    result = sp.load(tmp_path / "RUN")
    from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

    stack = frames(12, shape=(96, 96)).astype(np.float32)
    means = np.stack([ndimage.uniform_filter(image, 31) for image in stack])
    expected = stack > np.float32(1.4) * means
    masks = whole(result.labels["spots"])
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks, expected)
    told = (tmp_path / "RUN" / "told.jsonl").read_text().splitlines()
    counts = [json.loads(line)["rows"]["cells"] for line in told]
    assert counts == [ndimage.label(m, np.ones((3, 3)))[1] for m in expected]
    np.testing.assert_allclose(
        result.tables["how"]["mean"],
        [image[m].mean(dtype=float) for image, m in zip(stack, expected, strict=True)],
    )
    assert sum(counts) > 12


@pytest.mark.usefixtures("importable", "streamproc")
def test_its_parameters_are_checked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for setting, said in (
        ("graph.spots.bright_spots.radius=0", "radius must be >= 1, got 0"),
        ("graph.spots.bright_spots.radios=2", "bright_spots has no parameter 'radios'"),
        ("graph.how.of=[source, spots]", "how.spread: spread needs a mask, got an im"),
        ("graph.how.of=spots", "how.spread: spread takes 2 input(s), got 1"),
        ("source.dump.pixel_size_um=0", "source.dump.pixel_size_um must be > 0.0, g"),
    ):
        assert main(["check", "p.yaml", "--set", setting]) == 2
        text = capfd.readouterr().err
        assert said in text
        assert text.count("\n") == 1


def test_without_it_a_pipeline_is_refused_by_name(
    streamproc: Streamproc, tmp_path: Path
) -> None:
    done = streamproc("run", "p.yaml", plugin=tmp_path)
    assert done.returncode == 2
    assert "sinks: no sink named 'counts'; known: " in done.stderr
    done = streamproc("run", "p.yaml", "--set", "sinks=[]", plugin=tmp_path)
    assert done.returncode == 2
    assert "no operator named 'bright_spots'" in done.stderr


def test_an_upgrade_is_refused_by_name(
    streamproc: Streamproc, installed: Path, tmp_path: Path
) -> None:
    run = ("run", "p.yaml", "--to", "RUN", "--set", "sinks=[]")
    assert streamproc(*run).returncode == 0
    upgraded = tmp_path / "upgraded"
    shutil.copytree(installed, upgraded)
    metadata = upgraded / "streamproc_example-1.0.dist-info"
    text = (metadata / "METADATA").read_text()
    (metadata / "METADATA").write_text(text.replace("Version: 1.0", "Version: 1.1"))
    metadata.rename(upgraded / "streamproc_example-1.1.dist-info")
    done = streamproc("resume", "RUN", plugin=upgraded)
    assert done.returncode == 2
    assert "streamproc-example was 1.0, is 1.1" in done.stderr
    forced = streamproc("resume", "RUN", "--force-environment", plugin=upgraded)
    assert forced.returncode == 0, forced.stderr
    gone = streamproc("resume", "RUN", plugin=tmp_path)
    assert gone.returncode == 2
    assert "streamproc-example was 1.0, is not installed" in gone.stderr


@pytest.mark.usefixtures("importable")
def test_it_is_used_from_python(tmp_path: Path, executor: str) -> None:
    raw = sp.open(dump(tmp_path / "a.dump", 3))
    spots = raw.apply("bright_spots", radius=9)
    assert isinstance(spots, sp.Mask)
    assert (spots.name, spots.step.parameters) == (
        "bright_spots",
        {"radius": 9, "factor": 1.1},
    )
    how = spots.apply("spread", raw, name="how")
    assert isinstance(how, sp.Value)
    saved = {"spots": spots, "how": how}
    report = sp.run(saved, tmp_path / "run", executor=executor)
    assert report.frames.done == 3
    with pytest.raises(sp.ConfigError, match=r"bright_spots.radius must be >= 1, got"):
        raw.apply("bright_spots", radius=0)


@pytest.mark.usefixtures("importable")
def test_a_stopped_run_goes_on_as_if_unbroken(
    streamproc: Streamproc, tmp_path: Path
) -> None:
    dump(tmp_path / "long.dump", 300)

    def saved() -> dict[str, sp.Handle]:
        raw = sp.open(tmp_path / "long.dump")
        spots = raw.apply("bright_spots", radius=9)
        return {"spots": spots, "cells": spots.apply("gaussian", sigma=1)}

    run = sp.start(saved(), tmp_path / "broken", executor="inline")
    wait_for(run, 1)
    run.stop()
    assert run.wait().frames.done < 300
    done = streamproc("resume", "broken")
    assert done.returncode == 0, done.stderr
    sp.run(saved(), tmp_path / "whole", executor="inline")
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
