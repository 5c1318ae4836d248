"""Whole controller pods on fakes, in virtual time: loop, executor, prober, gatekeeper."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio
from attrs import evolve
from fake_world import FakeGateways, World, make_pod

from controller.archivist import Retention
from controller.gateways import Kind
from controller.pod import ControllerPod
from statemachine.archive import LIMITS
from statemachine.codec import decode, key_of
from statemachine.ids import Durability, Instance, Mode, Phase, Role
from statemachine.ledger import fold
from statemachine.view import Policy

POLICY = Policy(eligible=(Instance("memgraph-0"), Instance("memgraph-1")))
LIMIT_S = 60.0


class Scene:
    """Pods on one world, and the questions that tests ask."""

    def __init__(self, nursery: trio.Nursery, policy: Policy = POLICY) -> None:
        self.world = World()
        self.world.add(3)
        self.nursery, self.policy = nursery, policy
        self.limits, self.retention = LIMITS, Retention()
        self.pods: dict[str, ControllerPod] = {}
        self.gateways: dict[str, FakeGateways] = {}
        self.scopes: dict[str, trio.CancelScope] = {}

    async def start(self, name: str) -> None:
        """Start a controller pod; the first one leads."""
        self.pods[name], self.gateways[name] = make_pod(
            self.world, name, self.policy, self.limits, self.retention
        )
        self.scopes[name] = trio.CancelScope()
        self.nursery.start_soon(self._run, name)
        if not self.world.leader:
            self.lead(name)

    async def _run(self, name: str) -> None:
        with self.scopes[name]:
            await self.pods[name].run()

    def lead(self, name: str) -> None:
        """This pod wins the leader Lease."""
        self.world.leader = name
        self.world.stir()

    def kill(self, name: str) -> None:
        """SIGKILL of a controller pod: its Lease stays behind."""
        self.scopes[name].cancel()
        del self.gateways[name]

    async def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Until it holds, in virtual time."""
        with trio.move_on_after(LIMIT_S):
            while not holds():
                await trio.sleep(0.01)
            return
        raise AssertionError(f"never: {what}; {self.story()}")

    async def wait_phase(self, phase: Phase) -> None:
        """Until the stored ledger says so."""
        await self.wait(lambda: self.cluster.phase is phase, phase.value)

    async def wait_writable(self, instance: str) -> None:
        """Until every gateway routes writes to this instance."""
        await self.wait(
            lambda: all(g.writable() == instance for g in self.gateways.values()),
            f"writes to {instance}",
        )

    @property
    def cluster(self) -> Any:
        """The fold of what is stored."""
        return fold(self.world.stored.data if self.world.stored else {}).cluster

    def triggers(self) -> list[str]:
        """The ledger's triggers."""
        lines = self.world.stored.data.values() if self.world.stored else ()
        return [line.split('"on":"')[1].split('"')[0] for line in lines]

    def story(self) -> str:
        """What happened, for a failing test."""
        refusals = {n: [r.reason for r in p.loop.refusals] for n, p in self.pods.items()}
        return f"{self.triggers()}\n{self.world.journal[-12:]}\n{refusals}"


async def operational(scene: Scene) -> None:
    """Two pods, a fresh cluster, until it is OPERATIONAL and open everywhere."""
    await scene.start("controller-0")
    await scene.start("controller-1")
    await scene.wait_phase(Phase.OPERATIONAL)
    await scene.wait_writable("memgraph-0")


async def test_fresh_cluster_becomes_operational(autojump_clock: Any, nursery: Any) -> None:
    """Three empty instances become main, sync and async, each registered once under a name with
    its generation, and every gateway opens (scenario 16)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        main = scene.world.instances[Instance("memgraph-0")]
        modes = {name: row.mode for name, row in main.rows.items()}
        assert modes == {"memgraph_1_g1": Mode.STRICT_SYNC, "memgraph_2_g2": Mode.ASYNC}
        await scene.wait(lambda: len(scene.cluster.readers) == 2, "two readers")
        nursery.cancel_scope.cancel()


async def test_main_killed_fails_over_to_the_sync(autojump_clock: Any, nursery: Any) -> None:
    """After a SIGKILL of the main every gateway routes to the sync, within a second of virtual
    time, and the old main is registered again when it is back (scenario 53)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        at_s = trio.current_time()
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        assert trio.current_time() - at_s < 1.0
        scene.world.restart("memgraph-0")
        await scene.wait_phase(Phase.OPERATIONAL)
        assert scene.cluster.sync == {"memgraph-0", "memgraph-1"}
        nursery.cancel_scope.cancel()


