"""Sources by entry point, by suffix, and as objects."""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import streamproc as sp
from streamproc.__main__ import main
from streamproc.catalogue import catalogue
from streamproc.config import read_yaml
from streamproc.plugins import installed, load, make_source, origin, source_form
from tests.arrays import Arrays, errors, noise, run_one, simulated, whole


@pytest.fixture
def png(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "a.png"), noise(1)[0])
    return tmp_path / "a.png"


def test_built_ins_come_by_the_same_door() -> None:
    assert {"files", "simulation", "video"} <= set(installed("sources"))
    assert list(installed("sources")) == sorted(installed("sources"))
    assert "ome-zarr" in installed("sinks")
    assert load("sources", "files").__name__ == "Files"


def test_paths_globs_and_folders_go_to_their_source(png: Path) -> None:
    for address in (png, str(png), str(png.parent), f"{png.parent}/*.png"):
        source = make_source(address)
        assert type(source).__name__ == "Files"
        assert source.info.frames == 1
        source.close()


def test_the_full_form() -> None:
    assert source_form("a.png") == {"files": {"path": "a.png"}}
    assert source_form({"video": "clip.mp4"}) == {"video": {"path": "clip.mp4"}}
    given: dict[str, Any] = {"files": {"path": "x", "color": "rgb"}}
    assert source_form(given) == given
    assert source_form(given) is not given
    assert source_form(Arrays(noise(1))) is None


def test_an_object_is_taken_as_it_is(tmp_path: Path) -> None:
    source = Arrays(noise(5))
    raw = sp.open(source)
    assert raw.graph.source is source
    report = sp.run({"source": raw}, tmp_path / "run")
    assert report.frames.done == 5
    assert np.array_equal(whole(sp.load(report.path).images["source"]), source.stack)
    assert source.closed == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "source: needs a path, a mapping or a Source object, got 3"),
        ({}, "source: needs one source name with its parameters, got nothing"),
        (
            {"files": {}, "video": {}},
            "one source name with its parameters, got files, v",
        ),
        ({"fils": {}}, "source: no source named 'fils'; did you mean 'files'?"),
        (
            {"files": {"pth": "a"}},
            "source.files.pth: source 'files' has no parameter 'pt",
        ),
        ({"files": {}}, "source.files.path: source 'files' needs 'path'"),
        ("nowhere/movie.xyz", "source: no such file: 'nowhere/movie.xyz'"),
        (__file__, r"source: unknown format '.py'; known: .*\.avi.*"),
    ],
)
def test_refusals(given: Any, message: str) -> None:
    with pytest.raises(sp.StreamprocError, match=message):
        sp.open(given)


def test_an_object_that_lacks_a_method_is_no_source() -> None:
    class Half:
        info = Arrays(noise(1)).info

    with pytest.raises(sp.ConfigError, match="needs a path, a mapping or a Source obj"):
        sp.open(Half())  # type: ignore[arg-type]  # what a user may try


def test_a_plugin_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from streamproc import plugins

    point = EntryPoint("cam", "nowhere_driver:Camera", "streamproc.sources")
    monkeypatch.setattr(plugins, "_scanned", lambda group, where: [("cam", point)])
    with pytest.raises(sp.MissingDependency, match="source 'cam' cannot be loaded: No"):
        sp.open({"cam": {}})


# --- distributions of others, some of them broken -------------------------------

