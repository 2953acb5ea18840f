"""The documentation: its pages run, its links lead somewhere, nothing is left out."""

import re
import subprocess
import sys
import tomllib
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
import yaml

import streamproc as sp
from streamproc import cli, config, plugins, steps
from tests.blocks import LANGUAGES, blocks, run_page, write_data, write_more_data

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted((DOCS / "howto").glob("*.md"))
#: Shell blocks that are not run here, by their first word, and why.
NOT_RUN = {
    "dask": "begins servers that never end, with certificates of one's own",
    "kubectl": "needs a cluster of Kubernetes",
    "pip": "changes the environment under test; tests/plugin_example is installed",
    "napari": "needs a screen, and a viewer that is no dependency",
}
#: The same, by their whole text.
BENCHMARK = "python tests/benchmarks\n"  # takes minutes, and measures


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as HTML, built anew; pictures that were drawn before are kept."""
    html = tmp_path_factory.mktemp("html")
    command = ["-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *command, str(DOCS), str(html)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return html


@pytest.fixture(scope="module")
def inventory(built: Path) -> set[str]:
    """Every name that has a place on a page of the reference."""
    with (built / "objects.inv").open("rb") as file:
        for _ in range(4):
            file.readline()
        lines = zlib.decompress(file.read()).decode().splitlines()
    return {line.split()[0] for line in lines if line.split()[1].startswith("py:")}


def announce(page: Path, folder: Path) -> None:
    """Write what an installation of the page's pyproject.toml would leave."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language != "toml":
            continue
        project = tomllib.loads(block.text)["project"]
        info = (
            folder
            / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        )
        info.mkdir()
        head = f"Name: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\n{head}")
        lines = []
        for group, points in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{n} = {at}" for n, at in points.items()), ""]
        (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    write_data(tmp_path)
    write_more_data(tmp_path)
    # in place of pip install: the page's package is found here by its entry points
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    announce(page, tmp_path)
    before = set(sys.modules)
    try:
        with warnings.catch_warnings():
            # a block may leave closing to the end of the process, as users do
            warnings.simplefilter("ignore", ResourceWarning)
            run_page(page, NOT_RUN, skip={BENCHMARK})
    finally:
        for name in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_have_a_language_that_is_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {b.language for b in blocks(text)} <= LANGUAGES
    opened = re.findall(r"^```(?!\{|$)(\w*)", text, re.M)
    assert len(opened) == len(blocks(text))


def test_what_is_not_run_is_there() -> None:
    texts = [b.text for p in PAGES for b in blocks(p.read_text(encoding="utf-8"))]
    assert BENCHMARK in texts
    assert set(NOT_RUN) <= {text.split()[0] for text in texts}


@pytest.mark.parametrize(
    "page",
    [p for p in DOCS.rglob("*.md") if "generated" not in p.parts],
    ids=lambda page: page.relative_to(DOCS).as_posix(),
)
def test_pages_are_in_the_tree_of_contents(page: Path) -> None:
    inside = "\n".join(p.read_text(encoding="utf-8") for p in DOCS.rglob("index.md"))
    name = page.relative_to(DOCS).with_suffix("").as_posix()
    assert name == "index" or re.search(rf"^(\w+/)*{page.stem}$", inside, re.M), name


@pytest.mark.slow
def test_links_lead_somewhere(built: Path) -> None:
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(
            r'(?:href|src)="(?!https?:|mailto:|#|data:)([^"]+)"', text
        ):
            path, _, anchor = link.partition("#")
            target = page.parent / path.partition("?")[0]
            where = f"{page.relative_to(built)}: {link}"
            assert target.exists(), where
            if anchor and target.suffix == ".html":
                found = target.read_text(encoding="utf-8")
                assert f'id="{anchor}"' in found, where


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)\b[^>]*src="([^"]+)"', text)
        loaded += re.findall(r'<link\b[^>]*rel="stylesheet"[^>]*href="([^"]+)"', text)
        for address in loaded:
            assert not re.match(r"(https?:)?//", address), f"{page.name}: {address}"
    for sheet in built.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", sp.__all__)
def test_public_names_have_a_place(name: str, inventory: set[str]) -> None:
    if name == "ops":
        assert {f"streamproc.ops.{n}" for n in sp.ops.OPERATORS} <= inventory
    else:
        assert f"streamproc.{name}" in inventory


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in sp.ops.__all__ if n != "OPERATORS"])
def test_plain_functions_have_a_place(name: str, inventory: set[str]) -> None:
    assert f"streamproc.ops.{name}" in inventory


@pytest.mark.slow
def test_every_operator_has_a_page(built: Path) -> None:
    folder = built / "reference" / "generated" / "operators"
    ours = {n for n in steps.operators() if steps.built_in(n)}
    assert {p.stem for p in folder.glob("*.html")} - {"index"} == ours
    for name in ours:
        assert f">{name}</h1>" in (folder / f"{name}.html").read_text().replace(
            f'>{name}<a class="headerlink"', f">{name}</h1><a"
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(sp.ops.OPERATORS))
def test_the_line_of_an_operator_is_a_step(
    name: str, built: Path, tmp_path: Path
) -> None:
    # the pages are built from these files
    text = (DOCS / "reference/generated/operators" / f"{name}.md").read_text()
    (line,) = re.findall(r"in a pipeline \| `(.*)` \|", text)
    step = yaml.safe_load(f"{{{line}}}")
    if name == "flat_field":  # it reads the file
        tifffile.imwrite(tmp_path / "flat.tif", np.ones((32, 32), np.uint16))
        step[name] = {"flat": str(tmp_path / "flat.tif")}
    spec = sp.ops.OPERATORS[name]
    kinds = [k[0] for k in spec.takes[: len(spec.takes) - spec.optional]]
    of = ["source" if kind == "image" else kind for kind in kinds]
    graph = {
        "mask": {"threshold": "otsu", "of": "source"},
        "labels": {"label": {}, "of": "mask"},
        "value": {"statistics": {}, "of": "source"},
        "it": {**step, "of": of if len(of) > 1 else of[0]},
    }
    source = {"simulation": {"frames": 1, "shape": [32, 32], "live": False}}
    given = {"source": source, "graph": graph, "save": ["it"]}
    built_graph, _ = config.build(config.parse(given))
    assert built_graph.steps["it"].operator == name


@pytest.mark.slow
@pytest.mark.parametrize("group", ["sources", "sinks"])
def test_every_plugin_has_a_section(group: str, built: Path) -> None:
    text = (built / "reference" / "generated" / f"{group}.html").read_text()
    for name, point in plugins.installed(group).items():
        if plugins.is_ours(point):
            assert f'<section id="{name}">' in text, name


@pytest.mark.slow
def test_every_command_has_a_section(built: Path) -> None:
    text = (built / "reference" / "generated" / "commands.html").read_text()
    commands: dict[str, object] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]  # a group
    for name in commands:
        assert f"streamproc {name}" in text, name
        assert f'id="{name}"' in text, name


@pytest.mark.slow
def test_every_example_is_in_the_gallery(built: Path) -> None:
    examples = DOCS.parent / "examples"
    found = [*examples.glob("*.py"), *examples.glob("pipelines/*.yaml")]
    for path in found:
        page = built / "gallery" / "generated" / f"{path.stem}.html"
        assert "<img" in page.read_text(encoding="utf-8"), path.name
