"""The YAML form: INTERFACES to the letter, refusals with their path, round trips."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import streamproc as sp
from streamproc import runs
from streamproc.config import (
    build,
    override,
    parse,
    parse_bytes,
    parse_options,
    read_yaml,
)
from streamproc.errors import ConfigError, StreamprocError
from streamproc.job import Job
from tests.arrays import simulated, whole
from tests.functions import brighten

SOURCE = "source: {simulation: {frames: 3, shape: [64, 64], cells: 2}}\n"
SAVE = "save: [source]\n"

#: INTERFACES.md, less what a later version brings, with a source that is here.
EXAMPLE = """
source: {simulation: {frames: 3, shape: [64, 64], dtype: uint16, seed: 0, fps: 20,
                      live: true}}
graph:                                   # a step takes the step above it
  smooth: {gaussian: {sigma: 1}}
  mask:   {threshold: {method: otsu}, of: smooth}
  nuclei: {label: {connectivity: 2}, of: mask}
  cells:  {measure: {intensity: source, properties: [area, centroid, mean_intensity]},
           of: nuclei}
  mine:   {map: {function: "tests.functions:brighten", kind: image,
                 parameters: {gain: 3}}, of: source}
save: [source, nuclei, cells]
to: RUN
executor: threads
on_error: record
on_overload: catch_up
deadline_ms: null
on_full_log: block
log: {keep_raw: true}
store: {images: none, labels: zstd, pyramid: true, layout: shards, durability: power}
limits: {memory: 2GiB, disk_reserve: 5GiB}
adjustable: []
sinks: []
"""


def from_text(text: str, tmp_path: Path) -> Any:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    return parse(read_yaml(path))


def job_of(text: str, tmp_path: Path) -> Job:
    pipeline = from_text(text, tmp_path)
    graph, handles = build(pipeline)
    graph.form = pipeline.source
    saved = {name: handle.step for name, handle in handles.items()}
    return Job(graph, saved, pipeline.options())


def test_texture_names_its_image_as_measure_does(tmp_path: Path) -> None:
    graph = (
        "graph: {m: {threshold: li}, l: {label: }, "
        "t: {texture: {intensity: source, levels: 8}, of: l}}\nsave: [t]"
    )
    job = job_of(SOURCE + graph, tmp_path)
    step = job.saved["t"]
    assert [i.name for i in step.inputs] == ["l", "source"]
    written = job.document()["graph"]["t"]
    assert written["of"] == "l"
    assert (written["texture"]["intensity"], written["texture"]["levels"]) == (
        "source",
        8,
    )


def test_the_example_holds_to_the_letter(tmp_path: Path) -> None:
    pipeline = from_text(EXAMPLE, tmp_path)
    # every key stands there with its default
    bare = from_text(SOURCE + SAVE, tmp_path)
    assert pipeline.options().model_dump() == bare.options().model_dump()
    assert pipeline.limits.memory == 2 << 30
    assert pipeline.to == "RUN"
    graph, saved = build(pipeline)
    assert list(saved) == ["source", "nuclei", "cells"]
    assert [i.name for i in graph.steps["cells"].inputs] == ["nuclei", "source"]
    assert graph.steps["mine"].function is brighten
    assert graph.steps["mask"].inputs[0].name == "smooth"


@pytest.mark.parametrize(
    ("text", "name", "workers"),
    [
        ("inline", "inline", None),
        ("threads", "threads", None),
        ("{threads: {workers: 2}}", "threads", 2),
        ("{threads: {}}", "threads", None),
        ("{threads: null}", "threads", None),
        ("{inline: {}}", "inline", None),
        ("dask", "dask", None),
        ("{dask: {workers: 2, memory_limit: 1GiB}}", "dask", 2),
        ('{dask: {scheduler: "tls://head:8786"}}', "dask", None),
    ],
)
def test_executors(text: str, name: str, workers: int | None, tmp_path: Path) -> None:
    pipeline = from_text(f"{SOURCE}{SAVE}executor: {text}", tmp_path)
    options = pipeline.options()
    assert options.executor_name == name
    assert options.executor_parameters.get("workers") == workers


def test_a_bare_value_is_the_first_parameter(tmp_path: Path) -> None:
    text = SOURCE + "graph: {a: {gaussian: 2}, m: {threshold: li}}\nsave: [m]\n"
    graph, _ = build(from_text(text, tmp_path))
    assert graph.steps["a"].parameters["sigma"] == 2
    assert graph.steps["m"].parameters["method"] == "li"
    _, saved = build(from_text("source: {simulation: 5}\nsave: [source]", tmp_path))
    assert saved["source"].graph.source.info.frames == 5


def test_joins_take_lists(tmp_path: Path) -> None:
    text = """graph:
  a: {gaussian: 1, of: source}
  both: {map: "numpy:maximum", of: [a, source]}
