"""A small world for transcripts: instances, gateways and pods as switches, and the core's verbs.

Promise: every decision comes from `observe`, `decide`, `append`, `plan` and `route` of the product;
the world only answers probes, carries commands out, and tells what happened. What a newcomer gets
wrong: it is no simulation. Nothing is random, nothing is concurrent, and a step is a quarter of a
second; what it shows is what the core decides when this, and only this, is seen.
"""

from collections.abc import Iterator
from typing import Any, assert_never

from attrs import define, field
from attrs import evolve as altered
from scripted_servers import GatewayLease, Server, names, str_of

from statemachine import commands as c
from statemachine import observations as o
from statemachine.decide import Refusal, decide
from statemachine.events import Event
from statemachine.ids import Incarnation, Instance, Mode, Role, RowStatus, Seq
from statemachine.ledger import Ledger
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.route import route
from statemachine.view import Policy, View

STEP_S = 0.25
REPLY_S = 0.05  # a command's answer comes so much later
WALL_S = 1_800_000_000
EVENTS_A_TURN_MAX = 32


@define(eq=False)
class ScriptedWorld:
    """Everything that is, the ledger, and one controller's view. Lines go to `said`."""

    policy: Policy
    servers: dict[str, Server] = field(factory=dict)
    leases: dict[str, GatewayLease] = field(factory=dict)
    ledger: Ledger = field(factory=Ledger)
    view: View = field(init=False)
    now_s: float = 0.0
    zero_s: float = 0.0
    said: list[str] = field(factory=list)
    requests: tuple[o.Request, ...] = ()
    lost: set[str] = field(factory=set)  # kinds of command that do not arrive
    unknown: set[str] = field(factory=set)  # whose answer is lost although they are carried out
    tokens: set[Instance] = field(factory=set)  # reset tokens that init containers would find
    writes_tried: int = 0
    acked: set[int] = field(factory=set)
    _told_route: str = ""
    _told_owed: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def __attrs_post_init__(self) -> None:
        self.begin_reign("controller-0")

    def begin_reign(self, pod: str) -> None:
        """A controller that knows nothing but the ledger leads from now on."""
        leases = [f"controller-{n}" for n in range(2)]
        for name in leases:
            self.leases.setdefault(name, GatewayLease(name))
        identity = f"{pod}/uid/{self.ledger.seq}"
        self.view = View(self.policy, me=pod, now_s=self.now_s, started_at_s=self.now_s)
        self._observe(o.LeadershipChanged(self.now_s, identity))

    def end_reign(self) -> None:
        """The controller loses its lease."""
        self._observe(o.LeadershipChanged(self.now_s, ""))

    # -- time

    def pass_time(self, seconds: float) -> None:
        """So many seconds, in steps."""
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.turn()

    def turn(self) -> None:
        """See everything, decide all that is due, carry out what is owed."""
        self._look()
        for _ in range(EVENTS_A_TURN_MAX):
            decision = decide(self.ledger.cluster, self.view)
            if not isinstance(decision, Event):
                self.refusals = decision
                break
            self._append(decision)
        self._tell_route()
        owed = plan(self.ledger.cluster, self.view)
        lost = tuple(str_of(x) for x in owed if type(x).__name__ in self.lost)
        for text in lost:
            if text not in self._told_owed:
                self._say(f"{text} is owed and does not arrive")
        self._told_owed = lost
        for command in owed:
            if type(command).__name__ not in self.lost:
                self._carry_out(command)

    def _look(self) -> None:
        at_s = self.now_s
        pods = tuple(s.pod() for s in self.servers.values())
        controllers = tuple(o.PodFacts(name, f"uid-{name}", ready=True) for name in self.leases)
        self._observe(o.PodsListed(at_s, pods, controllers))
        for server in self.servers.values():
            self._observe(self._probe(server))
        self._list_gateways(None)
        self._observe(o.RequestsListed(at_s, self.requests))
        self._observe(o.Ticked(at_s, WALL_S + at_s))

    def _probe(self, server: Server) -> o.ProbeAnswered | o.ProbeFailed:
        if server.trouble is not None:
            return o.ProbeFailed(server.name, self.now_s, self.now_s, server.trouble)
        rows = tuple(self._rows(server)) if server.role is Role.MAIN else None
        return o.ProbeAnswered(
            server.name,
            self.now_s,
            self.now_s,
            Incarnation(server.incarnation),
            server.role,
            "3.6.1",
            server.storage,
            rows,
            server.nodes,
        )

    def _rows(self, server: Server) -> Iterator[o.Row]:
        by_address = {s.address: s for s in self.servers.values()}
        for name, (address, mode) in server.rows.items():
            replica = by_address.get(address.split(":")[0])
            is_well = replica and replica.trouble is None and replica.role is Role.REPLICA
            status, behind = RowStatus.READY if is_well else RowStatus.INVALID, 0
            if replica is not None:
                status, behind = server.row_says.get(replica.name, (status, behind))
            yield o.Row(name, address, mode, status, behind, 7)

    def _list_gateways(self, after: Seq | None) -> None:
        listed = []
        for lease in self.leases.values():
            if lease.is_deleted:
                continue
            lease.stamp += lease.is_well or lease.is_renewing
            lease.acked = self.ledger.seq if lease.is_well else lease.acked
            facts = o.GatewayFacts(
                lease.pod,
                str(lease.stamp),
                Seq(lease.acked),
                True,
                self.ledger.cluster.term,
                0,
                self._vantage(),
            )
            listed.append(facts)
        self._observe(o.GatewaysListed(self.now_s, tuple(listed), after))

    def _vantage(self) -> dict[str, str]:
        return {
            s.name: "ok" if s.trouble is None or s.is_reached_by_others else s.trouble.value
            for s in self.servers.values()
        }

    def _observe(self, seen: o.Observation) -> None:
        self.view = observe(self.view, seen)

    # -- the ledger

    def _append(self, event: Event) -> None:
        number = self.ledger.seq + 1
        at = f"2027-01-15T08:00:{number % 60:02d}.000Z"
        me = self.view.me
        self.ledger = self.ledger.append(event, at=at, by=me, entry_id=f"id-{number}")
        cluster = self.ledger.cluster
        self._observe(o.Folded(self.now_s, cluster.seq, cluster.term))
        way = event.source.value
        if event.dest is not event.source:
            way += f" -> {event.dest.value}"
        self._say(f"{event.trigger} [{way}, term {cluster.term}] {event.why}")
        if verdict := getattr(event.payload, "verdict", ""):
            self._say(f"    sync set: {names(cluster.sync)}; loss verdict: {verdict}")

    def _tell_route(self) -> None:
        now = route(self.ledger.cluster, self.view)
        to = now.main or f"nobody ({now.reason})"
        told = f"writes to {to}, reads to {names(now.readers)}"
        if told != self._told_route:
            self._told_route = told
            self._say(f"    route: {told}")

    def tell(self, text: str) -> None:
        """A line among what happened."""
        self._say(text)

    def _say(self, text: str) -> None:
        self.said.append(f"{self.now_s - self.zero_s:6.2f}  {text}")

    # -- commands

    def _carry_out(self, command: c.Command) -> None:
        self._observe(o.CommandStarted(command, self.now_s))
        begun_s, self.now_s = self.now_s, self.now_s + REPLY_S
        if not self._is_silent(command):
            self._say(str_of(command))
        outcome, text, code = self._effect(command)
        kind = type(command).__name__
        if kind in self.unknown:
            self.unknown.discard(kind)
            outcome, text = o.Outcome.UNKNOWN, "the answer was lost"
        if outcome is not o.Outcome.DONE:
            self._say(f"    {outcome.value}: {text}")
        target = getattr(command, "instance", None)
        incarnation = self.servers[target].incarnation if target else 0
        carried = command.names if isinstance(command, c.Mark) else ()
        self._observe(
            o.CommandEnded(
                command, self.now_s, outcome, text, code, begun_s, Incarnation(incarnation), carried
            )
        )
        self.now_s = begun_s

    def _is_silent(self, command: c.Command) -> bool:
        """Each leader withdraws every token once; worth a line only where there is one."""
        if isinstance(command, c.WithdrawResetToken):
            return command.instance not in self.tokens
        return isinstance(command, c.ListGateways | c.CloseRequest)

    def _effect(self, command: c.Command) -> tuple[o.Outcome, str, int | None]:
        done = (o.Outcome.DONE, "", None)
        match command:
            case c.ListGateways():
                self._list_gateways(Seq(command.after_seq))
            case c.CloseRequest():
                self.requests = tuple(r for r in self.requests if r.id != command.id)
            case c.WriteResetToken():
                self.tokens.add(command.instance)
            case c.WithdrawResetToken():
                self.tokens.discard(command.instance)
            case c.ReleaseCopies():
                pass  # what the init container removes concerns no role and no data
            case c.Restart() | c.EndIncarnation():
                self.replace_pod(command.instance, is_empty=isinstance(command, c.Restart))
            case c.Demote() | c.Promote():
                return self._change_role(command)
            case c.Register():
                return self._register(command)
            case c.Drop():
                self.servers[command.main].rows.pop(command.name, None)
            case c.Mark():
                return self._mark(command)
            case _:
                assert_never(command)
        return done

    def _change_role(self, command: c.Demote | c.Promote) -> tuple[o.Outcome, str, int | None]:
        server = self.servers[command.instance]
        if server.trouble is not None:
            return o.Outcome.UNREACHABLE, "no connection", None
        if server.is_stuck:
            return o.Outcome.REFUSED, f"it is still {server.role.value}", None
        server.role = Role.MAIN if isinstance(command, c.Promote) else Role.REPLICA
        server.rows = {}
        return o.Outcome.DONE, "", None

    def _register(self, command: c.Register) -> tuple[o.Outcome, str, int | None]:
        main, replica = self.servers[command.main], self.servers[command.replica]
        if main.trouble is not None or replica.trouble is not None:
            return o.Outcome.UNREACHABLE, "no connection", None
        if replica.name in main.refuses:
            return o.Outcome.REFUSED, "Error: 3", 3
        main.rows[command.name] = (command.address, command.mode)
        if replica.nodes == 0:
            replica.storage = main.storage
        replica.writes |= main.writes
        return o.Outcome.DONE, "", None

    def _mark(self, command: c.Mark) -> tuple[o.Outcome, str, int | None]:
        main = self.servers[command.main]
        ready = {r.name for r in self._rows(main) if r.status is RowStatus.READY}
        strict = {n for n, (_, mode) in main.rows.items() if mode is Mode.STRICT_SYNC}
        if main.trouble is not None:
            return o.Outcome.UNKNOWN, "no answer", None
        if not (set(command.names) | strict) <= ready:
            return o.Outcome.REFUSED, "a STRICT_SYNC replica has not confirmed", None
        return o.Outcome.DONE, "", None

    def land(self, command: c.Command) -> None:
        """A copy of a command that was given up on is carried out after all."""
        self._say(f"a late copy lands: {str_of(command)}")
        self._effect(command)

    # -- a client

    def write(self, is_finalized: bool = True) -> None:
        """A client writes through a gateway that follows the route; `is_finalized`: the replicas
        hear of the second phase of the commit, which the main does not wait for."""
        number = self.writes_tried = self.writes_tried + 1
        name = route(self.ledger.cluster, self.view).main
        main = self.servers[name] if name else None
        if main is None or main.trouble is not None or main.role is not Role.MAIN:
            self._say(f"write {number} is not acknowledged: there is no main to be reached")
            return
        rows = list(self._rows(main))
        if any(r.mode is Mode.STRICT_SYNC and r.status is not RowStatus.READY for r in rows):
            self._say(f"write {number} is refused: a STRICT_SYNC replica has not confirmed")
            return
        ready = [r for r in rows if r.status is RowStatus.READY]
        holders = {main.name, *(self._owner(r) for r in ready if is_finalized)}
        for holder in holders:
            self.servers[holder].writes.add(number)
        self.acked.add(number)
        self._say(f"write {number} is acknowledged by {main.name}; it stands on {names(holders)}")

    def _owner(self, row: o.Row) -> Instance:
        host = row.address.split(":")[0]
        return next(s.name for s in self.servers.values() if s.address == host)

    def missing(self) -> set[int]:
        """Acknowledged writes that the appointed main does not have."""
        main = self.ledger.cluster.main
        return self.acked - self.servers[main].writes if main else set()

    # -- instances

    def restart(self, name: str) -> None:
        """A new process on the same data: a REPLICA by the boot guard, without its rows."""
        server = self.servers[name]
        server.role, server.rows, server.row_says = Role.REPLICA, {}, {}
        server.incarnation += 1
        server.restarts += 1
        server.trouble, server.container = None, o.Container.RUNNING

    def replace_pod(self, name: str, is_empty: bool = False) -> None:
        """A new pod of the same name, with or without its data."""
        server = self.servers[name]
        self.restart(name)
        server.uid, server.restarts, server.is_deleting = server.uid + 1, 0, False
        if is_empty:
            self.lose_disk(name)

    def lose_disk(self, name: str) -> None:
        """The instance is empty and somebody else."""
        server = self.servers[name]
        server.storage, server.nodes = f"storage-new-{server.incarnation}", 0
        server.writes = set()
        for other in self.servers.values():
            other.refuses -= {server.name}


def whole_world(count: int, policy: Policy) -> ScriptedWorld:
    """Some fresh instances, not looked at yet."""
    world = ScriptedWorld(policy)
    for number in range(count):
        name = Instance(f"memgraph-{number}")
        world.servers[name] = Server(name, number, storage=f"storage-{number}")
    return world


def with_policy(world: ScriptedWorld, **changes: Any) -> None:
    """Other settings."""
    world.policy = altered(world.policy, **changes)
    world.view = altered(world.view, policy=world.policy)
