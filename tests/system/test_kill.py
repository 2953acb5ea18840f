"""kill -9 at random moments, resume: as if nothing had happened."""

import random
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.system.kills import Case, broken, moments, start_or_resume, unbroken

#: Twenty kills, every executor, codec and layout; the sweep draws any other mixture.
CASES = {
    Case("inline", images="zstd", window=7, every=3): 2,
    Case("inline", live=True, durability="process", emulated=True): 2,
    Case("threads", layout="files", window=20, every=64): 3,
    Case("threads", images="blosc-lz4", emulated=True): 2,
    Case("threads", live=True, images="blosc-lz4", keep_raw=False): 3,
    Case("threads", live=True, images="zstd", layout="files"): 2,
    Case("dask", images="blosc-lz4"): 3,
    Case("dask", live=True): 3,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where unbroken runs lie: several cases compare with the same."""
    return tmp_path_factory.mktemp("unbroken")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_and_resumed_equals_unbroken(
    tmp_path: Path, cache: Path, case: Case
) -> None:
    seed = random.randrange(2**32)
    plan = moments(random.Random(seed), case.executor, CASES[case])
    print(f"seed {seed}: {plan}")
    assert broken(case, plan, unbroken(case, cache), tmp_path)


def test_a_run_that_differs_is_told(tmp_path: Path, cache: Path) -> None:
    other = unbroken(Case("inline", window=7, every=3), cache)
    with pytest.raises(AssertionError, match="flat/0 differs in frames 0 to"):
        broken(Case("inline"), [], other, tmp_path)


def test_torn_index_is_repaired_at_the_next_start(tmp_path: Path) -> None:
    pipeline = Case("threads", live=True).write(tmp_path / "pipeline.yaml")
    run = tmp_path / "run"
    start_or_resume(pipeline, run).finish()
    store = run / "images.ome.zarr"
    whole = {}
    for name in ("source/0", "flat/0", "source/labels/nuclei/0"):
        whole[name] = np.asarray(zarr.open_array(store / name, mode="r")[:])
        shard = sorted(store.joinpath(name).glob("c.*"))[-1]
        content = bytearray(shard.read_bytes())
        content[-2048:] = bytes(2048)
        shard.write_bytes(content)
    start_or_resume(pipeline, run).finish()
    for name, pixels in whole.items():
        again = np.asarray(zarr.open_array(store / name, mode="r")[:])
        assert np.array_equal(again, pixels), name
