"""A world that only exists in thought: what instances and gateways would answer if some of them
were dead, hung or cut off, and if every command were carried out at once.

Promise: pure; it starts from a view and never looks anywhere else. What a newcomer gets wrong: it
is kinder than the real world. Nothing is late or lost in here, so it shows what would be *decided*
and why, and the times are the shortest that the rules allow.
"""

from collections.abc import Iterator

from attrs import define, evolve, field, frozen

from statemachine import commands as c
from statemachine.commands import Command
from statemachine.ids import Incarnation, Instance, Mode, Role, RowStatus, Seq, Term
from statemachine.observations import (
    CommandEnded,
    Container,
    Failure,
    GatewayFacts,
    GatewaysListed,
    Observation,
    Outcome,
    PodFacts,
    PodsListed,
    ProbeAnswered,
    ProbeFailed,
    Row,
    Ticked,
)
from statemachine.view import View

RESTARTED = 1_000_000  # added to an incarnation: no connection outlives a process
UNKNOWN_INCARNATION = Incarnation(0)


@frozen
class Supposition:
    """What is supposed to be broken, from now on and for good."""

    killed: frozenset[Instance] = frozenset()
    """Their process is gone, and the kubelet says so."""
    hung: frozenset[Instance] = frozenset()
    """They accept connections and answer nothing."""
    cut: frozenset[tuple[str, str]] = frozenset()
    """Pairs of instances or controller pods that cannot reach each other."""

    def is_cut(self, one: str, other: str) -> bool:
        """Whether these two cannot reach each other."""
        return (one, other) in self.cut or (other, one) in self.cut

    @property
    def names(self) -> frozenset[str]:
        """Everybody that it speaks of."""
        return self.killed | self.hung | {name for pair in self.cut for name in pair}


@define(eq=False)
class Being:
    """An instance in this world; `is_there`: its process runs and answers whoever reaches it."""

    pod: PodFacts | None
    is_there: bool
    failure: Failure
    role: Role
    storage_uuid: str
    incarnation: Incarnation
    rows: dict[str, Row] = field(factory=dict)
    node_count: int | None = None