async def test_no_gateway_is_open_between_fence_and_promotion(
    autojump_clock: Any, nursery: Any
) -> None:
    """In the world's book both gateways close before the sync is promoted, and open after it, also
    when one of them hears of the failover late (S4)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        mark = len(scene.world.journal)
        scene.world.deaf.add("controller-1")
        scene.world.instances[Instance("memgraph-0")].is_hung = True
        await scene.wait_writable("memgraph-1")
        told = [text for _, text in scene.world.journal[mark:]]
        promoted = next(i for i, t in enumerate(told) if t.startswith("promoted memgraph-1"))
        closed = {t.split()[0] for t in told[:promoted] if "to nobody" in t}
        opened = [t for t in told[:promoted] if "routes writes to memgraph" in t]
        assert closed == {"controller-0", "controller-1"}
        assert not opened
        nursery.cancel_scope.cancel()


async def test_hung_main_waits_for_its_grace(autojump_clock: Any, nursery: Any) -> None:
    """A silent main is failed over after its grace, not before, and is demoted when it thaws
    (scenarios 12, 34)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        at_s = trio.current_time()
        old = scene.world.instances[Instance("memgraph-0")]
        old.is_hung = True
        await scene.wait(lambda: "main_lost" in scene.triggers(), "main_lost")
        assert POLICY.main_grace_s <= trio.current_time() - at_s < POLICY.main_grace_s + 1.5
        await scene.wait_writable("memgraph-1")
        old.is_hung = False
        await scene.wait_phase(Phase.OPERATIONAL)
        assert old.role is Role.REPLICA
        nursery.cancel_scope.cancel()


async def test_leader_and_main_die_together(autojump_clock: Any, nursery: Any) -> None:
    """A standby that has long folded the ledger itself goes on with what is in it (scenario 26)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.kill("controller-0")
        scene.world.kill("memgraph-0")
        await trio.sleep(6)
        scene.lead("controller-1")
        at_s = trio.current_time()
        await scene.wait_writable("memgraph-1")
        assert trio.current_time() - at_s < 1.5
        nursery.cancel_scope.cancel()


async def test_main_that_restarts_at_once_is_renewed(autojump_clock: Any, nursery: Any) -> None:
    """A recorded main that came back as REPLICA is its own candidate, in a new term (S2)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        term = scene.cluster.main_term
        scene.world.kill("memgraph-0")
        scene.world.restart("memgraph-0")
        await scene.wait(lambda: scene.cluster.main_term > term, "a new term")
        await scene.wait_phase(Phase.OPERATIONAL)
        assert scene.cluster.main == "memgraph-0"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("durability", list(Durability))
async def test_sync_lost_follows_the_policy(
    autojump_clock: Any, nursery: Any, durability: Durability
) -> None:
    """Without the sync, writes go on under `preferred` (by a renewal without it, no DROP on an open
    main) and stay closed under `required` until it is back (scenarios 46, 47)."""
    policy = Policy(eligible=POLICY.eligible, durability=durability)
    scene = Scene(nursery, policy)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.kill("memgraph-1")
        await scene.wait_phase(Phase.DEGRADED)
        await trio.sleep(5)
        open_to = {g.writable() for g in scene.gateways.values()}
        assert open_to == ({"memgraph-0"} if durability is Durability.PREFERRED else {None})
        assert not [t for _, t in scene.world.journal if t.startswith("dropped memgraph_1")]
        scene.world.restart("memgraph-1")
        await scene.wait_phase(Phase.OPERATIONAL)
        await scene.wait_writable("memgraph-0")
        nursery.cancel_scope.cancel()


async def test_restarted_sync_is_followed_by_a_renewal(autojump_clock: Any, nursery: Any) -> None:
    """A sync that restarted inside the epoch is registered under a new name in a renewed one, with
    the same main and both copies complete before writes go on."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.kill("memgraph-1")
        scene.world.restart("memgraph-1")
        await scene.wait(lambda: "renewal_started" in scene.triggers(), "renewal_started")
        await scene.wait_phase(Phase.OPERATIONAL)
        tail = scene.triggers()[scene.triggers().index("renewal_started") :]
        assert tail.index("drained") < tail.index("main_fenced") < tail.index("main_promoted")
        assert scene.cluster.main == "memgraph-0"
        await trio.sleep(5)
        assert scene.triggers().count("renewal_started") == 1, "renewed again and again"
        nursery.cancel_scope.cancel()


async def test_lost_answer_of_an_append_is_recognised(autojump_clock: Any, nursery: Any) -> None:
    """A ledger write that was carried out and whose answer was lost is not written twice."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.lost_puts = 1
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        assert scene.triggers().count("main_lost") == 1
        nursery.cancel_scope.cancel()