save: {sum: both}
"""
    graph, saved = build(from_text(SOURCE + text, tmp_path))
    assert [i.name for i in graph.steps["both"].inputs] == ["a", "source"]
    assert saved["sum"].name == "both"


def test_steps_may_stand_in_any_order(tmp_path: Path) -> None:
    text = "graph: {b: {gaussian: 1, of: a}, a: {gaussian: 2, of: source}}\n"
    graph, _ = build(from_text(SOURCE + text + "save: [b]", tmp_path))
    assert graph.steps["b"].inputs[0].name == "a"


def test_anchors_and_merges(tmp_path: Path) -> None:
    text = """graph:
  a: {gaussian: &wide {sigma: 3}, of: source}
  b: {gaussian: {<<: *wide}, of: source}
  c: {gaussian: {<<: *wide, sigma: 1e-1}, of: source}
save: [a]
"""
    graph, _ = build(from_text(SOURCE + text, tmp_path))
    assert [graph.steps[n].parameters["sigma"] for n in "abc"] == [3, 3, 0.1]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 << 30),
        ("500MB", 500_000_000),
        ("500 mb", 500_000_000),
        ("1.5 KiB", 1536),
        (7, 7),
        (1e9, 10**9),
        ("12", 12),
        ("3TB", 3 * 10**12),
    ],
)
def test_sizes(text: str | float, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["2 XB", "", "GiB", "1.2.3MB", True, None, -5, "-5MB"])
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(ValueError, match="a size such as 2GiB or 500MB"):
        parse_bytes(text)


# text beyond source and save, and the message it must give
REFUSED = {
    # overload
    "on_overload: skp": "on_overload must be one of 'catch_up' or 'skip', got 'skp'",
    "deadline_ms: 5": "deadline_ms is kept by skipping frames; say on_overload: skip",
    "on_overload: skip\ndeadline_ms: 0": "deadline_ms must be > 0.0, got 0",
    "on_full_log: drop": "on_full_log must be one of 'block', 'drop_newest', 'drop_old",
    # sinks
    "sinks: [parqet]": "sinks: no sink named 'parqet'; did you mean 'parquet'?",
    "sinks: [{parquet: {row: 5}}]": "sinks.parquet.row: sink 'parquet' has no parame",
    "sinks: [{parquet: {rows: 0}}]": "sinks.parquet.rows must be >= 1, got 0",
    "sinks: [{ome-zarr: {}}]": "sinks.ome-zarr: 'ome-zarr' holds the images of every",
    "sinks: [{parquet: {}, b: {}}]": "sinks: each needs one name with its parameters",
    "sinks: parquet": "sinks: must be a list of sinks, got 'parquet'",
    # unknown keys
    "on_eror: stop": "on_eror: unknown key; did you mean 'on_error'?",
    "limits: {memry: 1}": "limits.memry: unknown key; did you mean 'memory'?",
    "store: {image: none}": "store.image: unknown key; did you mean 'images'?",
    "log: {keep_rw: true}": "log.keep_rw: unknown key; did you mean 'keep_raw'?",
    "executor: {threads: {worker: 2}}": "executor.threads.worker: unknown key; did y",
    "executor: thread": "no executor named 'thread'; did you mean 'threads'?",
    # types
    "executor: {threads: {workers: 0}}": "executor.threads.workers must be >= 1, got 0",
    "executor: {threads: 2}": "executor.threads must be a mapping, got 2",
    "executor: {inline: {workers: 2}}": "executor inline takes no parameters",
    "executor: {dask: {workers: 0}}": "executor.dask.workers must be >= 1, got 0",
    "executor: {dask: {memory_limit: 1x}}": "executor.dask.memory_limit",
    "executor: {dask: {timeout: 0}}": "executor.dask.timeout must be > 0",
    "executor: {dask: {scheduler: a, workers: 2}}": "workers is for a cluster of our",
    "executor: {dask: {insecure: true}}": "insecure belongs to 'scheduler'; give its",
    "executor: {inline: {}, threads: {}}": "one executor with its parameters",
    "executor: {}": "no executor named ''",
    "log: some": "log must be a mapping or none, got 'some'",
    "log: {keep_raw: 3}": "log.keep_raw must be true or false, got 3",
    "limits: {memory: 0}": "limits.memory must be > 0",
    "limits: {memory: 2 XB}": "limits.memory must be a size such as 2GiB or 500MB, go",
    "limits: 3": "limits must be a mapping, got 3",
    "on_error: ignore": "on_error must be one of 'record' or 'stop', got 'ignore'",
    "store: {images: lzma}": "store.images must be one of 'none', 'blosc-lz4' or 'zst",
    "graph: null": "graph must be a mapping, got None",
    "graph: {a: null}": "graph.a must be a mapping, got None",
    "graph: {1: {gaussian: 1}}": "graph.1 must be text, got 1",
    # the graph
    "graph: {source: {gaussian: 1}}": "graph.source: 'source' is a reserved step name",
    "graph: {a: {}}": "graph.a: needs one operator (and 'of'), got none",
    "graph: {a: {gaussian: 1, median: 3}}": "needs one operator (and 'of'), got gauss",
    "graph: {a: {gausian: 1}}": "graph.a.gausian: no operator named 'gausian'; did you",
    "graph: {a: {gaussian: {sigma: -1}}}": "graph.a.gaussian.sigma must be >= 0.0, ",
    "graph: {a: {gaussian: {sigma: x}}}": "graph.a.gaussian.sigma must be a number, g",
    "graph: {a: {gaussian: {sigm: 1}}}": "graph.a.gaussian.sigm: gaussian has no param",
    "graph: {a: {gaussian: {sigma: .nan}}}": "graph.a.gaussian.sigma must be",
    "graph: {a: {label: {}}}": "graph.a.label: label needs a mask, got an image",
    "graph: {a: {measure: {}}}": "measure needs labels, got an image ('source'); add a",
    "graph: {a: {threshold: fixed}}": "graph.a.threshold.value: method 'fixed' needs",
    "graph: {a: {gaussian: 1, of: 5}}": "graph.a.of: must be a step's name or a list,",
    "graph: {a: {gaussian: 1, of: null}}": "graph.a.of: must be a step's name or a li",
    "graph: {a: {gaussian: 1, of: [[b]]}}": "graph.a.of: must be a step's name or a l",
    "graph: {a: {gaussian: 1, of: {b: 1}}}": "graph.a.of: must be a step's name or a ",
    "graph: {a: {gaussian: 1, of: sorce}}": "graph.a.of: no step named 'sorce'; did y",
    "graph: {a: {gaussian: 1, of: a}}": "graph.a.of: the graph has a loop: a -> a",
    "graph: {a: {gaussian: 1, of: b}, b: {gaussian: 1, of: a}}": "loop: a -> b -> a",
    "graph: {a: {gaussian: 1, of: [source, source]}}": "gaussian takes 1 input(s), got",
    "graph: {a b: {gaussian: 1}}": "'a b' is no step name",
    "graph: {m: {threshold: li}, l: {label: }, c: {measure: {intensity: sorce}}}": (
        "graph.c.measure.intensity: no step named 'sorce'; did you mean 'source'?"
    ),
    "graph: {m: {threshold: li}, l: {label: }, c: {texture: {intensity: sorce}}}": (
        "graph.c.texture.intensity: no step named 'sorce'; did you mean 'source'?"
    ),
    "graph: {m: {threshold: li}, l: {label: }, c: {texture: {levels: 8}}}": (
        "graph.c.texture: texture takes 2 input(s), got 1"
    ),
    "graph: {m: {threshold: li}, l: {label: }, c: {measure: {intensity: [m]}}}": (
        "graph.c.measure.intensity: must be a step's name, got ['m']"
    ),
    "graph: {m: {threshold: li}, l: {label: }, c: {measure: {properties: [aera]}}}": (
        "graph.c.measure.properties: measure has no property 'aera'; did you mean 'ar"
    ),
    "graph: {a: {gaussian: 1}, b: {gaussian: 1}, c: {gaussian: 1, of: a}}": (
        "graph.b.of: is missing; the graph branches at 'a', so every step names its"
    ),
    "graph: {a: {gaussian: 1}, b: {background: {window: 5}}}": (
        "graph.b.background: background of past frames acts on 'source', got 'a'"
    ),
    "graph: {b: {background: {window: 5, radius: 3}}}": (
        "graph.b.background.radius: method 'mean' takes window and every, not radius"
    ),
    "graph: {a: {map: 'nowhere:f'}}": "graph.a.map.function: cannot import 'nowhere:f'",
    "graph: {a: {map: 'numpy'}}": "got 'numpy', write it as 'module:name'",
    "graph: {a: {map: 'os:sep'}}": "graph.a.map.function: 'os:sep' is not a function",
    "graph: {a: {map: }}": "graph.a.map.function: needs a function",
    "graph: {a: {map: {function: 'os:getcwd', kind: pic}}}": (
        "graph.a.map.kind: must be one of image, mask, labels, table, value, got 'pic'"
    ),
    "graph: {a: {map: {function: 'os:getcwd', gain: 3}}}": (
        "graph.a.map.gain: map takes function, kind and parameters, not 'gain'"
    ),
    "graph: {a: {map: {function: 'os:getcwd', parameters: 3}}}": (
        "graph.a.map.parameters: must be a mapping, got 3"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_refusals_have_a_path_and_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(REFUSED[text])) as caught:
        build(from_text(SOURCE + SAVE + text, tmp_path))
    assert "\n" not in str(caught.value)
    assert "literal[" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SAVE, "source: is missing; a pipeline needs 'source'"),
        (SOURCE, "save: is missing; a pipeline needs 'save'"),
        (SOURCE + "save: []", "save: nothing is saved; name at least one step"),
        (SOURCE + "save: [nuclei]", "save: no step named 'nuclei'"),
        (SOURCE + "save: {a: nuclei}", "save: no step named 'nuclei'"),
        (SOURCE + "save: source", "save must be a list, got 'source'"),
        (SAVE + "source: 3", "source must be text, got 3"),
        (SAVE + "source: {}", "source: needs one source name with its parameters"),
        (SAVE + "source: {simulaton: 3}", "no source named 'simulaton'; did you mean"),
        (SAVE + "source: nowhere.tif", "no such file or folder: nowhere.tif"),
        (
            SAVE + "source: {simulation: {frames: -1}}",
            "source.simulation.frames must b",
        ),
        (SAVE + "source: {simulation: {frame: 1}}", "did you mean 'frames'?"),
        ("[1, 2]", "needs a mapping (source, graph, save), got [1, 2]"),
        ("a: [", "line 1: not valid YAML"),
        (SAVE + "source: {{ path }}", "line 2: not valid YAML: a key must be text"),
        (SAVE + SAVE, "line 2: not valid YAML: key 'save' is given twice"),
        (SOURCE + "save: [source]\nsource: x", "key 'source' is given twice"),
    ],
)
def test_refusals_of_whole_files(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StreamprocError, match=re.escape(message)) as caught:
        build(from_text(text, tmp_path))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file: '.*none.yaml'"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        read_yaml(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ConfigError, match="cannot read"):
        read_yaml(tmp_path / "bytes.yaml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(st.text(max_size=5) | st.integers(), c, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_nothing_breaks_the_parser(body: object) -> None:
    for key in ("graph", "save", "executor", "log", "limits", "store", "sinks", "to"):
        good = {"source": {"simulation": {"frames": 1}}, "save": ["source"]}
        for value in (
            body,
            {"a": body},
            {"a": {"gaussian": body}},
            {"a": {"of": body}},
        ):
            with suppress(StreamprocError):
                build(parse({**good, key: value}))


# --- --set ---------------------------------------------------------------------


def test_override_reaches_parameters(tmp_path: Path) -> None:
    given: dict[str, Any] = {"graph": {"a": {"gaussian": 1}}}
    override(given, "graph.a.gaussian.sigma=3")
    override(given, "limits.memory=1GiB")
    override(given, "on_error=stop")
    assert given == {
        "graph": {"a": {"gaussian": {"sigma": 3}}},
        "limits": {"memory": "1GiB"},
        "on_error": "stop",
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("graph.a.gaussian.sigma", "write it as graph.smooth.gaussian.sigma=3"),
        ("graph..x=3", "write it as graph.smooth.gaussian.sigma=3"),
        ("graph.b.gaussian.sigma=3", "no step 'b'"),
        ("graph.a.gaussian.sigma=[", "'[' is not a YAML value"),
    ],
)
def test_override_refuses(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        override({"graph": {"a": {"gaussian": 1}}}, setting)


# --- round trip -----------------------------------------------------------------


def read_back(path: Path) -> Job:
    pipeline = parse(read_yaml(path))
    graph, handles = build(pipeline)
    graph.form = pipeline.source
    saved = {name: handle.step for name, handle in handles.items()}
    return Job(graph, saved, pipeline.options(), frames=pipeline.recorded["frames"])


def everything(raw: sp.Image) -> dict[str, sp.Handle]:
    """A graph with every operator of this version."""
    flat = raw.background(window=3, every=2)
    hat = raw.background(method="top_hat", radius=3, shape="box")
    smooth = flat.gaussian(sigma=(1.0, 2.0)).median(size=3).white_tophat(radius=5)
    band = hat.difference_of_gaussians(low_sigma=1)
    mask = smooth.threshold("fixed", value=3).binary_opening().binary_closing()
    mask = mask.fill_holes().remove_small_objects(max_size=3)
    local = band.threshold("local", block_size=11, weights="mean", offset=0.5)
    labels = mask.binary_erosion().binary_dilation().label(connectivity=1)
    labels = labels.remove_small_objects(max_size=2)
    cells = labels.measure(raw, properties=["area", "bbox", "mean_intensity"])
    shapes = labels.measure()
    total = cells.running_count()
    mine = raw.map(brighten, parameters={"gain": np.float64(3), "x": None})
    both = raw.map(np.maximum, smooth, name="both")
    return {
        "source": raw,
        "nuclei": labels,
        "local": local,
        "cells": cells,
        "shapes": shapes,
        "total": total,
        "mine": mine,
        "both": both,
    }


def test_python_to_yaml_and_back(tmp_path: Path) -> None:
    raw = simulated(5)
    first = Job(
        raw.graph,
        {name: handle.step for name, handle in everything(raw).items()},
        parse_options({"log": {"keep_raw": True}, "limits": {"memory": "1GiB"}}),
        frames=3,
    )
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(first.document()))
    (tmp_path / "sorted.yaml").write_text(
        yaml.safe_dump(first.document(), sort_keys=False)
    )
    identity = first.plan.identity(first.info.identity)
    second = read_back(tmp_path / "sorted.yaml")
    assert second.plan.identity(second.info.identity) == identity
    assert second.frames == 3
    assert second.options.model_dump() == first.options.model_dump()
    again = second.document()
    expected = first.document()
    for document in (again, expected):
        document["recorded"].pop("started")
    assert again == expected


def test_recorded_pipeline_runs_again(tmp_path: Path) -> None:
    raw = simulated(5)
    sp.run({"smooth": raw.gaussian(sigma=2)}, tmp_path / "one")
    pipeline = parse(read_yaml(tmp_path / "one/pipeline.yaml"))
    runs.start_pipeline(pipeline, tmp_path / "two").wait()
    one, two = sp.load(tmp_path / "one"), sp.load(tmp_path / "two")
    assert np.array_equal(whole(one.images["smooth"]), whole(two.images["smooth"]))
    assert list(one.frames.hash) == list(two.frames.hash)


@given(
    sigma=st.floats(0, 100) | st.tuples(st.floats(0, 9), st.floats(0, 9)),
    size=st.integers(0, 9).map(lambda n: 2 * n + 1),
    method=st.sampled_from(["otsu", "li", "triangle"]),
    # PyYAML folds NEL and its kin where it writes unicode
    gain=st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-9, 9)
    | st.text(st.characters(exclude_characters="\x85\u2028\u2029\ufeff")),
    name=st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True),
)
def test_round_trip_of_any_parameters(
    sigma: Any, size: int, method: Any, gain: object, name: str
) -> None:
    raw = simulated(2)
    name = name if name != "source" else "other"
    step = raw.gaussian(sigma=sigma, name=name).median(size=size)
    mine = step.map(brighten, parameters={"gain": gain})
    saved = {"a": step.threshold(method).step, "b": mine.step}
    first = Job(raw.graph, saved, parse_options({}))
    text = yaml.safe_dump(first.document(), sort_keys=False, allow_unicode=True)
    pipeline = parse(yaml.safe_load(text))
    graph, handles = build(pipeline)
    second = Job(graph, {n: h.step for n, h in handles.items()}, pipeline.options())
    assert second.plan.identity("x") == first.plan.identity("x")
