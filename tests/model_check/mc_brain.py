"""The product's five verbs, each asked once for each abstract question, and answered from memory.

Promise: what is decided, folded, owed and routed here is what `statemachine` and
`controller.verify` answer; there is no other rule in here. Clusters, views and commands are known
by small numbers; a number stands for one normal form (`mc_normal`).
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import mc_normal as n
import mc_people as p
from attrs import evolve as changed
from mc_world import ABSENT, AHEAD, INVALID, MAIN, READY, STRICT, Memgraph, Row

from controller.ports import ProbeAnswer
from controller.verify import why_not_main
from statemachine import commands as c
from statemachine import observations as o
from statemachine.cluster import Cluster
from statemachine.decide import decide
from statemachine.events import Event, MainPromoted, ReadersChanged, trigger_of
from statemachine.evolve import evolve
from statemachine.ids import Mode, Phase, Role, RowStatus, Seq
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.route import route
from statemachine.view import GatewayView, View

T = TypeVar("T")
Seen = tuple[o.Observation, ...]
STATUS = {
    READY: (RowStatus.READY, 0),
    AHEAD: (RowStatus.READY, 2),
    INVALID: (RowStatus.INVALID, -2),
    ABSENT: (RowStatus.ABSENT, None),
}
SILENT_NOTES = frozenset({"decision_refused", "bootstrap_refused"})
"""Entries for people: they change nothing that a verb looks at."""


class Numbers(Generic[T]):
    """Values by number, one number for each."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._number: dict[T, int] = {}

    def of(self, value: T) -> int:
        """The value's number; a new one if it was never seen."""
        number = self._number.get(value)
        if number is None:
            number = self._number[value] = len(self.values)
            self.values.append(value)
        return number


class Decided(NamedTuple):
    """An event that may be appended, and the world's short words for what it changes."""

    trigger: str
    head: int  # of the cluster after it
    view: int  # of the leader's view after it
    closes: bool  # RW: gateways have to acknowledge anew
    new_term: bool
    new_route: bool  # clients are given another term
    main: int  # of main_promoted, main_returned, ...: who is given to clients; -1: nobody
    verdict: str
    in_haste: bool  # only when every grace is over
    about: int = -1  # the instance that it names; -1: none


