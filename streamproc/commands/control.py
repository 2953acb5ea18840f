"""``streamproc control``: pause, drain, stop, set or mark what goes on elsewhere."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from ..errors import ConfigError
from .common import OK, RunArgument, note


class Verb(StrEnum):
    """What can be done to a run that goes on."""

    pause = "pause"
    resume = "resume"
    drain = "drain"
    stop = "stop"
    set = "set"
    mark = "mark"


def control(
    path: RunArgument,
    verb: Annotated[Verb, typer.Argument(help="What to do.")],
    more: Annotated[
        str | None,
        typer.Argument(metavar="MORE", help="Set STEP.PARAMETER=VALUE; mark TEXT."),
    ] = None,
) -> int:
    """Pause, resume, drain or stop a run, set a parameter of it, or mark a moment."""
    from ..control import attach

    if (verb in (Verb.set, Verb.mark)) != (more is not None):
        raise ConfigError(
            "set needs what to set, such as smooth.sigma=2, and mark needs a text; the "
            "others take nothing"
        )
    run = attach(path)
    if more is None:
        getattr(run, verb.value)()
        note(f"{path}: {verb.value} is under way")
        return OK
    if verb is Verb.mark:
        note(f"noted at frame {run.mark(more)}")
        return OK
    step, parameter, value = _setting(more)
    frame = run.set(step, parameter, value)
    note(f"{step}.{parameter} is {json.dumps(value)} from frame {frame} on")
    return OK


def _setting(text: str) -> tuple[str, str, object]:
    from ..config import parse_value

    path, has_value, value = text.partition("=")
    step, _, parameter = path.partition(".")
    if not has_value or not parameter:
        raise ConfigError(f"got {text!r}; write it as step.parameter=value")
    return step, parameter, parse_value(value, path)