async def test_absence_after_a_lost_write_brings_a_new_barrier(
    autojump_clock: Any, nursery: Any
) -> None:
    """A write without an answer that is not there: something is appended before a command (S1)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.dropped_puts = 1
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        assert not scene.pods["controller-0"].loop.chronicle.is_uncertain
        nursery.cancel_scope.cancel()


async def test_api_server_down_closes_the_gateways(autojump_clock: Any, nursery: Any) -> None:
    """Without a confirmation of the head for GATEWAY_SELF_FENCE nobody relays writes, and all open
    again when the API server is back (S6, scenario 95)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.api_is_up = False
        await trio.sleep(5.1)
        assert {g.writable() for g in scene.gateways.values()} == {None}
        await trio.sleep(15)
        scene.world.api_is_up = True
        scene.world.stir()
        await scene.wait_writable("memgraph-0")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("fallback", "readers"), [(False, {"memgraph-2"}), (True, {"memgraph-1", "memgraph-2"})]
)
async def test_a_deaf_gateway_reads_only_who_cannot_have_become_main(
    autojump_clock: Any, nursery: Any, fallback: bool, readers: set[str]
) -> None:
    """While a pod cannot confirm the head others may promote an eligible replica, and its readers
    would reach a writable instance (S14); the others are read on, and all again afterwards. Where
    reads of the main are allowed nothing changes. The relay is told beforehand, for it does the
    same when its controller stands still."""
    scene = Scene(nursery, evolve(POLICY, read_fallback_main=fallback))

    def read_from(pod: str) -> set[str]:
        return {u.instance for u in scene.gateways[pod].routes[Kind.RO].upstreams}

    def told_as_eligible(pod: str) -> set[str]:
        readers_of = scene.gateways[pod].routes[Kind.RO].upstreams
        return {u.instance for u in readers_of if u.may_become_main}

    with trio.fail_after(LIMIT_S):
        await operational(scene)
        everybody = {"memgraph-1", "memgraph-2"}
        await scene.wait(lambda: read_from("controller-1") == everybody, "readers")
        assert told_as_eligible("controller-1") == everybody - readers
        scene.world.leaseless.add("controller-1")
        await trio.sleep(5.1)
        assert read_from("controller-1") == readers
        assert read_from("controller-0") == everybody
        scene.world.leaseless.clear()
        await scene.wait(lambda: read_from("controller-1") == everybody, "readers again")
        nursery.cancel_scope.cancel()


async def test_a_gateway_without_a_lease_closes_although_it_reads_the_head(
    autojump_clock: Any, nursery: Any
) -> None:
    """The leader counts from the Lease: a gateway whose Lease cannot be renewed has closed before
    the leader stops waiting for it, although it can read the ledger all the time (S6)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.leaseless.add("controller-1")
        await trio.sleep(4.5)
        assert scene.gateways["controller-0"].writable() == "memgraph-0"
        assert scene.gateways["controller-1"].writable() is None
        scene.world.leaseless.clear()
        await scene.wait_writable("memgraph-0")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("damage", ["deleted", "edited", "cut"])
async def test_damaged_ledger_is_restored(autojump_clock: Any, nursery: Any, damage: str) -> None:
    """A ledger that was deleted, edited or cut by hand is restored by the leader from its verified
    copy, in a new term, and no gateway loses its route meanwhile (S16)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        before = dict(scene.world.stored.data)
        damaged = dict(before)
        last = max(damaged)
        if damage == "edited":
            damaged[last] = damaged[last].replace("memgraph-0", "memgraph-2")
        else:
            del damaged[last]
        scene.world.stored = None if damage == "deleted" else make_stored(scene, damaged)
        scene.world.stir()
        await scene.wait(
            lambda: (
                scene.world.stored is not None
                and before.items() <= scene.world.stored.data.items()
                and len(scene.world.stored.data) > len(before)
            ),
            "restored",
        )
        assert scene.triggers()[-1] == "leader_elected"
        await scene.wait_writable("memgraph-0")
        nursery.cancel_scope.cancel()


def make_stored(scene: Scene, data: dict[str, str]) -> Any:
    """What a hand edit leaves: another resourceVersion."""
    from controller.ports import StoredLedger

    return StoredLedger("uid", str(next(scene.world.versions)), data, {})


