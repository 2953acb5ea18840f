"""Run the tests in a real browser again and again.

``python -m tests.dashboards.passes --count 20``: each pass is a process of its own,
with runs, pages and windows of its own; the first that fails ends it.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

FILE = Path(__file__).with_name("test_browser.py")


def main() -> int:
    """Return 0 where all have passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("-k", default="", help="only these tests, as pytest takes it")
    given = parser.parse_args()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    for number in range(1, given.count + 1):
        begin = time.monotonic()
        done = subprocess.run(
            [*command, str(FILE), "-k", given.k], capture_output=True, text=True
        )
        summary = (done.stdout.strip().splitlines() or [done.stderr])[-1]
        took = time.monotonic() - begin
        print(f"{number} of {given.count}: {summary} ({took:.0f} s)", flush=True)
        if done.returncode:
            print(done.stdout + done.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
