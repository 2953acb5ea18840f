"""Draw ``dashboard.webp`` anew: the page of the demo, live, in a real browser.

``python docs/screenshot.py`` needs Chromium on the path and the extra ``test``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from streamproc.demo import start_demo

#: Frames after which the picture is taken, so that plots have something to show.
FRAMES = 450
#: Pixels of the window, and quality of the picture: small, with all of its colours.
WINDOW, QUALITY = (1366, 768), 85
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Run the demo, open its page, and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    target = Path(__file__).with_name("dashboard.webp")
    parser.add_argument("target", nargs="?", type=Path, default=target)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--view", default="operator", help="operator, engineer …")
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = start_demo(3 * given.frames, Path(folder) / "demo")
        try:
            shot = Path(folder) / "shot.png"
            _take(run.path, shot, given.frames, given.view, given.theme)
            Image.open(shot).convert("RGB").save(
                given.target, quality=QUALITY, method=6
            )
        finally:
            run.stop()
            run.wait()
    print(f"{given.target}: {given.target.stat().st_size:,} bytes")


def _take(run: Path, target: Path, frames: int, view: str, theme: str) -> None:
    """Save what a browser shows of a run's page once it shows so many frames."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        sys.exit(f"needs one of {', '.join(CHROMIUM)} on the path")
    # a root may not use its sandbox
    flags = ["--no-sandbox"] if getattr(os, "getuid", lambda: 1)() == 0 else []
    command = [sys.executable, "-m", "streamproc", "dashboard", str(run)]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert page.stdout is not None
        address = page.stdout.readline().strip()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=found, args=flags)
            width, height = WINDOW
            window = browser.new_page(viewport={"width": width, "height": height})
            window.add_init_script(
                f"localStorage.streamprocTheme = '{theme}';"
                f"localStorage.streamprocView = '{view}'"
            )
            window.goto(address)
            window.wait_for_function(
                f"streamproc.frame >= {frames} && streamproc.told", timeout=300_000
            )
            window.screenshot(path=target)
            browser.close()
    finally:
        page.kill()
        page.communicate()


if __name__ == "__main__":
    main()
