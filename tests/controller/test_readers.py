"""Which replicas are read, and how much, by their lag."""

import sys
from pathlib import Path

import pytest
from attrs import evolve

from controller.readers import lag_of, may_read, share_of
from statemachine.cluster import Cluster
from statemachine.ids import Instance, Mode, Role, RowStatus
from statemachine.observations import Failure
from statemachine.view import View

sys.path.append(str(Path(__file__).parents[1] / "statemachine"))

from sights import NAME_B, A, B, failing, joined, row, seen, view

CLUSTER = evolve(Cluster(), main=Instance(A), registrations=(joined(),))


def _view(behind: int | None, status: RowStatus = RowStatus.READY) -> View:
    rows = (row(NAME_B, B, Mode.STRICT_SYNC, behind=behind, status=status),)
    return view(seen(A, Role.MAIN, rows), seen(B))


@pytest.mark.parametrize(("behind", "lag"), [(0, 0), (-7, 7), (3, 0), (None, None)])
def test_lag_is_what_the_main_says(behind: int | None, lag: int | None) -> None:
    """Behind is lag as a positive number; ahead is none (another alarm); no number is unknown."""
    assert lag_of(CLUSTER, _view(behind), B) == lag


@pytest.mark.parametrize(
    ("behind", "was_read", "allowed"),
    [(-100, True, True), (-101, True, False), (-51, False, False), (-50, False, True)],
)
def test_the_limit_has_a_way_back(behind: int, was_read: bool, allowed: bool) -> None:
    """A reader is left out above READ_MAX_LAG, and comes back at half of it: routes do not
    flicker."""
    assert may_read(CLUSTER, _view(behind), B, 100, was_read) is allowed


def test_unknown_lag_is_above_every_limit() -> None:
    """A replica that the main answers about without a number is not known to be within it."""
    assert not may_read(CLUSTER, _view(None, RowStatus.INVALID), B, 100, True)
    assert may_read(CLUSTER, _view(None, RowStatus.INVALID), B, None, True)


def test_reads_go_on_without_a_main() -> None:
    """While the main does not answer no lag is known, and nobody is left out for it."""
    gone = failing(seen(A, Role.MAIN, ()), Failure.REFUSED, 1.0)
    assert may_read(CLUSTER, view(gone, seen(B)), B, 0, False)


def test_shares_fall_in_few_steps() -> None:
    """Who lags more gets fewer sessions, never none."""
    shares = [share_of(lag) for lag in (None, 0, 10, 11, 1000, 1001, 10**9)]
    assert shares == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