class World:
    """Answers probes and carries out commands. Its clock is moved by whoever looks at it."""

    def __init__(self, view: View, supposed: Supposition) -> None:
        self.now_s, self._wall_s, self._me = view.now_s, view.wall_s, view.me
        self._supposed = supposed
        self._controllers = view.controllers
        self._gateways = [g for g in view.gateways if not g.is_deleted]
        self._beings = {seen.instance: _being(view, seen.instance) for seen in view.instances}
        for instance, being in self._beings.items():
            if instance in supposed.killed:
                being.is_there, being.failure = False, Failure.REFUSED
                if being.pod is not None:
                    being.pod = evolve(being.pod, container=Container.TERMINATED, ready=False)
            elif instance in supposed.hung:
                being.is_there, being.failure = False, Failure.SILENT

    def pass_time(self, by_s: float) -> Ticked:
        """Move the clock."""
        self.now_s += by_s
        self._wall_s += by_s
        return Ticked(self.now_s, self._wall_s)

    def look(self, acked: Seq, term: Term) -> Iterator[Observation]:
        """Everything that this pod would see now; gateways have acknowledged what is decided."""
        pods = tuple(b.pod for b in self._beings.values() if b.pod is not None)
        yield PodsListed(self.now_s, pods, self._controllers)
        yield GatewaysListed(self.now_s, tuple(self._leases(acked, term)))
        for instance in self._beings:
            yield self._probe(instance)

    def _leases(self, acked: Seq, term: Term) -> Iterator[GatewayFacts]:
        for gateway in self._gateways:
            sees = {str(i): self._seen_by(gateway.facts.pod, i) for i in self._beings}
            stamp = f"imagined {self.now_s}"
            yield evolve(gateway.facts, stamp=stamp, acked_seq=acked, term=term, vantage=sees)

    def _seen_by(self, pod: str, instance: Instance) -> str:
        if self._supposed.is_cut(pod, instance):
            return Failure.SILENT.value
        being = self._beings[instance]
        return "ok" if being.is_there else being.failure.value

    def _probe(self, instance: Instance) -> ProbeAnswered | ProbeFailed:
        being = self._beings[instance]
        if not self._reaches(instance):
            failure = Failure.SILENT if being.is_there else being.failure
            return ProbeFailed(instance, self.now_s, self.now_s, failure, "supposed")
        rows = tuple(self._row(instance, row) for row in being.rows.values())
        return ProbeAnswered(
            instance,
            self.now_s,
            self.now_s,
            being.incarnation,
            being.role,
            storage_uuid=being.storage_uuid,
            rows=rows if being.role is Role.MAIN else None,
            node_count=being.node_count,
        )

    def takes_writes(self, main: Instance) -> bool:
        """Whether it would acknowledge a write: it runs, and every STRICT_SYNC row takes part."""
        being = self._beings.get(main)
        if being is None or not being.is_there or being.role is not Role.MAIN:
            return False
        rows = (self._row(main, row) for row in being.rows.values())
        return all(r.mode is not Mode.STRICT_SYNC or r.status is RowStatus.READY for r in rows)

    def _reaches(self, instance: Instance) -> bool:
        return self._beings[instance].is_there and not self._supposed.is_cut(self._me, instance)

    def _row(self, main: Instance, row: Row) -> Row:
        replica = self._at(row.address)
        if replica is None:
            return row  # somewhere that we do not know: it stays what it was
        is_fed = self._feeds(main, replica)
        return evolve(row, status=RowStatus.READY if is_fed else RowStatus.INVALID, behind=0)

    def _feeds(self, main: Instance, replica: Instance) -> bool:
        being = self._beings[replica]
        is_replica = being.is_there and being.role is Role.REPLICA
        return is_replica and not self._supposed.is_cut(main, replica)

    def _at(self, address: str) -> Instance | None:
        """Who replicates at this address: known by the pod's IP or by its name."""
        host = address.rsplit(":", 1)[0]
        return next(
            (
                i
                for i, b in self._beings.items()
                if host.split(".")[0] == i or (b.pod is not None and b.pod.ip == host)
            ),
            None,
        )

    def carry_out(self, command: Command) -> tuple[CommandEnded, tuple[Observation, ...]]:
        """How the command would end, and what is seen beside it."""
        beside: tuple[Observation, ...] = ()
        outcome, incarnation = Outcome.DONE, None
        carried: tuple[str, ...] = ()
        match command:
            case c.Demote() | c.Promote():
                outcome, incarnation = self._give_role(command)
            case c.Register():
                outcome = self._register(command)
            case c.Drop(main=main, name=name):
                self._beings[main].rows.pop(name, None)
            case c.Mark():
                outcome, carried = self._mark(command)
            case c.ListGateways(after_seq=seq, term=term):
                leases = tuple(self._leases(Seq(seq), term))
                beside = (GatewaysListed(self.now_s, leases, Seq(seq)),)
            case c.Restart(instance=instance) | c.EndIncarnation(instance=instance):
                self._restart(instance, is_emptied=isinstance(command, c.Restart))
            case _:
                pass
        ended = CommandEnded(
            command, self.now_s, outcome, "", None, self.now_s, incarnation, carried
        )
        return ended, beside

    def _give_role(self, command: c.Demote | c.Promote) -> tuple[Outcome, Incarnation | None]:
        if not self._reaches(command.instance):
            return Outcome.UNREACHABLE, None
        being = self._beings[command.instance]
        being.rows = {}  # MEMGRAPH 2: a change of role forgets the registrations
        being.role = Role.MAIN if isinstance(command, c.Promote) else Role.REPLICA
        return Outcome.DONE, being.incarnation

    def _register(self, command: c.Register) -> Outcome:
        if not self._reaches(command.main):
            return Outcome.UNREACHABLE
        if not self._feeds(command.main, command.replica):
            return Outcome.REFUSED
        main, replica = self._beings[command.main], self._beings[command.replica]
        replica.storage_uuid, replica.node_count = main.storage_uuid, None
        main.rows[command.name] = Row(
            command.name, command.address, command.mode, RowStatus.READY, 0
        )
        return Outcome.DONE

    def _mark(self, command: c.Mark) -> tuple[Outcome, tuple[str, ...]]:
        if not self._reaches(command.main):
            return Outcome.UNREACHABLE, ()
        rows = [self._row(command.main, row) for row in self._beings[command.main].rows.values()]
        strict = [row for row in rows if row.mode is Mode.STRICT_SYNC]
        if any(row.status is not RowStatus.READY for row in strict):
            return Outcome.REFUSED, ()
        return Outcome.DONE, tuple(row.name for row in strict)

    def _restart(self, instance: Instance, *, is_emptied: bool) -> None:
        being = self._beings[instance]
        if not being.is_there:
            return
        being.role, being.rows = Role.REPLICA, {}
        being.incarnation = Incarnation(being.incarnation + RESTARTED)
        if being.pod is not None:
            being.pod = evolve(being.pod, uid=f"{being.pod.uid}'")
        if is_emptied:
            being.storage_uuid, being.node_count = f"new, of {instance}", 0


def _being(view: View, instance: Instance) -> Being:
    seen = view.instance(instance)
    answer = seen.answer if seen.failing_since_s is None else None
    if answer is None:
        failure = seen.failure or Failure.SILENT
        uuid = view.storage_uuid(instance)
        return Being(seen.pod, False, failure, Role.UNKNOWN, uuid, UNKNOWN_INCARNATION)
    rows = {row.name: row for row in answer.rows or ()}
    return Being(
        seen.pod,
        True,
        Failure.SILENT,
        answer.role,
        answer.storage_uuid,
        answer.incarnation,
        rows,
        answer.node_count,
    )