class Brain:
    """One for each exploration: `eligible` of `instances` may become main."""

    def __init__(
        self,
        eligible: int,
        instances: int,
        *,
        required: bool = False,
        resets: bool = False,
        people: tuple[str, ...] = (),
    ) -> None:
        self.eligible, self.instances, self.required = eligible, instances, required
        self.patient = n.policy(eligible, True, required, resets)
        self.impatient = n.policy(eligible, False, required, resets)
        self.outlives = False  # late commands land on later processes, too
        self.people = tuple(p.request_of(words) for words in people)
        self.clusters: Numbers[Cluster] = Numbers()
        self.views: Numbers[View] = Numbers()
        self.commands: Numbers[c.Command] = Numbers()
        self._memo: dict[Hashable, Any] = {}
        self.normal_books: dict[Any, Any] = {}  # of mc_canon
        self.fresh_view = self.views.of(
            n.normal_view(View(policy=self.patient, identity=n.LEADER, pods_known=False))
        )

    # -- observe

    def see(self, view: int, key: Hashable, seen: Callable[[], Seen]) -> int:
        """The view after these observations; `key` names them, `seen` makes them."""
        found = self._memo.get((view, key))
        if found is None:
            value = self.views.values[view]
            for observation in seen():
                value = observe(value, observation)
            found = self._memo[view, key] = self.views.of(n.normal_view(value))
        return int(found)

    def think_silent(self, view: int, gate: int) -> int:
        """The view once a gateway's Lease has not moved for longer than the barrier."""
        key = ("silent", view, gate)
        found = self._memo.get(key)
        if found is None:
            value = self.views.values[view]
            gates = tuple(
                changed(g, changed_at_s=n.LONG_AGO_S) if g.facts.pod == f"gateway-{gate}" else g
                for g in value.gateways
            )
            found = self._memo[key] = self.views.of(changed(value, gateways=gates))
        return int(found)

    def after_barrier(self, view: int) -> int:
        """The view once it has watched the gateways for longer than the barrier."""
        key = ("barrier", view)
        found = self._memo.get(key)
        if found is None:
            value = self.views.values[view]
            at_s = n.LONG_AGO_S if value.gateways_watched_since_s is not None else None
            found = self._memo[key] = self.views.of(changed(value, gateways_watched_since_s=at_s))
        return int(found)

    def with_gateways_swapped(self, view: int) -> int:
        """The view in which the two gateways have each other's place."""
        key = ("swapped", view)
        found = self._memo.get(key)
        if found is None:
            value = self.views.values[view]
            gateways = tuple(sorted(map(_renamed, value.gateways), key=lambda g: g.facts.pod))
            found = self._memo[key] = self.views.of(changed(value, gateways=gateways))
        return int(found)

    def without_marking(self, view: int) -> int:
        """The view once no marker is under way: who was behind which connection is not asked."""
        key = ("marked", view)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self.views.of(changed(self.views.values[view], marking=()))
        return int(found)

    def without_request(self, head: int, view: int, request: str) -> tuple[int, int]:
        """Both once an answered request stands nowhere any more."""
        key = ("closed", head, view, request)
        found = self._memo.get(key)
        if found is None:
            cluster = self.clusters.of(p.forgotten(self.clusters.values[head], request))
            seen = self.views.of(p.view_forgotten(self.views.values[view], request))
            found = self._memo[key] = (cluster, seen)
        return int(found[0]), int(found[1])

    def counts_nodes(self, head: int) -> bool:
        """Whether every probe counts: before there is a cluster."""
        return self.clusters.values[head].phase is Phase.BOOTSTRAP

    def is_paused(self, head: int) -> bool:
        """Whether a person has stopped all decisions."""
        return self.clusters.values[head].pause is not None

    def has_listed(self, view: int) -> bool:
        """Whether the gateways were listed after the last closing event."""
        return self.views.values[view].gateways_read_after > 0

    # -- decide and evolve

    def decide(self, head: int, view: int) -> tuple[Decided, ...]:
        """The events that may be appended now: with patience, and without."""
        key = ("decide", head, view)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self._decide(head, view)
        return tuple(found)

    def _decide(self, head: int, view: int) -> tuple[Decided, ...]:
        cluster, seen = self.clusters.values[head], self.views.values[view]
        found: list[Decided] = []
        for policy in (self.patient, self.impatient):
            view_then = changed(seen, policy=policy)
            if policy is self.impatient and self.people:
                view_then = p.without_patience(view_then)
            decision = decide(cluster, view_then)
            while isinstance(decision, Event) and isinstance(decision.payload, ReadersChanged):
                cluster = evolve(cluster, decision)
                decision = decide(cluster, view_then)
            if isinstance(decision, Event) and decision.trigger not in SILENT_NOTES:
                made = self._made(cluster, seen, decision, policy is self.impatient)
                if made._replace(in_haste=False) not in found:
                    found.append(made)
        return tuple(found)

    def _made(self, cluster: Cluster, seen: View, event: Event, in_haste: bool) -> Decided:
        after = evolve(cluster, event)
        payload = event.payload
        closes = after.rw_closed_seq != cluster.rw_closed_seq
        seen_after = n.view_after(seen, cluster, after, closes)
        before, then = route(cluster, seen), route(after, seen)
        gives = trigger_of(payload) in ("main_promoted", "main_returned")
        return Decided(
            trigger=event.trigger,
            head=self.clusters.of(n.normal_cluster(after)),
            view=self.views.of(n.normal_view(seen_after)),
            closes=closes,
            new_term=after.term != cluster.term,
            new_route=then.term != before.term,
            main=n.INDEX[after.main] if gives and after.main else -1,
            verdict=payload.verdict if isinstance(payload, MainPromoted) else "none",
            in_haste=in_haste,
            about=n.INDEX.get(getattr(payload, "instance", n.NOBODY), -1),
        )

    # -- plan

    def plan(self, head: int, view: int) -> tuple[int, ...]:
        """The commands owed, by number: with patience, and without."""
        key = ("plan", head, view)
        found = self._memo.get(key)
        if found is None:
            cluster, seen = self.clusters.values[head], self.views.values[view]
            owed = [
                self.commands.of(command)
                for policy in (self.patient, self.impatient)
                for command in plan(cluster, changed(seen, policy=policy))
            ]
            found = self._memo[key] = tuple(dict.fromkeys(owed))
        return tuple(found)

    # -- route and verify

    def main_for_clients(self, head: int) -> int:
        """Who may be written to by the ledger; -1: nobody."""
        key = ("route", head)
        found = self._memo.get(key)
        if found is None:
            main = route(self.clusters.values[head], self.views.values[self.fresh_view]).main
            found = self._memo[key] = -1 if main is None else n.INDEX[main]
        return int(found)

    def may_use(self, head: int, role: int, uuid: int, rows: tuple[Row, ...]) -> bool:
        """Whether an instance that answers like this is the main that the ledger means (S7)."""
        key = ("verify", head, role, uuid, rows)
        found = self._memo.get(key)
        if found is None:
            answer = ProbeAnswer(n.incarnation(1), *role_and_more(role, uuid, rows), None)
            found = self._memo[key] = why_not_main(self.clusters.values[head], answer) == ""
        return bool(found)

    # -- the parts of a cluster that the world asks for

    def main_by_ledger(self, head: int) -> int:
        """The appointed main; -1: nobody."""
        main = self.clusters.values[head].main
        return -1 if main is None else n.INDEX[main]

    def began_with_base(self, head: int) -> bool:
        """Whether its storage is the one that all began with; a cluster that lost it before anybody
        could write begins with an empty disk, and owes nobody anything of before."""
        return self.clusters.values[head].storage_uuid == "storage-0"

    def sync_set(self, head: int) -> frozenset[int]:
        """The members, by number."""
        return frozenset(n.INDEX[x] for x in self.clusters.values[head].sync)

    def complete_by_ledger(self, head: int) -> frozenset[int]:
        """The members, but for one that a person made a candidate and accepted the loss of."""
        key = ("complete", head)
        found = self._memo.get(key)
        if found is None:
            cluster = self.clusters.values[head]
            forced = {cluster.change.candidate} if cluster.change and cluster.change.verdict else {}
            found = frozenset(n.INDEX[x] for x in cluster.sync if x not in forced)
            self._memo[key] = found
        return frozenset(found)

    def deposed(self, head: int) -> int:
        """The same cluster once its leader is another reign's."""
        key = ("deposed", head)
        found = self._memo.get(key)
        if found is None:
            value = changed(self.clusters.values[head], leader=n.DEPOSED)
            found = self._memo[key] = self.clusters.of(value)
        return int(found)

    # -- names

    def gens(self, head: int, view: int) -> frozenset[int]:
        """All generations that the cluster and the view know."""
        key = ("gens", head, view)
        found = self._memo.get(key)
        if found is None:
            found = n.gens_of_cluster(self.clusters.values[head])
            if view >= 0:
                found = found | n.gens_of_view(self.views.values[view])
            self._memo[key] = found
        return frozenset(found)

    def rename(self, head: int, view: int, gens: Mapping[int, int], last: int) -> tuple[int, int]:
        """Both with other generations; `last` is the last one that was given out."""
        cluster = n.cluster_renamed(self.clusters.values[head], gens, last)
        head = self.clusters.of(cluster)
        if view >= 0:
            view = self.views.of(n.view_renamed(self.views.values[view], gens))
        return head, view

    def gens_of_command(self, command: int) -> tuple[int, ...]:
        """Generations of the names in a command."""
        return tuple(n.gen_of(name) for name in n.names_in(self.commands.values[command]))

    def rename_command(self, command: int, gens: Mapping[int, int]) -> int:
        """The command with other generations."""
        return self.commands.of(n.command_renamed(self.commands.values[command], gens))

    def in_old_term(self, command: int) -> int:
        """The command once the ledger is in a newer term."""
        value: Any = self.commands.values[command]
        return self.commands.of(changed(value, term=n.OLD_TERM))

    def generation(self, head: int) -> int:
        """The last one that was given out."""
        return self.clusters.values[head].generation


