"""The measurements run; what they measure is judged by people, on an idle machine."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks import contest, peers
from tests.benchmarks.analysis import Recording, make_recording
from tests.benchmarks.meter import Flow

#: clusters and workers begin again and again: once, on one interpreter
pytestmark = pytest.mark.slow


def measure(repository: Path, folder: Path, *arguments: str) -> str:
    """Run the command with few small frames; return what it prints."""
    command = [
        sys.executable,
        str(repository / "tests" / "benchmarks"),
        *("--rounds", "1", "--folder", str(folder)),
        *arguments,
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, cwd=folder
    )
    assert ended.returncode == 0, ended.stderr
    assert not list(folder.iterdir())
    return ended.stdout


def test_benchmarks_run_and_print_their_figures(
    tmp_path: Path, repository: Path
) -> None:
    chosen = ("executors", "engine", "writing", "gil")
    told = measure(repository, tmp_path, *chosen, "--frames", "10", "--side", "128")
    for name in ("plain loop", r"Pool\(\d+\)", "inline", "threads, background"):
        assert re.search(rf"^  {name} +\d+\.\d fps +\d", told, re.M), name
    assert re.search(r"threads / inline \d", told)
    assert re.search(r"µs CPU per frame", told)
    assert re.search(r"shards / raw \d", told)


def test_all_contestants_find_the_same(tmp_path: Path, repository: Path) -> None:
    """The command fails where their label images or rows differ."""
    told = measure(repository, tmp_path, "peers", "--frames", "6", "--side", "128")
    for name in contest.ALL:
        line = rf"^  {re.escape(name)} +\d+\.\d fps .* \d+\.\d\d ms CPU +\d"
        assert re.search(line, told, re.M), name
    assert len(re.findall(r"^  .* / .* \d+\.\d\d$", told, re.M)) == 5


def test_contestants_that_differ_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses_one(recording: Recording, folder: Path) -> Flow:
        return peers.plain_loop(replace(recording, frames=2), folder)

    monkeypatch.setitem(contest.ALL, "loses one", loses_one)
    recording = make_recording(tmp_path / "recording.zarr", 3, 64)
    with pytest.raises(RuntimeError, match=r"results differ: .*'loses one'"):
        contest.compete(recording, ["plain loop", "loses one"], 1, tmp_path)


def test_latencies_are_measured(tmp_path: Path, repository: Path) -> None:
    told = measure(
        *(repository, tmp_path, "live", "--frames", "8"),
        *("--side", "128", "--fps", "50"),
    )
    for name in ("plain loop", "ours, threads"):
        assert re.search(rf"^  {name} +p50 +\d+\.\d ms  p99 +\d+\.\d ms", told, re.M)
    assert re.search(r"ours / plain loop: p50 \d+\.\d+, p99 \d", told)


def test_a_long_live_run_is_told_in_blocks(tmp_path: Path, repository: Path) -> None:
    told = measure(
        *(repository, tmp_path, "steady", "--frames", "600"), *("--fps", "300")
    )
    assert "600 live frames of 64² at 300/s on threads: 600 done, 0 lost" in told
    rows = re.findall(r"^  frames +\d+ to +\d+: RSS +[\d.na]+ MB  p50", told, re.M)
    assert len(rows) == 12
    assert len(re.findall(r"per block.*: [+-nan\d.]+ ± ", told)) == 2


def test_scaling_is_measured(tmp_path: Path, repository: Path) -> None:
    told = measure(
        *(repository, tmp_path, "scaling", "tasks", "--processes", "1"),
        *("--seconds", "0.5", "--tasks", "300"),
    )
    assert len(re.findall(r"^ +\d+ +\d+ +\d+ +\d\.\d\d", told, re.M)) == 4
    marks = re.findall(r"^ +(\d+) +\d+\.\d MB$", told, re.M)
    assert marks == ["30", "90", "300"]


def test_the_whole_pipeline_is_compared(tmp_path: Path, repository: Path) -> None:
    told = measure(repository, tmp_path, "pipeline", "--side", "256")
    parts = told.split("whole pipeline, 256² uint16")[1:]
    assert len(parts) == 2, "without background, and with"
    for name in ("scipy, scikit-image", "ours, plain functions", "ours, one stage"):
        for part in parts:
            assert re.search(rf"^  {name} +\d+\.\d\d ms +\d+\.\dx", part, re.M), name
    assert re.search(r"^  OpenCV +\d+\.\d\d ms .* \d+ objects, ", parts[0], re.M)
    assert re.search(r"one stage / OpenCV \d+\.\d \(asked: 3\)", parts[0])
    assert re.search(r"one stage / scipy.* \(asked: 11\)", parts[1])
    assert len(re.findall(r"two threads / one, ours, one stage +\d\.\d\d", told)) == 2


def test_operators_are_timed_beside_their_oracles(
    tmp_path: Path, repository: Path
) -> None:
    page = tmp_path.parent / f"{tmp_path.name}.md"
    told = measure(
        *(repository, tmp_path, "operators", "--markdown", str(page)),
        *("--only", "clip", "compare_labels"),
    )
    row = r" +\S+ +\d+\.\d{3} +\d+\.\d\d +[\d.]+ +0\.9"
    for title in (r"clip min 20, max 200 +uint16", r"compare_labels +labels"):
        assert re.search(rf"^{title}{row}", told, re.M), told
    assert "compare_labels, 3,000 objects" in told
    assert "farther from the oracle than said: none" in told
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[2].startswith("| operator | equals | agreement | uint16 | ratio |")
    (clip,) = (line for line in lines if line.startswith("| clip"))
    assert re.search(r"\| equal \| [\d.]+ ms \| [\d.]+× \| [\d.]+ ms \|", clip)
