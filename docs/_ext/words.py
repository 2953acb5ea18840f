"""Commands, keys of a pipeline and SQL tables, in words."""

import re
import sqlite3
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from pydantic import BaseModel

from streamproc import cli, config
from streamproc.store import ledger, units

#: What each key of a pipeline means; a key that is missing here stops the build.
KEYS = {
    "source": "Where frames come from: a path, glob or folder, or one "
    "[source](sources.md) with its parameters. Needed.",
    "graph": "The steps, by name. Each is one [operator](operators/index.md) with its "
    "parameters, and `of`: the step (or list of steps) it takes; without `of` it takes "
    "the step above it.",
    "save": "The steps whose results are written: a list of names, or a mapping of "
    "saved names to steps. Needed.",
    "to": "The run folder; `--to` goes before it.",
    "executor": "`inline` (one thread), `threads`, or `{threads: {workers: 2}}`.",
    "executor.threads.workers": "Threads that work on frames; left out: one per core.",
    "on_error": "`record`: a frame that fails is recorded and the run goes on; `stop`: "
    "the run ends at it, resumable.",
    "on_overload": "`catch_up`: a live run that is slower than its source works off "
    "its raw log. `skip`: frames that find no worker wait in the raw log for "
    "`streamproc resume RUN --skipped`.",
    "deadline_ms": "With `on_overload: skip`: milliseconds from admission to commit "
    "that results keep; frames that could not are skipped.",
    "on_full_log": "Where the disk is slower than the camera: the source waits "
    "(`block`), frames are dropped (`drop_newest`, `drop_oldest`), each in the table "
    "`gaps`, or the run ends (`fail`).",
    "log": "What becomes of a live source's raw log: a mapping, or `none` (frames stay "
    "in memory only, and a run cannot be resumed).",
    "log.keep_raw": "`true`: the raw log is kept, and is the saved source.",
    "store": "How images are written.",
    "store.images": "Compression of images: `none` is the fastest.",
    "store.labels": "Compression of label images and masks.",
    "store.pyramid": "Also write smaller levels, for viewers.",
    "store.layout": "`shards`: many frames to a file; `files`: one file per chunk.",
    "store.durability": "`power`: what is done survives a power cut; `process`: only "
    "the death of the process, and commits are cheaper.",
    "limits": "What a run may use.",
    "limits.memory": "Memory for frames in flight: a size such as `2GiB` or `500MB`.",
    "limits.disk_reserve": "Disk space that is left alone; a run stops before it.",
    "adjustable": "What may be set during a run: a list of `step.parameter`.",
    "sinks": "[Sinks](sinks.md) that follow the run: a list.",
    "alerts": "[Rules](../../howto/alerts.md) that watch the run, and who is told.",
    "alerts.no_objects": "Frames in a row without an object.",
    "alerts.loss_rate": "Share of the last minute's frames that may be lost.",
    "alerts.failed": "Frames that fail within a minute.",
    "alerts.lag_frames": "Frames that may wait for their results.",
    "alerts.lag_seconds": "Seconds that results may come late.",
    "alerts.disk_hours": "Hours until the disk is full, at the speed of the last ten "
    "minutes.",
    "alerts.stalled": "Seconds without a frame of a live source.",
    "alerts.drop": "Share that a saved `table.column` may fall below its best: a "
    "mapping.",
    "alerts.clear_after": "Seconds that a rule must hold again until it is cleared.",
    "alerts.webhook": "Address that each alert is posted to, as JSON.",
    "alerts.command": "Program with its arguments, a list; it reads the message.",
    "recorded": "Written by the engine into `RUN/pipeline.yaml`, and ignored when that "
    "file is run.",
}