_MODULE = '''
from typing import Annotated
import numpy as np
from annotated_types import Ge

class Camera:
    """A camera."""

    def __init__(self, serial: str = "a") -> None:
        raise OSError("no camera\\n is connected")

class Half:
    """Half a source."""

    suffixes = (".half",)

    def __init__(self, path: str = "") -> None: ...

def offset(image, by: Annotated[int, Ge(0)] = 1, channel_axis=None) -> "image":
    """Add to an image."""
    return np.asarray(image + by, image.dtype)

def inverted(image: Annotated[np.ndarray, "mask"]) -> Annotated[np.ndarray, "mask"]:
    """Turn a mask over."""
    image[...] = 1 - image
    return image

def first_row(image: np.ndarray) -> np.ndarray:
    """Drop an axis."""
    return image[0]

_kept = np.empty((32, 32), np.uint16)

def careless(image: np.ndarray) -> np.ndarray:
    """Return memory that it writes into again."""
    np.add(image, 1, out=_kept)
    return _kept

def how_many(image: np.ndarray) -> Annotated[int, "value"]:
    """Count the pixels."""
    return image.size

def hints(image, by: "Gone" = 1): ...
def nothing(): ...
def odd(image, *, place=np.float32(3)): ...
number = 3
'''
_BROKEN = """
from streamproc import Nothing  # as after an upgrade
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a package that is installed for this test, with these entry points."""
    known = set(sys.modules)

    def make(
        points: dict[str, dict[str, str]], name: str = "third", version: str = "1.0"
    ) -> None:
        folder = tmp_path / name
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text)
        lines = [
            f"[streamproc.{group}]\n" + "\n".join(f"{k} = {v}" for k, v in all_.items())
            for group, all_ in points.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (folder / "third_good.py").write_text(_MODULE)
        (folder / "third_broken.py").write_text(_BROKEN)
        (folder / "third_typo.py").write_text("def (:\n")
        (folder / "third_exit.py").write_text("import sys; sys.exit('no licence')")
        (folder / "third_needs.py").write_text("import not_there_at_all")
        monkeypatch.syspath_prepend(folder)

    yield make
    for module in set(sys.modules) - known:
        if module.startswith("third_"):
            del sys.modules[module]


def listed(group: str) -> dict[str, str]:
    return {item.name: item.summary for item in catalogue(group)}


def test_what_breaks_at_import_is_named_and_the_rest_works(
    distribution: Any, png: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = {
        "a": "third_broken:X",
        "b": "third_typo:X",
        "c": "third_exit:X",
        "d": "third_needs:X",
        "e": "third_good:Missing",
        "f": "nowhere:X",
    }
    groups = ("sources", "sinks", "operators", "dashboards")
    distribution(dict.fromkeys(groups, broken))
    for group in groups:
        before = f"{group[:-1]} {{!r}} of third 1.0 cannot be loaded: ".format
        said = listed(group)
        assert said["a"].startswith(f"{before('a')}cannot import name 'Nothing'")
        assert said["b"].startswith(f"{before('b')}SyntaxError: invalid syntax")
        assert said["c"] == f"{before('c')}SystemExit: no licence"
        assert said["d"] == f"{before('d')}No module named 'not_there_at_all'"
        assert said["e"].startswith(f"{before('e')}AttributeError: module 'third_good'")
        assert said["f"] == f"{before('f')}No module named 'nowhere'"
        assert not any("\n" in line for line in said.values())
        assert main(["list", group]) == 0
    assert "gaussian: Smooth with a Gaussian." in capfd.readouterr().out
    assert sp.open(png).graph.source.info.frames == 1
    raw = sp.open(Arrays(noise(1)))
    assert raw.gaussian(sigma=1).name == "gaussian"
    with pytest.raises(sp.ConfigError, match=r"b: operator 'b' of third 1.0 cannot"):
        raw.apply("b")
    with pytest.raises(sp.MissingDependency, match=r"source 'd' of third 1.0 can"):
        sp.open({"d": {}})
    (png.parent / "x.xyz").write_text("")
    with pytest.raises(sp.SourceError, match=r"unknown format '.xyz'; .*'b' of third"):
        sp.open(png.parent / "x.xyz")


def test_a_name_that_is_built_in_stays_so(distribution: Any, png: Path) -> None:
    names = {"files": "third_good:Half", "half": "third_good:Half"}
    operators = {"gaussian": "third_good:offset", "map": "third_good:offset"}
    distribution({"sources": names, "operators": operators})
    assert load("sources", "files").__name__ == "Files"
    assert type(sp.open(png).graph.source).__name__ == "Files"
    step = sp.open(Arrays(noise(1))).apply("gaussian", sigma=2).step
    assert step.function is sp.ops.OPERATORS["gaussian"].kernel
    said = "of third 1.0 is not used: a plugin of this name is built in"
    lines = [i.name for i in catalogue("operators") if i.summary == said]
    assert lines == ["gaussian", "map"]
    assert ("files", said) in [(i.name, i.summary) for i in catalogue("sources")]
    assert origin("sources", "files") == {}
    assert origin("sources", "half") == {"third": "1.0"}


def test_two_packages_of_one_name_are_named(distribution: Any) -> None:
    for name in ("beta", "alpha"):
        points = {"operators": {"offset": "third_good:offset"}}
        distribution(points, name=name, version="2.0")
    assert origin("operators", "offset") == {"alpha": "2.0"}
    said = "of beta 2.0 is not used: a plugin of this name is of alpha 2.0"
    lines = [i.summary for i in catalogue("operators") if i.name == "offset"]
    assert lines == ["Add to an image.", said]


def test_a_source_that_fails_to_open_says_so_in_one_line(distribution: Any) -> None:
    sources = {"cam": "third_good:Camera", "half": "third_good:Half"}
    distribution({"sources": sources})
    message = "source.cam: cannot be opened: OSError: no camera is connected"
    with pytest.raises(sp.SourceError, match=f"^{message}$"):
        sp.open({"cam": {}})
    with pytest.raises(sp.ConfigError, match=r"source.half: Half is no source; it"):
        sp.open({"half": {}})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "nothing: operator 'nothing': needs a function whose first param"),
        ("number", "number: operator 'number': needs a function, got 3"),
        ("Half", "Half: operator 'Half': needs a function whose first parameter is an"),
        ("hints", "annotations cannot be read: NameError: name 'Gone' is not defined"),
        ("odd", "odd.place: got a float32, which YAML cannot hold"),
    ],
)
def test_what_is_no_operator_is_refused(
    distribution: Any, name: str, message: str
) -> None:
    distribution({"operators": {name: f"third_good:{name}"}})
    with pytest.raises(sp.ConfigError, match=message):
        sp.open(Arrays(noise(1))).apply(name)
    assert name in listed("operators")


