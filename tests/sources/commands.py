"""All a user does with a live source on the command line, a power cut included."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

import streamproc as sp


def _streamproc(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "streamproc", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def killed_and_resumed(source: dict[str, Any], folder: Path) -> sp.Results:
    """Return a run of 40 frames that was killed on the way, after info and check."""
    (name,) = source
    assert f"{name}: " in _streamproc(folder, "list", "sources")
    told = json.loads(_streamproc(folder, "info", json.dumps(source), "--json"))
    assert told["live"] is True
    pipeline = {
        "source": source,
        "graph": {
            "mask": {"threshold": {"method": "fixed", "value": 100}, "of": "source"}
        },
        "save": ["source", "mask"],
    }
    (folder / "live.yaml").write_text(yaml.safe_dump(pipeline))
    _streamproc(folder, "check", "live.yaml")
    command = ["run", "live.yaml", "--to", "RUN", "--frames", "40"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamproc", *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    journal = folder / "RUN" / "admission.jsonl"
    while not journal.is_file() or journal.read_bytes().count(b"\n") < 10:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    _streamproc(folder, "resume", "RUN")
    _streamproc(folder, "verify", "RUN")
    results = sp.load(folder / "RUN")
    assert list(results.frames["frame"]) == list(range(40))
    assert set(results.frames["state"]) == {"done"}
    return results
