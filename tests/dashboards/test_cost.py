"""What viewers cost: short forms of ``python tests/benchmarks viewers stalled``."""

from pathlib import Path

import pytest

from tests.benchmarks.dashboard import STALLED, running, served, watch

pytestmark = pytest.mark.slow

#: Seconds that are watched; in them a page that pushed all to all would keep 60 MB.
SECONDS = 5.0


def test_who_never_reads_costs_no_memory_and_holds_up_nobody(tmp_path: Path) -> None:
    with (
        running(tmp_path, side=512, fps=15.0, frames=3000) as run,
        served(run) as (page, process),
    ):
        cost = watch(page, process, SECONDS, viewers=1, stalled=STALLED)
        assert cost.growth < 8 << 20
        assert cost.pictures[0] > 1


def test_four_viewers_cost_little_more_than_one(tmp_path: Path) -> None:
    with running(tmp_path, side=512, fps=15.0, frames=3000) as run:
        found = []
        for viewers in (1, 4):
            with served(run) as (page, process):
                cost = watch(page, process, SECONDS, viewers=viewers, stalled=0)
            assert min(cost.pictures) > 1
            # of each picture: one may come slower than the other
            found.append(cost.cpu / max(cost.pictures))
    one, four = found
    assert four < 2 * one
