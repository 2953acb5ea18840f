"""The schema accepts what the parser accepts, and refuses what it refuses."""

import json
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from jsonschema import Draft7Validator

from streamproc import ops
from streamproc.__main__ import main
from streamproc.config import check_graph, connect, parse, read_yaml
from streamproc.errors import ConfigError
from streamproc.extension import extension
from streamproc.parameters import Parameters
from streamproc.plugins import installed, load
from streamproc.schema import descriptions, pipeline_schema
from streamproc.steps import operators
from tests.arrays import Arrays, noise

BASE = """
source: movie.tif
graph:
  smooth: {gaussian: {sigma: 1}}
  mask:   {threshold: {method: otsu}, of: smooth}
  nuclei: {label: {connectivity: 2}, of: mask}
  cells:
    measure: {intensity: source, properties: [area, centroid, mean_intensity]}
    of: nuclei
save: [source, nuclei, cells]
"""
GOOD = [
    "source: 'plate/*.png'",
    "source: {files: {path: 'a/*.png', color: gray, pixel_size_um: 0.65}}",
    "source: {files: {path: 'a/*.png', batch: false}}",
    "source: {files: {path: [a.png, b.png]}}",
    "source: {video: clip.mp4}",
    "source: {simulation: {frames: 200, shape: [512, 512], dtype: uint16, seed: 0}}",
    "source: {simulation: {fps: 20, live: true}}",
    "source: {simulation: null}",
    "graph: {a: {map: {function: 'm:f', parameters: {gain: 3}}, of: source}}",
    "graph: {a: {map: {function: 'm.n:f', kind: image}}}",
    "graph: {a: {map: 'numpy:negative'}}",
    "graph: {a: {gaussian: 2}, b: {gaussian: [1, 2]}, c: {label: {}}, d: {label: }}",
    "graph: {a: {threshold: li}, b: {running_count: {}, of: cells}}",
    "graph: {a: {threshold: {method: local, block_size: 51, weights: mean}}}",
    "graph: {a: {background: {window: 50, every: 25}}}",
    "graph: {a: {background: {method: top_hat, radius: 25, shape: disk}}}",
    "save: {nuclei: mask}",
    "to: RUN",
    "executor: inline",
    "executor: threads",
    "executor: {threads: {workers: 2}}",
    "executor: {inline: }",
    "on_error: stop",
    "on_overload: catch_up",
    "deadline_ms: null",
    "on_full_log: block",
    "log: {keep_raw: true}",
    "log: none",
    "store: {images: none, labels: zstd, pyramid: true, layout: shards}",
    "store: {durability: power}",
    "limits: {memory: 2GiB, disk_reserve: 5 GB}",
    "limits: {memory: 100000}",
    "adjustable: []",
    "on_overload: skip",
    "{on_overload: skip, deadline_ms: 250}",
    "on_full_log: drop_oldest",
    "adjustable: [smooth.sigma]",
    "sinks: [{parquet: {tables: [cells]}}]",
    "sinks: [parquet]",
    "alerts: {no_objects: 100, loss_rate: 0.01, failed: 5, lag_frames: 9, stalled: 3}",
    "alerts: {lag_seconds: 2.5, disk_hours: 12, drop: {cells.area: 0.3}}",
    "alerts: {failed: 1, webhook: 'https://example.org/x', command: [mail, me]}",
    "alerts: null",
    "recorded: {identity: anything}",
]
BAD = [
    "source: 3",
    "source: {}",
    "source: {vidoe: clip.mp4}",
    "source: {video: clip.mp4, files: a.tif}",
    "source: {files: {colour: gray, path: a}}",
    "source: {files: {path: a, pixel_size_um: -1}}",
    "source: {files: {}}",
    "graph: {a: {gausian: 1}}",
    "graph: {a: {gaussian: {sigma: -1}}}",
    "graph: {a: {gaussian: {radius: 1}}}",
    "graph: {a: {gaussian: 1, median: 3}}",
    "graph: {a: {of: source}}",
    "graph: {a: {}}",
    "graph: {a: {gaussian: 1, of: 3}}",
    "graph: {a: {threshold: {method: otsi}}}",
    "graph: {a: {label: {connectivity: two}}}",
    "graph: {a: {measure: {properties: [aera]}}}",
    "graph: {a: {map: {kind: image}}}",
    "graph: {a: {map: {function: 'a:b', kind: picture}}}",
    "graph: {source: {gaussian: 1}}",
    "graph: [gaussian]",
    "save: []",
    "save: nuclei",
    "executor: thread",
    "executor: {threads: {workers: 0}}",
    "executor: {threads: {worker: 2}}",
    "on_error: ignore",
    "on_overload: drop",
    "{on_overload: skip, deadline_ms: 0}",
    "on_full_log: drop",
    "adjustable: smooth.sigma",
    "log: {keep: true}",
    "log: all",
    "store: {images: gzip}",
    "limits: {memory: much}",
    "limits: {memory: 0}",
    "sinks: [{parkett: {}}]",
    "sinks: [{parquet: {table: cells}}]",
    "sinks: parquet",
    "alerts: [no_objects]",
    "alerts: {no_objects: 0}",
    "alerts: {loss_rate: 1}",
    "alerts: {drop: {cells.area: 2}}",
    "alerts: {webhook: example.org}",
    "alerts: {command: mail}",
    "alerts: {clear_after: -1}",
    "sorce: movie.tif",
]


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = pipeline_schema()
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def with_line(line: str) -> dict[str, Any]:
    """The base pipeline with a key in its place, or added."""
    pipeline: dict[str, Any] = yaml.safe_load(BASE)
    pipeline.update(yaml.safe_load(line))
    return pipeline


