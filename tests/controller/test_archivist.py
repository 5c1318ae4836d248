"""Whole controller pods whose ledger outgrows its live part: cut at fixed places, whoever dies."""

from typing import Any

import pytest
import trio
from attrs import evolve
from test_pod_flow import LIMIT_S, Scene, operational

from controller import archivist
from controller.archivist import RETRY_S, Retention
from controller.errors import KubeForbidden, KubeUnavailable, LedgerOutcomeUnknown
from controller.ports import StoredArchive
from statemachine.archive import Limits, Part, bridge
from statemachine.codec import LedgerCorrupt, decode
from statemachine.ids import Phase
from statemachine.ledger import Ledger, fold
from statemachine.observations import Request
from statemachine.snapshot import SNAPSHOT_KEY

SMALL = Limits(segment_entries=8, live_entries=16)
KEEP_ALL = Retention()


class Busy(Scene):
    """A scene with a short ledger, and people who make it longer."""

    def __init__(self, nursery: trio.Nursery, retention: Retention = KEEP_ALL) -> None:
        super().__init__(nursery)
        self.limits, self.retention = SMALL, retention
        self._asked = 0

    async def grow(self, count: int) -> None:
        """At least that many entries more: answers to requests that make no sense."""
        for _ in range(count):
            self._asked += 1
            expires_s = self.world.wall_s() + 60
            name = f"r-{self._asked}"
            self.world.ask(
                Request(name, "switchover", instance="nobody", author="alice", expires_s=expires_s)
            )
            await self.wait(lambda n=name: n not in self.world.requests, f"answer to {name}")

    @property
    def live(self) -> Ledger:
        """What is stored, verified."""
        assert self.world.stored is not None
        return fold(self.world.stored.data)

    def check_whole(self, first: int = 1) -> None:
        """The archives, from `first` on, lead to the live part without a gap."""
        archived = self.live.cluster.archived
        assert archived is not None, self.story()
        assert archived.first == first
        found = [Part(n, self.world.archives[n].data) for n in range(first, archived.last + 1)]
        base = found[0].base
        known = Ledger() if base is None else Ledger(base.cluster, base.head)
        bridge(known, found, self.live)

    async def wait_cuts(self, count: int) -> None:
        """Until that many archives are counted in the ledger."""

        def reached() -> bool:
            archived = self.live.cluster.archived
            return archived is not None and archived.last >= count

        await self.wait(reached, f"{count} archives")


async def test_a_long_ledger_is_cut_and_every_pod_follows(
    autojump_clock: Any, nursery: Any
) -> None:
    """The live part stays within its limit while entries come; archives hold the rest; a standby,
    a pod that starts later and the gateways go on as if nothing had been; and the cluster fails
    over with a ledger that begins with a snapshot."""
    scene = Busy(nursery)
    with trio.fail_after(10 * LIMIT_S):
        await operational(scene)
        await scene.grow(40)
        await scene.wait_cuts(4)
        assert len(scene.live.lines) <= SMALL.live_entries + 1
        assert scene.live.base_seq % SMALL.segment_entries == 0
        scene.check_whole()
        await scene.start("controller-2")
        await trio.sleep(1)
        ledgers = {p.loop.chronicle.ledger for p in scene.pods.values()}
        assert ledgers == {scene.live}
        assert not any(p.loop.chronicle.trouble for p in scene.pods.values())
        await trio.sleep(2)
        first = {decode(p.recollection.lines[0]).seq for p in scene.pods.values()}
        assert all(seq < scene.live.base_seq for seq in first)
        scene.world.kill("memgraph-0")
        await scene.wait_phase(Phase.DEGRADED)
        await scene.wait_writable("memgraph-1")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("step", ["before create", "after create", "lost put", "dropped put"])
