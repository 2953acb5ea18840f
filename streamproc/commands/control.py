"""``streamproc control``: pause, resume, drain, stop or set what goes on elsewhere."""

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


def control(
    path: RunArgument,
    verb: Annotated[Verb, typer.Argument(help="What to do.")],
    setting: Annotated[
        str | None,
        typer.Argument(metavar="STEP.PARAMETER=VALUE", help="With set."),
    ] = None,
) -> int:
    """Pause, resume, drain or stop a run that goes on, or set a parameter of it."""
    from ..control import attach

    if (verb is Verb.set) != (setting is not None):
        raise ConfigError(
            "set needs what to set, such as smooth.sigma=2; the others take nothing"
        )
    run = attach(path)
    if setting is None:
        getattr(run, verb.value)()
        note(f"{path}: {verb.value} is under way")
        return OK
    step, parameter, value = _setting(setting)
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
