"""The shell completes commands, options and choices."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamproc.__main__ import main


def complete(words: str, number: int) -> list[str]:
    """What bash would offer at this word of a line."""
    asked = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(number),
        "_STREAMPROC_COMPLETE": "complete_bash",
    }
    done = subprocess.run(
        [sys.executable, "-m", "streamproc"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices() -> None:
    assert complete("streamproc ex", 1) == ["export"]
    assert {"run", "status", "doctor", "schema"} <= set(complete("streamproc ", 1))
    assert complete("streamproc export RUN ", 3) == [
        "parquet",
        "csv",
        "ome-tiff",
        "overlay",
    ]
    assert complete("streamproc export RUN csv --ov", 4) == ["--overwrite"]
    assert "--executor" in complete("streamproc run p.yaml --", 3)


def test_an_unknown_command_completes_in_silence() -> None:
    assert "run" in complete("streamproc nonsense ", 2)


SCRIPT = Path(sys.executable).with_name("streamproc")


@pytest.mark.skipif(
    not SCRIPT.exists() or shutil.which("bash") is None, reason="needs bash"
)
def test_bash_completes_once_it_is_installed(tmp_path: Path) -> None:
    """As a user: install it, open a shell, press Tab."""
    paths = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
    home = {**os.environ, "HOME": str(tmp_path), "PATH": paths}

    def bash(text: str) -> str:
        return subprocess.run(
            ["bash", "--norc", "-c", f"{text}\ntrue"],
            env=home,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    assert "bash completion installed" in bash("streamproc --install-completion")
    tab = (
        "source ~/.bashrc; COMP_WORDS=(streamproc exp); COMP_CWORD=1; "
        '_streamproc_completion streamproc; echo "${COMPREPLY[*]}"'
    )
    assert bash(tab).split() == ["export"]
    shown = bash("streamproc --show-completion")
    assert "complete -o default -F _streamproc_completion streamproc" in shown


@pytest.mark.parametrize("command", ["export", "schema", "doctor", "run", "status"])
def test_help_of_a_command_shows_no_completion(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "-h"]) == 0
    out, err = capfd.readouterr()
    assert "completion" not in out
    assert err == ""