async def test_a_leader_that_dies_half_way_is_followed_by_another(
    autojump_clock: Any, nursery: Any, step: str
) -> None:
    """At each step of a cut: the ledger that is left verifies for everybody, and the next leader
    ends what was begun, with every entry in exactly one place."""
    scene = Busy(nursery)
    with trio.fail_after(10 * LIMIT_S):
        await operational(scene)
        await scene.grow(14)
        died = trio.Event()

        def die(verb: str, number: int) -> None:
            if number == 2 and not died.is_set():
                died.set()
                if step == "lost put":
                    scene.world.lost_puts = 1
                elif step == "dropped put":
                    scene.world.dropped_puts = 1
                else:
                    scene.scopes["controller-0"].cancel()
                    raise LedgerOutcomeUnknown("it died")

        if step == "before create":
            scene.world.before_archive = die
        else:
            scene.world.after_archive = die
        nursery.start_soon(scene.grow, 20)
        await died.wait()
        fold(scene.world.stored.data)  # type: ignore[union-attr]
        await trio.sleep(0.1)
        if "create" in step:
            scene.kill("controller-0")
        scene.lead("controller-1")
        await scene.wait_cuts(3)
        scene.check_whole()
        assert scene.pods["controller-1"].loop.chronicle.trouble == ""
        nursery.cancel_scope.cancel()


async def test_two_leaders_in_turn_cut_the_same_bytes(autojump_clock: Any, nursery: Any) -> None:
    """A leader that stored an archive and was deposed, and its successor, which finds it there:
    one archive, one event, no number passed over."""
    scene = Busy(nursery)
    with trio.fail_after(10 * LIMIT_S):
        await operational(scene)
        await scene.grow(3)
        stored = trio.Event()
        scene.world.after_archive = lambda verb, number: (stored.set(), scene.lead("nobody"))[0]
        nursery.start_soon(scene.grow, 10)
        await stored.wait()
        await trio.sleep(1)
        assert scene.live.cluster.archived is None
        scene.world.after_archive = lambda verb, number: None
        first = scene.world.archives[1]
        scene.lead("controller-1")
        await scene.wait_cuts(1)
        assert scene.world.archives[1] == first
        assert sum('"ledger_archived"' in line for line in scene.live.lines) == 1
        scene.check_whole()
        nursery.cancel_scope.cancel()


async def test_a_foreign_archive_is_passed_over(autojump_clock: Any, nursery: Any) -> None:
    """A number that holds something else is not written over: the next one is taken, the entry
    says which, and the chain holds."""
    scene = Busy(nursery)
    foreign = StoredArchive({"00000001": "of an older cluster\n"}, 0.0)
    scene.world.archives[1] = foreign
    with trio.fail_after(10 * LIMIT_S):
        await operational(scene)
        await scene.grow(24)
        await scene.wait_cuts(3)
        assert scene.world.archives[1] == foreign
        scene.check_whole(first=2)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("refusal", ["forbidden", "down"])
