"""The measurements run; what they measure is judged by people, on an idle machine."""

import re
import subprocess
import sys
from pathlib import Path


def test_benchmarks_run_and_print_their_figures(
    tmp_path: Path, repository: Path
) -> None:
    command = [
        sys.executable,
        str(repository / "tests" / "benchmarks"),
        *("--frames", "10", "--rounds", "1", "--side", "128"),
        *("--folder", str(tmp_path)),
        *("pipeline", "engine", "writing", "gil"),
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    for name in ("plain loop", r"Pool\(\d+\)", "inline", "threads, background"):
        assert re.search(rf"^  {name} +\d+\.\d fps +\d", ended.stdout, re.M), name
    assert re.search(r"threads / inline \d", ended.stdout)
    assert re.search(r"µs CPU per frame", ended.stdout)
    assert re.search(r"shards / raw \d", ended.stdout)
    assert not list(tmp_path.iterdir())