async def test_refused_instance_is_reset_and_joins_again(autojump_clock: Any, nursery: Any) -> None:
    """An old main whose data the new one refuses (Error 3) is set aside by order of the ledger and
    comes back as a copy; the main and the sync set are never touched (S12)."""
    scene = Scene(nursery, Policy(eligible=POLICY.eligible, reset="always"))
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.instances[Instance("memgraph-2")].nodes = 5
        await scene.wait(lambda: len(scene.cluster.readers) == 2, "readers")
        old = scene.world.instances[Instance("memgraph-0")]
        scene.world.kill("memgraph-0")
        old.refuses_registration = 3
        await scene.wait_writable("memgraph-1")
        scene.world.restart("memgraph-0")
        await scene.wait_phase(Phase.OPERATIONAL)
        assert "instance_refused" in scene.triggers()
        assert scene.cluster.main == "memgraph-1"
        nursery.cancel_scope.cancel()


async def test_data_that_may_be_acknowledged_wait_for_a_person(
    autojump_clock: Any, nursery: Any
) -> None:
    """By default an old main that was killed and is refused is not set aside: it may hold what its
    clients were told is written; the verdict says so (S12, S13)."""
    scene = Scene(nursery)
    with trio.fail_after(LIMIT_S):
        await operational(scene)
        scene.world.instances[Instance("memgraph-2")].nodes = 5
        await scene.wait(lambda: len(scene.cluster.readers) == 2, "readers")
        scene.world.kill("memgraph-0")
        scene.world.instances[Instance("memgraph-0")].refuses_registration = 3
        await scene.wait_writable("memgraph-1")
        scene.world.restart("memgraph-0")
        await scene.wait(lambda: "instance_refused" in scene.triggers(), "refused")
        await trio.sleep(20)
        assert "reset_ordered" not in scene.triggers()
        assert scene.cluster.verdict.startswith("at most 1 transaction a writer")
        nursery.cancel_scope.cancel()


def with_other_ends(data: Mapping[str, str], count: int) -> dict[str, str]:
    """The ledger with its last `count` entries written by another hand: chain and folds hold."""
    last = max(data)
    forged = fold({key: line for key, line in data.items() if int(key) <= int(last) - count})
    for number in range(int(last) - count + 1, int(last) + 1):
        event = decode(data[key_of(number)]).event
        forged = forged.append(event, at="", by="a hand", entry_id=f"forged-{number}")
    return forged.data


async def standby_of_forged(scene: "Scene", count: int) -> None:
    """controller-2 starts over a ledger whose last entries are forged, while nobody leads; then
    controller-0, which knows the true ones, leads again."""
    await operational(scene)
    kept = dict(scene.world.stored.data)  # type: ignore[union-attr]
    scene.lead("nobody")
    scene.world.stored = make_stored(scene, with_other_ends(kept, count))
    await scene.start("controller-2")
    await trio.sleep(1)
    assert scene.pods["controller-2"].loop.cluster.seq == int(max(kept))
    scene.lead("controller-0")
    await trio.sleep(1)


async def test_a_pod_whose_copy_does_not_fit_confirms_nothing(
    autojump_clock: Any, nursery: Any
) -> None:
    """A standby that holds lines which were forged since must not go on acknowledging: it closes,
    its Lease stops, and a failover does not wait for it for ever (S6, S16; found by the
    simulation)."""
    scene = Scene(nursery)
    with trio.fail_after(2 * LIMIT_S):
        await standby_of_forged(scene, 2)
        assert scene.pods["controller-2"].loop.chronicle.trouble
        scene.world.kill("memgraph-0")
        await scene.wait_phase(Phase.DEGRADED)
        open_to = {n: g.writable() for n, g in scene.gateways.items()}
        assert set(open_to.values()) <= {None, "memgraph-1"}, open_to
        nursery.cancel_scope.cancel()


async def test_a_standby_lets_go_of_a_last_line_that_the_leader_did_not_write(
    autojump_clock: Any, nursery: Any
) -> None:
    """The last line of another pod is vouched for by nothing behind it. Once the leader has
    restored the true one and a barrier stands behind it, a standby that holds another line takes
    what is stored and follows again, without a restart (S6, S16)."""
    scene = Scene(nursery)
    with trio.fail_after(2 * LIMIT_S):
        await standby_of_forged(scene, 1)
        pods = scene.pods
        assert pods["controller-2"].loop.chronicle.trouble == ""
        assert (
            pods["controller-2"].loop.chronicle.ledger == pods["controller-0"].loop.chronicle.ledger
        )
        scene.world.kill("memgraph-0")
        await scene.wait_phase(Phase.DEGRADED)
        await trio.sleep(1)
        assert scene.gateways["controller-2"].writable() == "memgraph-1"
        nursery.cancel_scope.cancel()
