"""Leadership in virtual time: a reign ends before another begins, whatever the API does."""

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from attrs import define, field
from fake_api import FakeApi, Trouble
from kube_rooms import LEASES, NAMES, OTHER_NAMES, TIMES, Server, client_of, wait_until
from trio.testing import MockClock

from controller.kube import KubeNames, KubeTimes, LeaseLeadership, Transport
from controller.sandbox.apiserver import Mode

LEASE = f"{LEASES}/mg-leader"
DEFAULTS = KubeTimes(lease_duration_s=5.0, renew_deadline_s=3.5, retry_s=1.0)  # of the settings


@define(eq=False)
class Court:
    """Who reigned from when to when; its own book."""

    reigns: list[tuple[str, float, float | None]] = field(factory=list)
    crowned: trio.Event = field(factory=trio.Event)

    async def reign(self, identity: str) -> None:
        """A leader that only notes that it leads."""
        for who, _, until_s in self.reigns:
            assert until_s is not None, f"{identity} began while {who} reigned"
        here = len(self.reigns)
        self.reigns.append((identity, trio.current_time(), None))
        self.crowned.set()
        self.crowned = trio.Event()
        try:
            await trio.sleep_forever()
        finally:
            self.reigns[here] = (identity, self.reigns[here][1], trio.current_time())

    @property
    def present(self) -> str:
        """The pod that reigns now."""
        return next((who.split("/")[0] for who, _, until in self.reigns if until is None), "")

    async def wait_present(self, pod: str) -> float:
        """Block until this pod reigns; return since when."""
        while self.present != pod:
            await self.crowned.wait()
        return self.reigns[-1][1]


def candidate(
    transport: Transport, names: KubeNames = NAMES, times: KubeTimes = TIMES
) -> LeaseLeadership:
    return LeaseLeadership(transport, names, times, jitter=lambda: 0.5)


@pytest.fixture
def api(nursery: trio.Nursery) -> FakeApi:
    return FakeApi(nursery)


Reign = Callable[[str], Awaitable[None]]


async def start(
    nursery: trio.Nursery, leadership: LeaseLeadership, reign: Reign
) -> trio.CancelScope:
    """Contend in the background; cancelling the scope is the pod's orderly end."""
    scope = trio.CancelScope()

    async def run() -> None:
        with scope:
            await leadership.contend(reign)

    nursery.start_soon(run)
    return scope


