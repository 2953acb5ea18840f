"""The doctor finds what is planted, and names the remedy."""

import json
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import streamproc as sp
from streamproc import doctor, gil
from streamproc.__main__ import main
from streamproc.doctor import Finding, examine
from streamproc.store import platform
from tests.arrays import Arrays, noise


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write little to the disk."""
    monkeypatch.setattr(doctor, "_MOST", 16 << 20)


def level(found: list[Finding], text: str) -> Finding:
    """The one finding with this text."""
    (one,) = [f for f in found if text in f.text]
    return one


def test_a_sound_machine_has_no_problem(tmp_path: Path) -> None:
    found = list(examine(tmp_path))
    assert [f for f in found if f.level == "problem"] == []
    assert all(f.remedy for f in found if f.level != "ok")
    assert all("\n" not in f.text for f in found)
    topics = {f.topic for f in found}
    assert topics >= {"python", "packages", "cpu", "memory", "disk", "gpu", "video"}
    assert f"numpy {np.__version__}" in level(found, "numpy").text
    assert list(tmp_path.iterdir()) == []


def test_memory_and_processors_are_the_systems(tmp_path: Path) -> None:
    found = {f.topic: f.text for f in examine(tmp_path)}
    total = psutil.virtual_memory().total / 2**30
    assert f"of {total:.1f} GiB available" in found["memory"]
    assert f"of {os.cpu_count()} CPUs usable" in found["cpu"]


def test_the_disk_is_written_and_measured(tmp_path: Path) -> None:
    texts = [f.text for f in examine(tmp_path) if f.topic == "disk"]
    assert any("MB/s" in text and "a sync takes" in text for text in texts)
    assert any("write-ahead log and file locks work" in text for text in texts)


def test_a_file_system_without_direct_writes_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "NATIVE", platform.EMULATED)
    one = level(list(examine(tmp_path)), "no direct writes here")
    assert one.level == "note"


def test_a_disk_without_write_ahead_log_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamproc.store.ledger import Ledger

    monkeypatch.setattr(Ledger, "_journal_mode", lambda _: False)
    one = level(list(examine(tmp_path)), "cannot do write-ahead logging")
    assert one.level == "note"


def test_a_full_disk_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1 << 30

    monkeypatch.setattr("streamproc.doctor.shutil.disk_usage", lambda _: Usage)
    one = level(list(examine(tmp_path)), "GiB free")
    assert one.level == "problem"
    assert "limits.disk_reserve" in str(one.remedy)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root writes anywhere"
)
def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    one = level(list(examine(tmp_path)), "cannot be written")
    tmp_path.chmod(0o700)
    assert one.level == "problem"


def test_a_folder_that_refuses_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**_: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("streamproc.doctor.tempfile.TemporaryDirectory", refuses)
    one = level(list(examine(tmp_path)), "cannot be written: Permission denied")
    assert one.level == "problem"


def test_packages_that_are_missing_or_old_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(name: str) -> str:
        if name == "scipy":
            raise PackageNotFoundError(name)
        return "1.0" if name == "pandas" else version(name)

    monkeypatch.setattr(doctor, "version", told)
    found = list(examine(tmp_path))
    assert level(found, "scipy is not installed").level == "problem"
    old = level(found, "pandas 1.0 does not fit")
    assert (old.level, old.remedy) == ("problem", "pip install 'pandas>=2.2'")


def test_a_package_that_breaks_at_import_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(name: str) -> Any:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return sys.modules.get(name)

    monkeypatch.setattr("streamproc.doctor.importlib.import_module", breaks)
    one = level(list(examine(tmp_path)), "cv2 cannot be imported: ImportError: libGL")
    assert one.level == "problem"
    assert "opencv-python-headless" in str(one.remedy)


def test_a_missing_extra_is_noted_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(name: str) -> str:
        if name == "nd2":
            raise PackageNotFoundError(name)
        return version(name) if name in ("streamproc", "packaging") else "9999"

    monkeypatch.setattr(doctor, "version", told)
    found = {f.topic: f for f in examine(tmp_path)}
    assert found["extra microscopy"] == Finding(
        "extra microscopy",
        "not installed: nd2",
        "note",
        "pip install 'streamproc[microscopy]'",
    )


@pytest.mark.parametrize(
    ("ours", "error", "expected"),
    [(False, "breaks", "note"), (True, "breaks", "problem"), (True, "misses", "note")],
)
def test_plugins_that_fail_to_load_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ours: bool,
    error: str,
    expected: str,
) -> None:
    from streamproc import plugins

    real = plugins.load

    def fails(group: str, name: str, path: str = "") -> Any:
        if (group, name) != ("sources", "video"):
            return real(group, name, path)
        if error == "misses":
            cause = ImportError("No module named 'x'")
            raise sp.MissingDependency("source 'video': no x") from cause
        raise sp.ConfigError("source 'video' of camera 1.0 cannot be loaded")

    monkeypatch.setattr(plugins, "load", fails)
    monkeypatch.setattr(plugins, "is_ours", lambda _: ours)
    found = list(examine(tmp_path))
    assert level(found, "source 'video'").level == expected
    (others,) = [f.text for f in found if f.topic == "sources" and f.level == "ok"]
    assert "files" in others
    assert "video" not in others


def test_a_check_that_breaks_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks() -> Any:
        raise RuntimeError("no /proc here")

    monkeypatch.setattr(psutil, "virtual_memory", breaks)
    one = level(list(examine(tmp_path)), "no /proc here")
    assert (one.topic, one.level) == ("memory", "note")


# --- the command ------------------------------------------------------------------


def test_the_command_ends_with_0_and_json(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(tmp_path), "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    found = json.loads(out)
    assert {frozenset(f) for f in found} == {
        frozenset({"topic", "text", "level", "remedy"})
    }
    assert main(["doctor", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert "  python " in out
    assert err == ""


def test_a_problem_ends_it_with_1_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    bad = Finding("disk", "is full", "problem", "make room")
    monkeypatch.setattr(doctor, "examine", lambda _: iter([bad]))
    assert main(["doctor", str(tmp_path)]) == 1
    out, err = capfd.readouterr()
    assert out == "! disk  is full\n        -> make room\n"
    assert err == "streamproc: error: 1 problem; disk: is full; make room\n"


def test_a_missing_place_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "nowhere"]) == 2
    assert "no such file or folder: 'nowhere'" in capfd.readouterr().err


# --- the lock of the interpreter --------------------------------------------------


def spins(image: Any) -> Any:
    """Hold the lock for some ten milliseconds."""
    end = time.perf_counter() + 0.02
    while time.perf_counter() < end:
        pass
    return image


def sorts(image: Any) -> Any:
    """Compute without the lock."""
    return np.sort(image, axis=None).reshape(image.shape)


def test_a_step_that_holds_the_lock_waits_more_than_one_that_does_not() -> None:
    raw = sp.open(Arrays(noise(1, (512, 512))))
    raw.map(spins, kind="image", name="spins")
    raw.map(sorts, kind="image", name="sorts").gaussian(sigma=3)
    steps = {step.name: step for step in gil.look(raw.graph)}
    assert list(steps) == ["spins", "sorts", "gaussian"]
    assert steps["spins"].waiting >= steps["sorts"].waiting
    assert steps["spins"].milliseconds >= 20
    # a busy machine wakes threads up late too, never early
    assert gil.waiting(lambda: spins(None))[1] > 0.8


def test_a_step_that_fails_says_so() -> None:
    with pytest.raises(ZeroDivisionError):
        gil.waiting(lambda: 1 / 0)


@pytest.mark.parametrize("place", ["pipeline.yaml", "run"])
def test_a_pipeline_or_run_is_measured_step_by_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    place: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gil, "_SECONDS", 0.02)
    source = "{simulation: {frames: 2, shape: [64, 64], live: false}}"
    text = f"source: {source}\ngraph: {{s: {{gaussian: 1}}, m: {{threshold: }}}}\n"
    Path("pipeline.yaml").write_text(text + "save: [m]\n")
    assert main(["run", "pipeline.yaml", "--to", "run"]) == 0
    capfd.readouterr()
    assert main(["doctor", place, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    steps = {f["topic"]: f["text"] for f in found if f["topic"].startswith("step ")}
    assert list(steps) == ["step s", "step m"]
    assert steps["step s"].startswith("gaussian, ")