def _renamed(gateway: GatewayView) -> GatewayView:
    other = "gateway-1" if gateway.facts.pod == "gateway-0" else "gateway-0"
    return changed(gateway, facts=changed(gateway.facts, pod=other))


def role_and_more(
    role: int, uuid: int, rows: tuple[Row, ...]
) -> tuple[Role, str, str, tuple[o.Row, ...] | None]:
    """Role, version, storage UUID and rows, as a probe answers."""
    shown = tuple(
        o.Row(
            n.name_of(r.replica, r.gen),
            f"{n.NAMES[r.replica]}.svc:10000",
            Mode.STRICT_SYNC if r.mode == STRICT else Mode.ASYNC,
            *STATUS[r.status],
        )
        for r in rows
    )
    is_main = role == MAIN
    return (
        (Role.MAIN if is_main else Role.REPLICA),
        "",
        f"storage-{uuid}",
        shown if is_main else None,
    )


def answered(i: int, inst: Memgraph, nodes: int | None) -> o.ProbeAnswered:
    """A probe's answer, just now. `nodes`: None where they are not counted."""
    role, version, storage, rows = role_and_more(inst.role, inst.uuid, inst.rows)
    return o.ProbeAnswered(
        n.NAMES[i],
        n.NOW_S,
        n.NOW_S,
        n.incarnation(inst.proc),
        role,
        version,
        storage,
        rows,
        nodes,
    )


def failed(i: int, failure: o.Failure) -> o.ProbeFailed:
    """A probe that failed, just now."""
    return o.ProbeFailed(n.NAMES[i], n.NOW_S, n.NOW_S, failure)


def pods(states: tuple[tuple[bool, int, bool], ...]) -> o.PodsListed:
    """The API server's picture of the instances' pods: (runs, process number, leaves)."""
    facts = tuple(
        o.PodFacts(
            name=n.NAMES[i],
            uid="uid",
            ip=f"ip-{i}",
            container=o.Container.RUNNING if up else o.Container.TERMINATED,
            restarts=proc,
            deleting=leaves,
        )
        for i, (up, proc, leaves) in enumerate(states)
    )
    return o.PodsListed(n.NOW_S, facts, ())


def gateways(states: tuple[tuple[bool, bool, bool], ...]) -> o.GatewaysListed:
    """A quorum list after the last closing event: (acked, mute, listed). The stamp of one that is
    not mute has changed since anybody looked."""
    facts = tuple(
        o.GatewayFacts(
            pod=f"gateway-{k}",
            stamp="" if mute else "renewed",
            acked_seq=n.CLOSED_SEQ if acked else Seq(0),
            rw_open=False,
            term=n.OLD_TERM,
        )
        for k, (acked, mute, listed) in enumerate(states)
        if listed
    )
    return o.GatewaysListed(n.NOW_S, facts, quorum_after_seq=n.CLOSED_SEQ)