def test_operators_are_mapped_over_channels(distribution: Any, tmp_path: Path) -> None:
    names = ("offset", "careless", "first_row", "how_many", "inverted")
    distribution({"operators": {name: f"third_good:{name}" for name in names}})
    stack = noise(3, (2, 32, 32))
    raw = sp.open(Arrays(stack, "cyx"))
    saved = {"a": raw.apply("offset", by=3), "b": raw.apply("careless")}
    mask = raw.threshold("fixed", value=100)
    saved |= {"c": mask.apply("inverted"), "d": raw.apply("first_row", name="d")}
    kept = {name: saved[name] for name in "ab"}
    report = sp.run(kept, tmp_path / "ok", executor="inline")
    assert report.frames.done == 3
    images = sp.load(tmp_path / "ok").images
    assert np.array_equal(whole(images["a"]), stack + 3)
    assert np.array_equal(whole(images["b"]), stack + 1)
    for name, said in (("c", "'inverted': ValueError: assignment"), ("d", "keeps")):
        result = run_one(saved[name], tmp_path / name)
        assert said in errors(result)[0]
    with pytest.raises(sp.ConfigError, match="how_many: a value has no channels"):
        sp.run({"x": raw.apply("how_many")}, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_plugins_version_is_part_of_the_environment(
    distribution: Any, tmp_path: Path
) -> None:
    distribution({"operators": {"offset": "third_good:offset"}}, version="1.2")
    for handle, known in ((simulated().apply("offset"), True), (simulated(), False)):
        sp.run({"source" if not known else "x": handle}, tmp_path / str(known))
        document = read_yaml(tmp_path / str(known) / "pipeline.yaml")
        environment = document["recorded"]["environment"]
        assert environment.get("third") == ("1.2" if known else None)
