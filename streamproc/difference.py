"""What differs between the pipeline that a run began with and another, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from .job import Job

#: Differences that one message names.
_NAMED = 3


def difference(document: Mapping[str, Any], job: Job) -> str | None:
    """Return what differs from a run's ``pipeline.yaml``, in one line; None if nothing.

    Parameters
    ----------
    document
        All of ``pipeline.yaml``. What older versions did not record is compared with
        what the file says outside ``recorded``, or not named.
    job
        What is to run now.
    """
    past = document.get("recorded", {})
    if job.plan.identity(job.info.identity) == past.get("identity"):
        return None
    found = [
        *_source(past, job),
        *_steps(past.get("steps", document.get("graph", {})), _plain(job.steps())),
        *_functions(past.get("functions", {}), job.function_hashes()),
        *_saved(past.get("saved", document.get("save", {})), job.names()),
    ]
    if not found:
        return "graph, parameters or saved names have changed"
    more = len(found) - _NAMED
    return "; ".join(found[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _plain(value: Any) -> Any:  # YAML
    """Return a value as YAML gives it back."""
    return yaml.safe_load(yaml.safe_dump(value))


def _source(past: Mapping[str, Any], job: Job) -> Iterator[str]:
    if past.get("source_identity") == job.info.identity:
        return
    facts, before = _plain(job.source_facts()), past.get("source", {})
    changed = [
        f"{name} was {before[name]}, is {now}"
        for name, now in facts.items()
        if name in before and before[name] != now
    ]
    what = ", ".join(changed) or "files, their sizes, pixels or parameters differ"
    yield f"the source is not the same ({what})"


def _steps(past: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in past:
        if name not in now:
            yield f"step {name!r} is gone"
    for name in now:
        if name not in past:
            yield f"step {name!r} is new"
        else:
            yield from _step(name, past[name], now[name])


def _step(name: str, past: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    was, is_now = _operator(past), _operator(now)
    if was != is_now:
        yield f"step {name!r} was {was}, is {is_now}"
        return
    if past.get("of") != now.get("of"):
        yield f"input of step {name!r} was {past.get('of')}, is {now.get('of')}"
    before, after = _parameters(past[was]), _parameters(now[was])
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old != new:
            yield f"parameter {key} of step {name!r} was {old}, is {new}"


def _parameters(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return parameters by name, those of a user's function beside the others."""
    flat = dict(given or {})
    own = flat.pop("parameters", None) or {}
    return {**flat, **own}


def _operator(step: Mapping[str, Any]) -> str:
    return next(key for key in step if key != "of")


def _functions(past: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in past:
        if now.get(name, past[name]) != past[name]:
            yield f"function {name} has changed"


def _saved(past: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    if list(past) != list(now):
        yield f"saved names were {list(past)}, are {list(now)}"
        return
    for name, step in now.items():
        if past[name] != step:
            yield f"saved {name!r} was step {past[name]!r}, is {step!r}"
