"""Colours that everyone can read: WCAG 2.1 AA, in dark and in light."""

import re
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab
from streamproc.dashboards.plots import PLOTS

from tests.conftest import REPOSITORY

CSS = (REPOSITORY / "dashboards" / "assets" / "style.css").read_text(encoding="utf-8")
THEMES = {"dark": ":root {", "light": ':root[data-theme="light"] {'}
#: What each token colours, and what may lie behind it.
TEXT = {
    "ink": ("ground", "panel", "line"),
    "quiet": ("ground", "panel"),
    "good": ("ground", "panel"),
    "warn": ("ground", "panel"),
    "bad": ("ground", "panel"),
    "on-bad": ("bad",),
    "ground": ("ink",),
}
#: Tokens of surfaces and of what is no text: bars, borders, marks of focus.
SURFACES = {"ground", "panel", "line"}
SHAPES = {"accent": ("ground", "panel")}
#: Machado, Oliveira and Fernandes (2009), severity 1, of linear light.
EYES = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}

Colour = NDArray[np.float64]


def parsed(text: str) -> Colour:
    """Return a colour, ``#rgb`` or ``#rrggbb``, as three parts of 0 to 1."""
    digits = text.lstrip("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    return np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])


def linear(colour: Colour) -> Colour:
    """Return the light that a colour of sRGB is."""
    low = colour / 12.92
    return np.where(colour <= 0.04045, low, ((colour + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2.1."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    light = sorted(float(linear(parsed(c)) @ weights) + 0.05 for c in (one, other))
    return light[1] / light[0]


def tokens(theme: str) -> Mapping[str, str]:
    """Return the colours of a theme; what light does not say anew is dark's."""
    found: dict[str, str] = {}
    for head in (THEMES["dark"], THEMES[theme]):
        body = CSS[CSS.index(head) :].partition("}")[0]
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", body))
    return found


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", THEMES)
def test_every_colour_has_its_place_here(theme: str) -> None:
    assert set(tokens(theme)) == SURFACES | TEXT.keys() | SHAPES.keys()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    ("text", "behind"), [(t, b) for t, places in TEXT.items() for b in places]
)
def test_text_is_readable(theme: str, text: str, behind: str) -> None:
    known = tokens(theme)
    assert contrast(known[text], known[behind]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("behind", SHAPES["accent"])
def test_shapes_are_seen(theme: str, behind: str) -> None:
    known = tokens(theme)
    assert contrast(known["accent"], known[behind]) >= 3


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PLOTS)
def test_lines_are_seen(theme: str, name: str) -> None:
    # thick ones; orange that is darker would be vermilion for one eye in twenty
    for _, colour in PLOTS[name]:
        assert contrast(colour, tokens(theme)["panel"]) >= 2.2, colour


def test_legends_have_the_colours_of_their_lines() -> None:
    drawn = {colour.lower() for lines in PLOTS.values() for _, colour in lines}
    legends = dict(re.findall(r"\.(\w+)::before \{ background: (#[0-9a-f]{6});", CSS))
    assert len(legends) >= 4
    assert set(legends.values()) <= drawn


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("name", [n for n, lines in PLOTS.items() if len(lines) > 1])
def test_lines_of_a_plot_differ_for_every_kind_of_eye(eye: str, name: str) -> None:
    matrix = np.array(EYES[eye])
    for one, other in combinations([colour for _, colour in PLOTS[name]], 2):
        seen = []
        for colour in (one, other):
            light = np.clip(matrix @ linear(parsed(colour)), 0, 1)
            low, high = 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
            seen.append(rgb2lab(np.where(light <= 0.0031308, low, high)))
        # 2.3 is a difference that is just seen, side by side
        apart = deltaE_ciede2000(*seen)  # type: ignore[no-untyped-call]
        assert apart > 10, (one, other)
