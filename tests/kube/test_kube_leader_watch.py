"""What the watch on the leader Lease is for, in virtual time: it spares questions, hastens what is
true, and decides nothing."""

import pytest
import trio
from fake_api import FakeApi, Trouble
from kube_rooms import NAMES, OTHER_NAMES, TIMES
from test_kube_leadership import DEFAULTS, LEASE, Court, candidate, start
from trio.testing import MockClock

from controller.kube.leader_lease import Record


@pytest.fixture
def api(nursery: trio.Nursery) -> FakeApi:
    return FakeApi(nursery)


async def test_candidate_asks_nothing_while_the_leader_renews(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Ten quiet minutes cost a candidate one look at the beginning, and the lists of its watch."""
    court = Court()
    await start(nursery, candidate(api.client("a")), court.reign)
    await court.wait_present(NAMES.pod_name)
    await start(nursery, candidate(api.client("b"), OTHER_NAMES), court.reign)
    await trio.sleep(600)
    asked = [what for _, client, what in api.calls if client == "b"]
    assert asked.count("get leases/mg-leader") == 1
    assert len(asked) <= 1 + 2 * (1 + 600 / TIMES.relist_min_s)
    assert len(court.reigns) == 1


async def test_candidate_takes_over_the_moment_the_time_is_over(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A leader that died is followed its Lease's duration after its last renewal, not sooner, and
    not a pause later."""
    court = Court()
    await start(nursery, candidate(api.client("a"), times=DEFAULTS), court.reign)
    await court.wait_present(NAMES.pod_name)
    await start(nursery, candidate(api.client("b"), OTHER_NAMES, DEFAULTS), court.reign)
    await trio.sleep(10.5)
    last_s = api.asked("update leases/mg-leader")[-1]
    api.fault = lambda client, _: Trouble.SILENT if client == "a" else None
    since_s = await court.wait_present(OTHER_NAMES.pod_name)
    assert DEFAULTS.lease_duration_s <= since_s - last_s
    assert since_s - last_s <= DEFAULTS.lease_duration_s + 10 * api.latency_s


@pytest.mark.parametrize("is_forbidden", [False, True])
async def test_a_watch_that_tells_nothing_costs_time_alone(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock, is_forbidden: bool
) -> None:
    """While the watch is blind, or not allowed, a candidate looks itself: the leader's time is
    never cut short, and the Lease is taken one look later at most."""
    court, api.forbids_watch = Court(), is_forbidden
    await start(nursery, candidate(api.client("a")), court.reign)
    await court.wait_present(NAMES.pod_name)
    await start(nursery, candidate(api.client("b"), OTHER_NAMES), court.reign)
    await trio.sleep(5)
    for watch in api.open_watches:
        watch.is_blind = True
    await trio.sleep(20)
    assert len(court.reigns) == 1
    last_s = api.asked("update leases/mg-leader")[-1]
    api.fault = lambda client, _: Trouble.SILENT if client == "a" else None
    since_s = await court.wait_present(OTHER_NAMES.pod_name)
    assert TIMES.lease_duration_s <= since_s - last_s
    assert since_s - last_s <= TIMES.lease_duration_s + 1.2 * TIMES.retry_s + 0.1


async def test_a_leader_hears_of_a_deleted_lease_before_another_leads(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A hand that deletes the Lease makes no two lead at once (Court.reign), for the watch that
    wakes the candidate tells the leader as well, and it needs one request, the candidate two."""
    court = Court()
    await start(nursery, candidate(api.client("a")), court.reign)
    await court.wait_present(NAMES.pod_name)
    await start(nursery, candidate(api.client("b"), OTHER_NAMES), court.reign)
    await trio.sleep(5.3)
    api.remove(LEASE)
    deleted_s = trio.current_time()
    await court.wait_present(OTHER_NAMES.pod_name)
    assert court.reigns[0][2] == pytest.approx(deleted_s + api.latency_s, rel=0, abs=1e-3)


async def test_an_old_record_told_late_ends_no_reign(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What the watch tells of an earlier holder costs one renewal."""
    court, leadership = Court(), candidate(api.client())
    await start(nursery, leadership, court.reign)
    await court.wait_present(NAMES.pod_name)
    await trio.sleep(5.3)
    before = len(api.asked("update leases/mg-leader"))
    await leadership._hear(Record(version="1", holder="an earlier one"))
    await trio.sleep(0.1)
    assert len(api.asked("update leases/mg-leader")) == before + 1
    await trio.sleep(30)
    assert len(court.reigns) == 1