#: The tables of ``RUN/run.sqlite`` and their columns; a column that is missing here
#: stops the build.
TABLES = {
    "frames": (
        "One row per frame that has met its fate. A frame without a row is pending.",
        {
            "frame": "number of the frame, from 0, in order of admission",
            "source_index": "the source's own position or counter",
            "time": "acquisition, in seconds since 1970-01-01 UTC; NULL where nothing "
            "tells it",
            "state": "`done`, `failed` or `skipped`",
            "error": "why it failed",
            "t": "index along t in the arrays",
            "c": "index along c, where frames are single channels",
            "z": "index along z, where frames are single planes",
            "position": "stage position or well, where the source tells it",
            "hash": "JSON: for every saved name the xxh3_64 of its bytes",
            "metadata": "JSON: what the source said of this frame",
            "worker": "the thread or process that computed it",
            "admitted_at": "when the engine took it, seconds since 1970 UTC",
            "committed_at": "when it was on disk, seconds since 1970 UTC",
            "latency_ms": "milliseconds from the one to the other",
        },
    ),
    "gaps": (
        "Frames that never reached us, one row per gap.",
        {
            "first_source_index": "the first that is missing",
            "last_source_index": "the last that is missing",
            "count": "how many",
            "time": "when it was noticed, seconds since 1970 UTC",
            "place": "where they were lost: `source` …",
            "reason": "why, in words",
        },
    ),
    "chunks": (
        "Where every chunk of every array lies, with its checksum.",
        {
            "array": "path of the array within the store, with its level",
            "frame": "frame number",
            "chunk": "number of the chunk within the frame, in C order",
            "shard": "the file it lies in",
            "offset": "first byte",
            "length": "bytes",
            "crc32c": "checksum of these bytes",
        },
    ),
    "states": (
        "The state of each step that counts from frame to frame.",
        {
            "step": "the step",
            "frame": "the last frame that is in the state",
            "value": "the state, as JSON",
        },
    ),
    "run": (
        "Facts of the run itself: format, state, owner.",
        {"key": "name of the fact", "value": "its value"},
    ),
    "summary": (
        "Counts and means per 1, 10 and 60 seconds, written with the frames.",
        {
            "seconds": "length of the span: 1, 10 or 60",
            "time": "its beginning, seconds since 1970 UTC",
            "done": "frames that became done in it",
            "failed": "frames that failed",
            "skipped": "frames that were skipped",
            "lost": "frames that were lost",
            "fps": "frames per second",
            "latency_p50": "median of the latency, ms",
            "latency_p99": "99th percentile of the latency, ms",
            "objects": "rows of the saved tables",
            "area": "their mean area, px",
            "intensity": "their mean intensity, grey level",
            "bytes": "bytes written",
        },
    ),
    "columns": (
        "Unit and meaning of every column of the saved tables.",
        {
            "table": "the saved table",
            "column": "its column",
            "unit": "such as `px`, `rad`; empty for pure numbers",
            "description": "what it means",
        },
    ),
    "parameters": (
        "Every parameter of every step: the value that holds from a frame on.",
        {
            "frame": "the first frame it holds for",
            "step": "the step",
            "name": "the parameter",
            "value": "its value, as JSON",
        },
    ),
    "events": (
        "What the engine said.",
        {
            "time": "when, seconds since 1970 UTC",
            "frame": "the frame it is about",
            "level": "`info`, `warning` or `error`",
            "kind": "a word to search for",
            "message": "the line",
        },
    ),
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0])]
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def markdown(text: str) -> str:
    """Return the text of a docstring with Markdown's code marks."""
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def yaml(value: object) -> str:
    """Return a value as one writes it in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(yaml, value))}]"
    return str(value)


def commands() -> str:
    """Return the page of the command line, from its own help."""
    group: Any = typer.main.get_command(cli.app)
    found = {n: c for n, c in sorted(group.commands.items()) if not c.hidden}
    rows = [[f"[`{n}`](#{n})", first(c.help)] for n, c in found.items()]
    text = [
        "# Commands\n",
        "`streamproc COMMAND --help` says the same. `-v` before or after a command "
        "adds the traceback to an error.\n",
        table(["command", "what it does"], rows),
    ]
    for name, command in found.items():
        text += [f"({name})=", f"## {name}\n", *one_command(name, command)]
    return "\n".join(text)


def first(text: str | None) -> str:
    """Return the first line of a help text."""
    return markdown(text or "").partition("\n")[0]


def one_command(name: str, command: Any) -> Iterator[str]:
    """Yield the section of one command."""
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option" and p.name != "help"]
    said = [usage(p) for p in arguments]
    tail = " [OPTIONS]" if options else ""
    yield f"```text\nstreamproc {' '.join([name, *said])}{tail}\n```\n"
    yield markdown(command.help or "") + "\n"
    rows = [[f"`{usage(p)}`", escape(p.help or "")] for p in arguments]
    for option in options:
        flag = " ".join(filter(None, [", ".join(option.opts), value_of(option)]))
        need = " Needed." if option.required else ""
        rows.append([f"`{flag}`", escape(option.help or "") + need + default(option)])
    if rows:
        yield table(["", ""], rows)


def usage(argument: Any) -> str:
    """Return an argument as its usage line shows it."""
    name = argument.metavar or argument.name.upper()
    if argument.required or name.startswith("["):
        return str(name)
    return f"[{name}]"


def value_of(option: Any) -> str:
    """Return the word for an option's value; empty for a flag."""
    if getattr(option, "is_flag", False):
        return ""
    return str(option.metavar or option.name.upper())


