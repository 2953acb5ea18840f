"""What `import streamproc` costs."""

import json
import statistics
import subprocess
import sys

import pytest

HEAVY = (
    "bokeh",
    "cupy",
    "cv2",
    "dask",
    "distributed",
    "numba",
    "pandas",
    "pydantic",
    "scipy",
    "skimage",
    "streamz",
    "tornado",
    "typer",
    "yaml",
    "zarr",
)
#: CPU seconds above `import numpy`.
BUDGET = 0.1


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import streamproc",
        "import streamproc as sp; dir(sp)",
        "import streamproc as sp; sp.ConfigError; sp.Frame; sp.SourceInfo",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in json.loads(python(code))}
    assert not loaded & set(HEAVY)


def test_streamz_waits_for_a_stream() -> None:
    code = (
        "import sys, streamproc as sp\n"
        "source = {'simulation': {'frames': 1, 'shape': [32, 32], 'live': False}}\n"
        "raw = sp.open(source)\n"
        "table = raw.gaussian(sigma=1).threshold().label().measure(raw)\n"
        "print(sorted({'streamz', 'dask', 'zarr', 'bokeh'} & set(sys.modules)))\n"
        "table.stream\n"
        "print('streamz' in sys.modules)\n"
    )
    assert python(code).split("\n")[:2] == ["[]", "True"]


def cpu(statement: str) -> float:
    """Median CPU seconds of a fresh interpreter's statement."""
    code = (
        "import time; start = time.process_time()\n"
        f"{statement}\n"
        "print(time.process_time() - start)"
    )
    python(code)  # compiled files and disk cache
    return statistics.median(float(python(code)) for _ in range(7))


def test_importing_costs_what_numpy_costs() -> None:
    everything = "import streamproc as sp; sp.Frame; sp.ConfigError"
    above = cpu(everything) - cpu("import numpy")
    assert above <= BUDGET
