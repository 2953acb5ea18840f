"""``streamproc doctor``: whether this machine can do what a run asks of it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import ERROR, OK, REFUSED, AsJson, Stopped


def doctor(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="[FOLDER|FILE|RUN]",
            help="Where runs will lie; or a pipeline or run whose steps are measured.",
        ),
    ] = Path(),
    as_json: AsJson = False,
) -> int:
    """Look at this machine and installation, and say what to mend."""
    from .. import doctor as library

    if not path.exists():
        raise Stopped(REFUSED, f"no such file or folder: {str(path)!r}")
    file = path / "pipeline.yaml" if path.is_dir() else path
    found = list(library.examine(path if path.is_dir() else path.absolute().parent))
    if file.exists():
        found += _steps(file)
    if as_json:
        print(json.dumps([finding.document() for finding in found], indent=2))
    else:
        _show(found)
    problems = [finding for finding in found if finding.level == "problem"]
    if problems:
        one = problems[0]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise Stopped(ERROR, f"{count}; {one.topic}: {one.text}; {one.remedy}")
    return OK


def _steps(file: Path) -> list[Any]:
    """Return what keeps other threads waiting in a pipeline."""
    from ..config import build, parse, read_yaml
    from ..doctor import Finding
    from ..gil import look

    graph, _ = build(parse(read_yaml(file), str(file)), may_save_nothing=True)
    try:
        steps = look(graph)
    finally:
        graph.source.close()
    found = []
    for step in steps:
        text = f"{step.operator}, {step.milliseconds:.3g} ms"
        if step.holds:
            late = f"{100 * step.waiting:.0f} %"
            text += f"; holds the GIL: another thread was late {late} of the times"
            remedy = (
                "it gains nothing from threads and slows the others: use NumPy, OpenCV "
                "or numba with nogil=True, or the executor dask where it is supported"
            )
            found.append(Finding(f"step {step.name}", text, "note", remedy))
        else:
            found.append(Finding(f"step {step.name}", text))
    return found


def _show(found: list[Any]) -> None:
    """Print a line for each finding, and what to do beneath it."""
    wide = max(len(finding.topic) for finding in found)
    marks = {"ok": " ", "note": "-", "problem": "!"}
    for finding in found:
        print(f"{marks[finding.level]} {finding.topic:{wide}}  {finding.text}")
        if finding.remedy:
            print(f"  {'':{wide}}  -> {finding.remedy}")