def default(option: Any) -> str:
    """Return the default of an option, where the help does not say it."""
    if option.default in (None, False, ()) or callable(option.default):
        return ""
    if "[" in (option.help or ""):
        return ""
    return f" Default: `{option.default}`."


def escape(text: str) -> str:
    """Return a help text whose brackets are no markup."""
    return re.sub(r"([<>\[\]*_])", r"\\\1", markdown(text))


def pipeline() -> str:
    """Return the page of the keys of a pipeline file."""
    rows = [
        [
            f"`{key}`",
            values,
            f"`{yaml_of(default)}`" if default != "" else "",
            KEYS[key],
        ]
        for key, values, default in sorted(keys(config.Pipeline), key=as_written)
    ]
    return "\n".join(
        [
            "# Keys of a pipeline\n",
            "A pipeline is a YAML file with these keys; a dot is a level of mapping:",
            "`store.images` is written `store: {images: zstd}`. The keyword arguments",
            "of `sp.run` have the same names. An unknown key is refused, and the",
            "nearest known one named; `streamproc check FILE` tells before a run.\n",
            table(["key", "values", "default", "meaning"], rows),
        ]
    )


def as_written(row: tuple[str, str, Any]) -> int:
    """Order the keys as `KEYS` has them, which is how one writes a file."""
    return list(KEYS).index(row[0])


def keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield every key with its values and default, level by level."""
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        value = "" if field.is_required() or inner else field.default
        is_size = any(type(m).__name__ == "BeforeValidator" for m in field.metadata)
        yield f"{above}{name}", "size" if is_size else choices(field.annotation), value
        if name == "executor":
            yield "executor.threads.workers", "1 to 1024", ""
        if inner is not None:
            yield from keys(inner, f"{above}{name}.")


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a key may hold."""
    for kind in (annotation, *typing.get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def choices(annotation: Any) -> str:
    """Return what a key may be, in YAML's words."""
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{word}`" for word in typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    names = {str: "text", bool: "`true`, `false`", int: "number", float: "number"}
    if annotation in names:
        return names[annotation]
    origin = typing.get_origin(annotation)
    if origin in (dict, list):
        return {dict: "mapping", list: "list"}[origin]
    if annotation is type(None):
        return "`null`"
    found = dict.fromkeys(choices(a) for a in typing.get_args(annotation))
    return " or ".join(filter(None, found))


def yaml_of(value: object) -> str:
    """Return a default as the file would have it; sizes in units."""
    if value == {}:
        return "{}"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 30:
        return f"{value >> 30}GiB"
    return yaml(value)


def sql() -> str:
    """Return the page of ``RUN/run.sqlite``."""
    text = [
        "# SQL tables\n",
        "`RUN/run.sqlite` may be read while the run goes on: `sqlite3`, DB Browser,",
        "DuckDB, pandas, R. Every saved table is a table of its own name; these are",
        "there in each run.\n",
    ]
    for name, columns in schema().items():
        meaning, said = TABLES[name]
        rows = [[f"`{c}`", kind, said[c]] for c, kind in columns]
        text += [f"## {name}\n", meaning + "\n", table(["column", "type", ""], rows)]
    rows = [
        [f"`{c}`", unit, text]
        for c, (unit, text) in units._DESCRIPTIONS.items()  # the one list there is
    ]
    text += [
        "## Saved tables\n",
        "A saved table has a row per object; its key is (`frame`, `label`). Positions",
        "have an axis (`centroid_y`, `bbox_x0`), several channels a number",
        "(`mean_intensity_c1`).\n",
        table(["column", "unit", "meaning"], rows),
    ]
    return "\n".join(text)


def schema() -> dict[str, list[tuple[str, str]]]:
    """Return the tables that a run begins with, as SQLite itself tells them."""
    db = sqlite3.connect(":memory:")
    try:
        db.executescript(ledger._SCHEMA)
        names = [
            n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE sql>''")
        ]
        return {
            name: [row[1:3] for row in db.execute(f'PRAGMA table_info("{name}")')]
            for name in names
        }
    finally:
        db.close()