def problems(validator: Draft7Validator, pipeline: object) -> list[str]:
    return [error.message for error in validator.iter_errors(pipeline)]


def test_every_example_is_valid(validator: Draft7Validator, repository: Path) -> None:
    files = sorted((repository / "examples" / "pipelines").glob("*.yaml"))
    assert len(files) >= 3
    for file in files:
        assert problems(validator, read_yaml(file)) == [], file


@pytest.mark.parametrize("line", GOOD)
def test_what_a_pipeline_may_say_is_valid(
    validator: Draft7Validator, line: str
) -> None:
    pipeline = with_line(line)
    assert problems(validator, pipeline) == []
    parse(pipeline)


@pytest.mark.parametrize("line", BAD)
def test_mistakes_are_found(validator: Draft7Validator, line: str) -> None:
    assert problems(validator, with_line(line))


@pytest.mark.parametrize("key", ["source", "save"])
def test_what_is_missing_is_found(validator: Draft7Validator, key: str) -> None:
    pipeline = with_line("to: RUN")
    del pipeline[key]
    assert any(key in text for text in problems(validator, pipeline))


@pytest.mark.parametrize("line", [b for b in BAD if b.startswith(("graph", "save"))])
def test_the_engine_refuses_the_same(line: str) -> None:
    with pytest.raises(ConfigError):
        build(with_line(line))


def build(given: dict[str, Any]) -> None:
    pipeline = parse(given)
    check_graph(pipeline)
    connect(pipeline, Arrays(noise(1)))


def test_every_operator_and_source_is_there(validator: Draft7Validator) -> None:
    properties = pipeline_schema()["properties"]
    steps = properties["graph"]["additionalProperties"]["properties"]
    assert set(steps) == {"of", *operators()}
    named = properties["source"]["anyOf"][1]["properties"]
    assert set(named) == set(installed("sources"))


@pytest.mark.parametrize("name", sorted(ops.OPERATORS))
def test_parameters_have_defaults_and_descriptions(name: str) -> None:
    schema = pipeline_schema()["properties"]["graph"]["additionalProperties"]
    told = schema["properties"][name]
    mapping = told["anyOf"][0]["properties"]
    assert told["description"].endswith(".")
    spec = ops.OPERATORS[name]
    for parameter, default in spec.parameters.defaults().items():
        assert mapping[parameter]["description"]
        plain = json.loads(json.dumps(default))
        assert json.loads(json.dumps(mapping[parameter]["default"])) == plain


@pytest.mark.parametrize("name", ["files", "video", "simulation"])
def test_sources_are_described(name: str) -> None:
    kind = load("sources", name)
    assert set(Parameters(kind, positional=True).items) <= set(descriptions(kind))


def test_one_description_may_be_of_several_parameters() -> None:
    def function(image: object, *, low: float = 0, high: float = 1) -> None:
        """Do.

        Parameters
        ----------
        image
            Any.
        low, high
            From here
            to there.

        Returns
        -------
        nothing
            At all.
        """

    told = descriptions(function)
    assert told == {
        "image": "Any.",
        "low": "From here to there.",
        "high": "From here to there.",
    }


def test_a_broken_plugin_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamproc import schema

    def fails(group: str, name: str, path: str = "") -> Any:
        if name == "video":
            raise ConfigError("broken")
        return load(group, name, path)

    monkeypatch.setattr(schema, "load", fails)
    named = pipeline_schema()["properties"]["source"]["anyOf"][1]["properties"]
    assert set(named) == set(installed("sources")) - {"video"}


class _Kind(Enum):
    one = object()


@pytest.mark.parametrize(
    ("default", "told"),
    [
        (np.float32(2), [2.0]),
        (np.uint8(3), [3]),
        (np.bool_(True), [True]),
        ((1, np.float64(0.5)), [[1, 0.5]]),
        ({"a": None}, [{"a": None}]),
        (Path("a"), []),
        (_Kind.one, []),
        (object(), []),
        (float("inf"), []),
        ([1.0, float("nan")], []),
        (np.float32("nan"), []),
        (np.complex64(1), []),
        (np.datetime64("2024-05-01"), []),
        (b"a", []),
        ({(1, 2): 3}, []),
    ],
)
def test_a_default_that_is_not_json_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    default: object,
    told: list[object],
) -> None:
    # was a TypeError, told as a bug of streamproc, or the word Infinity
    def scaled(image: object, *, gain: Any = default, low: float = 1) -> None:
        """Scale."""

    from streamproc import schema

    other = SimpleNamespace(parameters=Parameters(scaled), function=scaled)
    monkeypatch.setattr(schema, "operators", lambda: [*operators(), "scaled"])
    monkeypatch.setattr(
        schema, "extension", lambda name: other if name == "scaled" else extension(name)
    )
    assert main(["schema"]) == 0
    printed = json.loads(capfd.readouterr().out, parse_constant=pytest.fail)
    steps = printed["properties"]["graph"]["additionalProperties"]["properties"]
    given = steps["scaled"]["anyOf"][0]["properties"]
    assert [v for k, v in given["gain"].items() if k == "default"] == told
    assert given["low"]["default"] == 1


def test_a_type_that_json_cannot_tell_takes_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from streamproc import schema

    class Limit(Enum):
        none = float("inf")
        some = 1.0

    assert schema._value(Limit) == {}


def test_the_command_prints_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == json.loads(json.dumps(pipeline_schema()))
    assert err == ""