async def test_without_archives_the_live_part_goes_on(
    autojump_clock: Any, nursery: Any, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archives that cannot be written are told as trouble; entries are appended, a failover is
    carried out; once they can be written the ledger is cut."""
    scene = Busy(nursery)

    monkeypatch.setattr(archivist, "RETRY_LASTING_S", RETRY_S)

    def refuse(verb: str, number: int) -> None:
        raise KubeForbidden("no") if refusal == "forbidden" else KubeUnavailable("gone")

    with trio.fail_after(20 * LIMIT_S):
        await operational(scene)
        scene.world.before_archive = refuse
        await scene.grow(20)
        assert len(scene.live.lines) > SMALL.live_entries + 4
        assert scene.pods["controller-0"].all_troubles()["archiving"]
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        scene.world.before_archive = lambda verb, number: None
        await scene.wait_cuts(2)
        scene.check_whole()
        assert not scene.pods["controller-0"].all_troubles()["archiving"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("retention", "kept"), [(Retention(kept_max=2), 2), (Retention(age_s=1.0), 3)]
)
async def test_what_the_settings_give_up_is_deleted_after_the_ledger_says_so(
    autojump_clock: Any, nursery: Any, retention: Retention, kept: int
) -> None:
    """By count or by age: the oldest go, the newest never, each only after its entry is in the
    ledger; the ledger says where the chain begins by now."""
    scene = Busy(nursery, retention)
    seen: list[tuple[int, int]] = []

    def note(verb: str, number: int) -> None:
        if verb == "delete":
            archived = scene.live.cluster.archived
            assert archived is not None
            seen.append((number, archived.first))

    scene.world.before_archive = note
    with trio.fail_after(20 * LIMIT_S):
        await operational(scene)
        for _ in range(6):
            await scene.grow(8)
            await trio.sleep(1.5)
        archived = scene.live.cluster.archived
        assert archived is not None
        assert archived.first > 2
        assert [number for number, _ in seen] == list(range(1, archived.first))
        assert all(number < first for number, first in seen)
        assert sorted(scene.world.archives) == list(range(archived.first, archived.last + 1))
        assert len(scene.world.archives) <= kept
        scene.check_whole(first=archived.first)
        nursery.cancel_scope.cancel()


async def test_nothing_of_another_history_is_deleted(autojump_clock: Any, nursery: Any) -> None:
    """A number that was passed over holds somebody's evidence: retention leaves it there."""
    scene = Busy(nursery, Retention(kept_max=1))
    foreign = StoredArchive({"00000008": "of an older cluster\n"}, 0.0)
    scene.world.archives[2] = foreign
    with trio.fail_after(20 * LIMIT_S):
        await operational(scene)
        for _ in range(5):
            await scene.grow(8)
            await trio.sleep(1.5)
        assert scene.world.archives[2] == foreign
        assert 1 not in scene.world.archives
        assert 3 not in scene.world.archives
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("damage", ["missing", "edited"])
async def test_a_damaged_archive_is_told_and_stops_nothing(
    autojump_clock: Any, nursery: Any, damage: str
) -> None:
    """Whoever leads next looks at the archives, names what is wrong, and goes on; a pod that
    starts takes the live part."""
    scene = Busy(nursery)
    with trio.fail_after(20 * LIMIT_S):
        await operational(scene)
        await scene.grow(40)
        await scene.wait_cuts(4)
        assert not any(scene.pods["controller-0"].all_troubles().values())
        if damage == "missing":
            del scene.world.archives[2]
        else:
            data = dict(scene.world.archives[3].data)
            data[SNAPSHOT_KEY] = data[SNAPSHOT_KEY].replace('{"seq":16', '{"seq":17')
            assert data != scene.world.archives[3].data, data[SNAPSHOT_KEY]
            scene.world.archives[3] = evolve(scene.world.archives[3], data=data)
            with pytest.raises(LedgerCorrupt):
                assert Part(3, data).base
        scene.lead("controller-1")
        await scene.wait(
            lambda: bool(scene.pods["controller-1"].all_troubles().get("archives")), "a word of it"
        )
        await scene.start("controller-2")
        await scene.grow(20)
        scene.world.kill("memgraph-0")
        await scene.wait_writable("memgraph-1")
        assert not any(p.loop.chronicle.trouble for p in scene.pods.values())
        nursery.cancel_scope.cancel()


async def test_a_leader_whose_copy_is_behind_writes_over_nothing(
    autojump_clock: Any, nursery: Any
) -> None:
    """It cannot know whether what is stored is ours while archives are missing: it decides and
    restores nothing, says so, and gives the Lease back, for another pod may know (S16). With them
    it catches up and leads."""
    scene = Busy(nursery)
    with trio.fail_after(20 * LIMIT_S):
        await operational(scene)
        early = scene.live
        await scene.grow(40)
        await scene.wait_cuts(4)
        kept, before = dict(scene.world.archives), scene.live
        scene.world.archives.clear()
        scene.lead("nobody")
        scene.pods["controller-1"].loop.chronicle.ledger = early
        scene.lead("controller-1")
        await trio.sleep(7)
        assert scene.live == before
        assert "restart it" in scene.pods["controller-1"].loop.chronicle.trouble
        assert scene.world.leader == ""
        scene.world.archives.update(kept)
        scene.lead("controller-1")
        await scene.wait(lambda: scene.live.seq > before.seq, "a new barrier")
        assert scene.live.continues(before)
        nursery.cancel_scope.cancel()


async def test_what_was_interrupted_by_the_api_is_tried_again(
    autojump_clock: Any, nursery: Any
) -> None:
    """An answer that is lost after the archive was stored: it is found there, and the cut is
    made."""
    scene = Busy(nursery)
    lost: list[int] = []

    def lose(verb: str, number: int) -> None:
        if number not in lost:
            lost.append(number)
            raise LedgerOutcomeUnknown("no answer")

    with trio.fail_after(20 * LIMIT_S):
        await operational(scene)
        scene.world.after_archive = lose
        await scene.grow(12)
        await trio.sleep(2 * RETRY_S)
        await scene.wait_cuts(1)
        scene.check_whole()
        nursery.cancel_scope.cancel()