async def test_first_candidate_leads_at_once_and_stays(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """With nobody there a candidate leads at once, and a quiet minute changes nothing."""
    court = Court()
    await start(nursery, candidate(api.client()), court.reign)
    with trio.fail_after(0.1):
        await court.wait_present(NAMES.pod_name)
    await trio.sleep(60)
    assert len(court.reigns) == 1
    assert court.reigns[0][0].startswith("mg-controller-0/uid-0/")
    assert api.objects[LEASE]["spec"]["holderIdentity"] == court.reigns[0][0]
    assert 55 <= len(api.asked("update leases/mg-leader")) <= 60


async def test_release_lets_the_next_lead_at_once(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """An orderly end hands over at once: the watch tells of it, and nobody waits for a retry."""
    court = Court()
    first = await start(nursery, candidate(api.client("a")), court.reign)
    await court.wait_present(NAMES.pod_name)
    await start(nursery, candidate(api.client("b"), OTHER_NAMES), court.reign)
    await trio.sleep(5)
    released_at_s = trio.current_time()
    first.cancel()
    since_s = await court.wait_present(OTHER_NAMES.pod_name)
    assert since_s - released_at_s <= 10 * api.latency_s
    assert api.objects[LEASE]["spec"]["leaseTransitions"] == 1


async def test_release_during_a_renewal_still_hands_over(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A renewal carried out just before the end moved the version; the release finds out."""
    court = Court()
    api.latency_s = 0.2
    first = await start(nursery, candidate(api.client("a")), court.reign)
    await court.wait_present(NAMES.pod_name)
    (taken_s,) = api.asked("create leases")
    await trio.sleep_until(taken_s + 2 * api.latency_s + TIMES.retry_s + 1.5 * api.latency_s)
    assert len(api.asked("update leases/mg-leader")) == 1  # carried out, its answer on the way
    first.cancel()
    await trio.sleep(1)
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_frozen_api_ends_the_reign_before_anybody_may_follow(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The leader cut off from the API server stops renew_deadline after its last renewal was sent;
    the candidate that still reaches it waits the whole duration, and is later."""
    court = Court()
    await start(nursery, candidate(api.client("a")), court.reign)
    await court.wait_present(NAMES.pod_name)
    await start(nursery, candidate(api.client("b"), OTHER_NAMES), court.reign)
    await trio.sleep(10.5)
    last_s = api.asked("update leases/mg-leader")[-1]
    api.fault = lambda client, _: Trouble.SILENT if client == "a" else None
    since_s = await court.wait_present(OTHER_NAMES.pod_name)
    _, _, ended_s = court.reigns[0]
    assert ended_s == pytest.approx(last_s + TIMES.renew_deadline_s, rel=0, abs=1e-3)
    assert since_s >= last_s + TIMES.lease_duration_s
    assert since_s <= last_s + TIMES.lease_duration_s + 2 * 1.2 * TIMES.retry_s


async def test_stolen_lease_ends_the_reign_at_once(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The first refused renewal ends it; the thief's release is not ours to make."""
    court = Court()
    await start(nursery, candidate(api.client()), court.reign)
    await court.wait_present(NAMES.pod_name)
    stolen = evolve_lease(api, holderIdentity="thief", renewTime="now")
    await trio.sleep(TIMES.retry_s + 0.1)
    assert court.present == ""
    assert api.objects[LEASE]["metadata"]["resourceVersion"] == stolen


def evolve_lease(api: FakeApi, **spec: object) -> str:
    """Edit the Lease as somebody else; return its new version."""
    lease = dict(api.objects[LEASE])
    lease["spec"] = {**lease["spec"], **spec}
    return str(api.put(LEASES, lease)["metadata"]["resourceVersion"])


async def test_deleted_lease_ends_the_reign_and_is_made_again(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Without a Lease nobody leads; then it is created by whoever is first."""
    court = Court()
    await start(nursery, candidate(api.client()), court.reign)
    await court.wait_present(NAMES.pod_name)
    await trio.sleep(3.5)
    api.remove(LEASE)
    await trio.sleep(4)
    assert len(court.reigns) == 2
    assert court.reigns[0][0] != court.reigns[1][0]
    assert api.objects[LEASE]["spec"]["holderIdentity"] == court.reigns[1][0]


@pytest.mark.parametrize("trouble", [Trouble.REFUSED, Trouble.SILENT, Trouble.LATE])
async def test_leads_again_after_a_long_outage(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock, trouble: Trouble
) -> None:
    """Scenario 95: 20 s without API server end the reign, not the process; when it is back a new
    reign begins within seconds, under a new identity."""
    court = Court()
    await start(nursery, candidate(api.client()), court.reign)
    await court.wait_present(NAMES.pod_name)
    await trio.sleep(5)
    api.fault = lambda *_: trouble
    await trio.sleep(20)
    assert court.present == ""
    api.fault = lambda *_: None
    with trio.fail_after(3 * TIMES.retry_s):
        await court.wait_present(NAMES.pod_name)
    assert len({who for who, _, _ in court.reigns}) == 2


async def test_short_outage_is_ridden_out(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """One lost and one refused renewal do not end a reign."""
    court = Court()
    await start(nursery, candidate(api.client()), court.reign)
    await court.wait_present(NAMES.pod_name)
    troubles = [Trouble.UNANSWERED, Trouble.REFUSED]
    api.fault = lambda _, method: troubles.pop() if troubles and method == "PUT" else None
    await trio.sleep(20)
    assert not troubles
    assert len(court.reigns) == 1


@pytest.mark.parametrize("trouble", [Trouble.SILENT, Trouble.DROPPED, Trouble.REFUSED])
async def test_one_renewal_that_hangs_does_not_end_a_reign(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock, trouble: Trouble
) -> None:
    """A request that the network has swallowed is given up in time for another one: a failed
    renewal is tried again sooner than the next one would come."""
    court = Court()
    await start(nursery, candidate(api.client(), times=DEFAULTS), court.reign)
    await court.wait_present(NAMES.pod_name)
    troubles = [trouble]
    api.fault = lambda _, method: troubles.pop() if troubles and method == "PUT" else None
    await trio.sleep(20)
    assert not troubles
    assert len(court.reigns) == 1


async def test_renewal_of_unknown_outcome_is_not_taken_for_a_theft(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A renewal that went through without an answer moved the version: look, then go on."""
    court = Court()
    await start(nursery, candidate(api.client()), court.reign)
    await court.wait_present(NAMES.pod_name)
    lost = [Trouble.UNANSWERED]
    api.fault = lambda _, method: lost.pop() if lost and method == "PUT" else None
    await trio.sleep(10)
    assert len(court.reigns) == 1


async def test_taking_with_a_lost_answer_is_ours(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The first write went through unanswered: we do not wait our own Lease out."""
    court = Court()
    lost = [Trouble.UNANSWERED]
    api.fault = lambda _, method: lost.pop() if lost and method == "POST" else None
    await start(nursery, candidate(api.client()), court.reign)
    with trio.fail_after(2 * TIMES.retry_s):
        await court.wait_present(NAMES.pod_name)


async def test_former_self_is_waited_out(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A new process of the same pod does not take its predecessor's Lease for its own."""
    before, after = Court(), Court()
    await start(nursery, candidate(api.client("before")), before.reign)
    await before.wait_present(NAMES.pod_name)
    api.fault = lambda client, _: Trouble.SILENT if client == "before" else None
    begun_s = trio.current_time()
    await start(nursery, candidate(api.client("after")), after.reign)
    since_s = await after.wait_present(NAMES.pod_name)
    assert since_s - begun_s >= TIMES.lease_duration_s


async def test_times_in_the_lease_mean_nothing(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A holder whose clock is years behind is waited for like any other."""
    old = {
        "metadata": {"name": "mg-leader"},
        "spec": {"holderIdentity": "x", "renewTime": "1999-01-01T00:00:00.000000Z"},
    }
    api.put(LEASES, old)
    court = Court()
    begun_s = trio.current_time()
    await start(nursery, candidate(api.client()), court.reign)
    since_s = await court.wait_present(NAMES.pod_name)
    assert since_s - begun_s >= TIMES.lease_duration_s


async def test_longer_lease_of_the_holder_is_respected(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """While settings are rolled out, the holder may count on the duration that it wrote; a label
    that somebody edits meanwhile prolongs nothing."""
    spec = {"holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": "t"}
    api.put(LEASES, {"metadata": {"name": "mg-leader"}, "spec": spec})
    court = Court()
    await start(nursery, candidate(api.client()), court.reign)
    begun_s = trio.current_time()
    await trio.sleep(8)
    evolve_lease(api)
    since_s = await court.wait_present(NAMES.pod_name) - begun_s
    assert 15 <= since_s <= 15 + 2 * 1.2 * TIMES.retry_s


async def test_error_of_the_reign_travels_after_the_release(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A bug ends the process, but the Lease is free before it does."""

    async def broken(identity: str) -> None:
        await trio.sleep(2.5)
        raise ZeroDivisionError(identity)

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        await candidate(api.client()).contend(broken)
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_refusals_are_told_once(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A missing permission is said, names the resource, and is taken back when it is granted."""
    said: list[str] = []
    leadership = LeaseLeadership(api.client(), NAMES, TIMES, on_trouble=said.append)
    api.refuse = [(403, None)] * 3
    await start(nursery, leadership, Court().reign)
    await trio.sleep(10)
    assert len(said) == 2
    assert "get leases/mg-leader" in said[0]
    assert said[1] == ""


@pytest.mark.parametrize(
    ("duration_s", "deadline_s", "retry_s"), [(4, 4, 1), (6, 1.2, 1), (6, 4, 0)]
)
def test_unsafe_times_are_refused(duration_s: float, deadline_s: float, retry_s: float) -> None:
    """Duration > deadline > retry * 1.2 > 0, or there is no KubeTimes."""
    with pytest.raises(ValueError, match="must hold"):
        KubeTimes(lease_duration_s=duration_s, renew_deadline_s=deadline_s, retry_s=retry_s)


TROUBLES = [None] * 6 + list(Trouble)


@pytest.mark.parametrize("seed", range(40))
async def test_two_never_reign_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock, seed: int
) -> None:
    """Over seven virtual minutes of a faulty API server, with pods that end and start again, no
    reign begins while another lasts (Court.reign); and once all is well somebody leads."""
    dice = random.Random(seed)
    api = FakeApi(nursery, latency_s=dice.choice([0.002, 0.05, 0.4]), late_s=dice.uniform(0.5, 9))
    court, spells = Court(), {"a": False, "b": False}
    api.fault = lambda client, _: dice.choice(TROUBLES) if spells[client] else None
    who = [("a", NAMES), ("b", OTHER_NAMES)]
    scopes = [await start(nursery, candidate(api.client(c), n), court.reign) for c, n in who]
    for _ in range(40):
        await trio.sleep(dice.uniform(0, 20))
        spells = {client: dice.random() < 0.4 for client in spells}
        if dice.random() < 0.2:
            here = dice.randrange(2)
            scopes[here].cancel()
            client, names = who[here]
            await trio.sleep(TIMES.retry_s + 0.5)
            scopes[here] = await start(nursery, candidate(api.client(client), names), court.reign)
        if dice.random() < 0.1 and LEASE in api.objects:
            evolve_lease(api, edited=str(dice.random()))
    spells = {"a": False, "b": False}
    await trio.sleep(2 * TIMES.lease_duration_s + api.late_s)
    assert court.present, f"seed {seed}: nobody leads"
    assert len(court.reigns) > 3


async def test_paused_leader_stops_when_it_wakes(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    """A process that was stopped for longer than the deadline ends its reign when it wakes, though
    the answer to its renewal has come meanwhile; at most the step that was already due still runs
    (which is why the reign is checked again right before each command, S9)."""
    api = FakeApi(nursery, latency_s=0.3)
    steps: list[float] = []

    async def reign(identity: str) -> None:
        while True:
            steps.append(trio.current_time())
            await trio.sleep(0.1)

    scope = await start(nursery, candidate(api.client()), reign)
    while not api.asked("update leases/mg-leader"):
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(0.1)
    await trio.testing.wait_all_tasks_blocked()
    stopped_s = trio.current_time()
    mock_clock.jump(30)
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()
    mock_clock.autojump_threshold = 0
    await trio.sleep(10)
    assert [at_s for at_s in steps if at_s < stopped_s]
    assert len([at_s for at_s in steps if at_s >= stopped_s + 30]) <= 1


async def test_two_pods_on_real_sockets(server: Server) -> None:
    """On the stand-in: one leads, hands over at its end within a retry, and the other one reigns
    under an identity of its own; the API server's rules for Leases are kept."""
    fast = KubeTimes(lease_duration_s=3, renew_deadline_s=2, retry_s=0.2)
    court = Court()
    async with client_of(server, "token-a") as a, client_of(server, "token-b") as b:
        async with trio.open_nursery() as inner:
            first = await start(inner, LeaseLeadership(a, NAMES, fast), court.reign)
            await court.wait_present(NAMES.pod_name)
            await start(inner, LeaseLeadership(b, OTHER_NAMES, fast), court.reign)
            await wait_until(lambda: server.store.revision > 4)  # renewed a few times
            first.cancel()
            with trio.fail_after(1):
                await court.wait_present(OTHER_NAMES.pod_name)
            server.faults.set_mode(Mode.PARTITIONED, "ctl-1")
            await wait_until(lambda: not court.present)
            inner.cancel_scope.cancel()
        server.faults.set_mode(Mode.OPEN, "ctl-1")
    (_, began_s, ended_s) = court.reigns[1]
    assert ended_s is not None
    assert ended_s - began_s <= fast.renew_deadline_s + 0.5


async def test_a_slow_server_does_not_end_a_reign(
    api: FakeApi, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Answers that take longer than the pause between two renewals, but less than half of the
    deadline, cost nobody the Lease."""
    court, other = Court(), candidate(api.client("b"), OTHER_NAMES, DEFAULTS)
    api.latency_s = DEFAULTS.renew_deadline_s / 5  # before and after each request
    assert 2 * api.latency_s > DEFAULTS.retry_s
    with trio.fail_after(120):
        await start(nursery, candidate(api.client("a"), times=DEFAULTS), court.reign)
        await court.wait_present(NAMES.pod_name)
        await start(nursery, other, court.reign)
        await trio.sleep(60)
    assert len(court.reigns) == 1
