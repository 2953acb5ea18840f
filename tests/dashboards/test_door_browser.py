"""The door, the list of runs and the viewer's page, in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .asking import tokens_in
from .conftest import Begin, serving
from .test_browser import browser  # noqa: F401  # a fixture

pytestmark = pytest.mark.slow

#: Whether Bokeh has its plots: it throws where its first connection ends too soon.
PLOTS = "window.Bokeh?.documents.some((document) => document.roots().length)"

SIZES = [(1366, 768), (1920, 1080), (1024, 768)]


@pytest.fixture(scope="module")
def server(live_run: Path, begin: Begin) -> str:
    """All runs of a folder behind tokens: one, which goes on."""
    file = live_run.parent / "tokens"
    return serving(begin("dashboard", str(live_run.parent), "--token-file", str(file)))


@pytest.fixture(scope="module")
def tokens(server: str, live_run: Path) -> dict[str, str]:
    return tokens_in(live_run.parent / "tokens")


@pytest.fixture
def window(browser: Any) -> Iterator[Any]:  # noqa: F811
    """A window with cookies of its own; scripts may not fail in it."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    made = context.new_page()
    made.set_default_timeout(60_000)
    complaints: list[str] = []
    made.on("pageerror", lambda error: complaints.append(str(error)))
    yield made
    context.close()
    assert not complaints


def sign_in(window: Any, server: str, token: str) -> None:
    window.goto(server)
    window.get_by_label("Token").fill(token)
    window.keyboard.press("Enter")
    window.wait_for_function("window.streamprocRuns && streamprocRuns.told > 0")


def look(window: Any) -> None:
    window.get_by_role("link", name="RUN").click()
    window.wait_for_function("window.streamproc?.drawn > 0 && streamproc.told")


def test_a_token_opens_the_page_and_a_wrong_one_does_not(
    window: Any, server: str, tokens: dict[str, str]
) -> None:
    window.goto(server + "run/RUN/")
    assert window.get_by_role("heading").inner_text() == "Token needed"
    window.get_by_label("Token").fill("x" * 30)
    window.get_by_role("button", name="Open").click()
    window.wait_for_selector("h1:text('Wrong token')")
    window.get_by_label("Token").fill(tokens["operator"])
    window.get_by_role("button", name="Open").click()
    # where it was meant to go
    window.wait_for_function("window.streamproc?.drawn > 0 && streamproc.told")
    assert window.url == server + "run/RUN/"
    assert window.get_by_role("button", name="Pause").is_enabled()
    assert not window.locator(".watching").is_visible()
    assert window.evaluate("document.cookie") == ""  # no script reads it
    window.goto(server + "login")
    window.get_by_role("button", name="Sign out").click()
    window.wait_for_selector("h1:text('Token needed')")
    window.goto(server)
    assert window.get_by_role("heading").inner_text() == "Token needed"


def test_a_viewer_watches(window: Any, server: str, tokens: dict[str, str]) -> None:
    window.goto(f"{server}run/RUN/?token={tokens['viewer']}")
    window.wait_for_function("window.streamproc?.drawn > 0 && streamproc.told")
    assert window.url == server + "run/RUN/"  # the token is not in it any more
    for name in ("#pause", "#drain", "#stop", "#mark", "[data-name='smooth.sigma']"):
        assert window.locator(name).is_disabled(), name
    note = "You are watching; controls need the operator’s token"
    assert " ".join(window.locator(".watching").inner_text().split()) == note
    # neither keys nor what is written by hand get past the server
    window.keyboard.press("Space")
    window.evaluate("document.getElementById('pause').disabled = false")
    window.evaluate("document.getElementById('pause').onclick()")
    window.wait_for_selector("#said:visible")
    said = "you are watching: pause needs the operator's token"
    assert window.locator("#said").inner_text() == said
    assert window.evaluate("streamproc.told.state") == "running"
    # the pictures go on, and the way to the controls is there
    frame = window.evaluate("streamproc.frame")
    window.wait_for_function(f"streamproc.frame > {frame}")
    window.get_by_role("link", name="the operator’s token").click()
    window.wait_for_selector("h1:text('You are signed in as viewer')")
    window.get_by_label("Token").fill(tokens["operator"])
    window.keyboard.press("Enter")
    window.wait_for_function("window.streamproc?.drawn > 0 && streamproc.told")
    assert window.locator("#pause").is_enabled()


def test_a_link_from_elsewhere_leads_in(
    window: Any, server: str, tokens: dict[str, str]
) -> None:
    sign_in(window, server, tokens["viewer"])
    window.goto("data:text/html,<a href='" + server + "run/RUN/'>the run</a>")
    window.get_by_role("link").click()
    window.wait_for_function("window.streamproc?.drawn > 0")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_the_header_has_room(
    window: Any, server: str, tokens: dict[str, str], role: str, size: tuple[int, int]
) -> None:
    window.set_viewport_size({"width": size[0], "height": size[1]})
    sign_in(window, server, tokens[role])
    assert window.evaluate("document.documentElement.scrollWidth") <= size[0]
    look(window)
    boxes = window.evaluate(
        """[...document.querySelectorAll("header > *, nav > *")].map((part) => {
          const box = part.getBoundingClientRect();
          return [part.tagName, box.left, box.top, box.right, box.bottom];
        }).filter((box) => box[3] > box[1] && box[0] !== "NAV")"""
    )
    for i, (name, left, top, right, bottom) in enumerate(boxes):
        assert left >= 0, name
        assert right <= size[0], name
        assert top >= 0, name
        assert bottom <= 56, name
        for other in boxes[i + 1 :]:
            assert right <= other[1] or other[3] <= left, (name, other)


def test_the_list_is_live_and_leads_to_its_runs(
    window: Any, server: str, tokens: dict[str, str]
) -> None:
    sign_in(window, server, tokens["viewer"])
    (line,) = window.locator("#runs tr").all()
    assert line.locator(".state").inner_text() == "Running"
    done = int(line.locator("td").nth(1).inner_text().replace(",", ""))
    window.wait_for_function(
        f"+document.querySelector('#runs td.n').textContent.replace(',', '') > {done}"
    )
    window.keyboard.press("/")
    window.keyboard.type("nothing")
    window.wait_for_selector("#none:visible")
    window.keyboard.press("Escape")
    window.wait_for_selector("#runs tr")
    window.keyboard.press("t")
    window.wait_for_selector("html[data-theme=light]")
    look(window)
    assert window.url == server + "run/RUN/"
    window.get_by_role("link", name="All runs").click()
    window.wait_for_selector("#runs tr")
    assert window.url == server


def test_a_session_that_ended_is_asked_for_again(
    window: Any, live_run: Path, begin: Begin, tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    options = ("dashboard", str(live_run), "--token-file", str(file))
    process = begin(*options)
    page = serving(process)
    window.goto(f"{page}?token={tokens_in(file)['viewer']}")
    window.wait_for_function(f"window.streamproc?.drawn > 0 && {PLOTS}")
    window.evaluate("window.before = true")
    process.kill()
    process.wait()
    window.wait_for_selector("#state.lost")
    # the same tokens: the page is met anew, with plots that live, and nobody is asked
    port = page.rstrip("/").rpartition(":")[2]
    process = begin(*options, "--port", port)
    assert serving(process) == page
    window.wait_for_function(
        f"!window.before && window.streamproc?.drawn > 0 && {PLOTS}"
    )
    process.kill()
    process.wait()
    window.wait_for_selector("#state.lost")
    file.unlink()
    assert serving(begin(*options, "--port", port)) == page
    window.wait_for_selector("h1:text('Token needed')")
