"""Pictures in a terminal: what its cells hold is what the picture is."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.style import Style
from rich.text import Text

from streamproc.__main__ import main
from streamproc.view import terminal
from streamproc.view.sheet import Tile

SIMULATION = "{simulation: {frames: 5, shape: [64, 80], live: false}}"


def pixels(text: Text) -> np.ndarray:
    """The picture that half blocks make, two rows to a line; blue first."""
    lines = text.plain.rstrip("\n").split("\n")
    assert {len(line) for line in lines} == {len(lines[0])}
    styles = {}
    for span in text.spans:
        for at in range(span.start, span.end):
            styles[at] = span.style
    found = np.zeros((2 * len(lines), len(lines[0]), 3), np.uint8)
    at = 0
    for y, line in enumerate(lines):
        for x, letter in enumerate(line):
            assert letter == "▀"
            style = styles[at]
            assert isinstance(style, Style)
            for half, colour in enumerate((style.color, style.bgcolor)):
                if colour is not None:
                    assert colour.triplet is not None
                    found[2 * y + half, x] = tuple(colour.triplet)[::-1]
            at += 1
        at += 1
    return found


@pytest.mark.parametrize("shape", [(6, 5), (7, 5), (1, 1)])
def test_half_blocks_hold_every_pixel(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    found = pixels(terminal.blocks(picture))
    np.testing.assert_array_equal(found[: shape[0]], picture)
    assert not found[shape[0] :].any()


def screen(width: int = 100, height: int = 40) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height,
        color_system="truecolor", legacy_windows=False, highlight=False,
    )  # fmt: skip


def printed(on: Console) -> list[str]:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue().splitlines()


@pytest.mark.parametrize("shape", [(512, 512), (20, 2000), (2000, 20)])
def test_a_picture_fits_the_terminal(shape: tuple[int, int]) -> None:
    on = screen()
    terminal.show(np.zeros((*shape, 3), np.uint8), on)
    lines = printed(on)
    assert 1 <= len(lines) <= 40 - 8
    assert max(line.count("▀") for line in lines) <= 100


def test_tiles_stand_side_by_side() -> None:
    on = screen(width=90)
    picture = np.full((30, 30, 3), 99, np.uint8)
    tiles = [Tile(n, "threshold()", picture=picture) for n in ("one", "two", "three")]
    terminal.show_tiles([*tiles, Tile("table", "measure()")], on)
    text = Text.from_ansi("\n".join(printed(on))).plain.splitlines()
    assert text[0].split() == ["one", "two"]
    assert "three" in "\n".join(text)
    assert "table" not in "\n".join(text)


@pytest.mark.parametrize(
    ("width", "height", "colours", "shown"),
    [
        (80, 24, "truecolor", True),
        (80, 24, "256", True),
        (80, 24, "standard", False),
        (20, 24, "truecolor", False),
        (80, 6, "truecolor", False),
    ],
)
def test_small_or_colourless_terminals_get_none(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int, colours: str, shown: bool
) -> None:
    def console(**_: object) -> Console:
        return Console(
            file=io.StringIO(), force_terminal=True, width=width, height=height,
            color_system=colours, legacy_windows=False,  # type: ignore[arg-type]
        )  # fmt: skip

    monkeypatch.setattr(terminal, "Console", console)
    assert (terminal.console() is not None) == shown


def test_nothing_is_drawn_where_stdout_is_no_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert terminal.console() is None
    assert main(["info", SIMULATION]) == 0
    assert "▀" not in capfd.readouterr().out


def test_info_draws_the_first_frame(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    on = screen()
    monkeypatch.setattr(terminal, "console", lambda: on)
    assert main(["info", SIMULATION]) == 0
    lines = printed(on)
    assert sum("▀" in line for line in lines) > 20
    assert "frame 0" in lines[-1]
    assert "64 x 80 (yx)" in capfd.readouterr().out


@pytest.mark.parametrize("source", ["live", "--json", "unreadable"])
def test_info_draws_nothing_that_was_not_asked_for(
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    on = screen()
    monkeypatch.setattr(terminal, "console", lambda: on)
    given = ["info", SIMULATION.replace("live: false", "live: true")]
    if source == "--json":
        given = ["info", SIMULATION, "--json"]
    if source == "unreadable":
        import cv2

        for n in range(2):
            cv2.imwrite(str(tmp_path / f"a{n}.png"), np.zeros((9, 9), np.uint8))
        whole = (tmp_path / "a0.png").read_bytes()
        (tmp_path / "a0.png").write_bytes(whole[:-30])
        given = ["info", str(tmp_path / "*.png")]
    assert main(given) == 0
    assert not printed(on)
    said = capfd.readouterr().err
    assert ("nothing is drawn: " in said) == (source == "unreadable")
