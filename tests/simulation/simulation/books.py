"""The checkers' own books: what clients were told, what disks hold, what the ledger's object said.

Promise: nothing in here asks a controller; a violation is raised by the world, at the moment when
it became true, with the sentence that is not true any more. What a newcomer gets wrong: an unknown
outcome promises nothing, and a refused one neither; only what was acknowledged counts.
"""

import hashlib
import json
import math
from collections.abc import Callable, Collection
from typing import Any

import trio
from attrs import define, field

from controller.kube.transport import Json
from gateway import Route
from statemachine.ids import Role
from statemachine.ledger import fold

from .memgraph import Memgraph
from .reading import Reading
from .storage import Disk

GENESIS = "0" * 32
SELF_FENCE_S = 4.2  # 4 s by the slowest clock, and the last answer's way
LINES_MAX = 2500  # ten minutes of faults make some hundreds


class Violation(Exception):
    """A sentence of the safety rules is not true in this world."""


@define(eq=False)
class Books:
    """Owned by the world. `instances` by name; `under_way_s()`: for how long the write that is
    carried out now was on its way."""

    instances: dict[str, Memgraph]
    note: Callable[[str], None]
    under_way_s: Callable[[], float] = lambda: 0.0
    acked: list[int] = field(factory=list)
    client_of: dict[int, str] = field(factory=dict)
    forgiven: set[int] = field(factory=set)  # missing, as a loss verdict has admitted
    lines: list[str] = field(factory=list)  # of the ledger, as they were first accepted
    head: dict[str, Any] = field(factory=dict)  # the last line, parsed
    ledger: Reading = field(factory=Reading)
    upstream_of_term: dict[int, str] = field(factory=dict)
    excused: set[str] = field(factory=set)  # members whose disk was taken from them by a fault
    moment_s: float = 5.0  # between two looks of a leader at its main, with their limits
    is_hand_edit: bool = False
    losses_admitted: int = 0
    losses_unsaid: int = 0
    unsaid: set[int] = field(factory=set)  # missing behind a verdict that did not know of them
    violations: list[str] = field(factory=list)
    on_event: Callable[[str], None] = lambda trigger: None
    on_joined: Callable[[str, Memgraph, Memgraph], None] = lambda name, member, main: None
    on_promoted: Callable[[Memgraph], None] = lambda main: None
    _taken_whole: dict[str, int] = field(factory=dict)  # mains that lost a whole disk -> process
    _checked: dict[Disk, tuple[int, set[int]]] = field(factory=dict)

    def violated(self, text: str) -> None:
        """Remember and note it; the director stops the run at its next look."""
        self.note(f"VIOLATION: {text}")
        self.violations.append(text)

    # -- writes

    def missing(self, disk: Disk) -> set[int]:
        """Acknowledged writes that are not on this disk and were not admitted as lost."""
        upto, known = self._checked.get(disk, (0, set[int]()))
        new = {w for w in self.acked[upto:] if w not in disk.writes}
        known = {w for w in known | new if w not in disk.writes}
        self._checked[disk] = (len(self.acked), known)
        return known - self.forgiven

    def acknowledged(
        self, write: int, client: str, main: Memgraph, term: int | None = None
    ) -> None:
        """A client was told that this write is committed, by this instance, in a session of this
        term (None: not through a gateway)."""
        self.client_of[write] = client
        if term is not None and term < self.ledger.fenced_term:
            self.violated(
                f"write {write} was acknowledged by {main.name} in term {term}, and term "
                f"{self.ledger.fenced_term} was fenced before"
            )
        before = self.missing(main.disk)
        if before:
            self.violated(
                f"two branches: {main.name} acknowledged write {write} without {_some(before)}"
            )
        if write not in main.disk.writes:
            self.violated(f"write {write} was acknowledged and is not on {main.name}")
        self.acked.append(write)
        for member in self.head.get("sync", ()):
            self._check_member(self.instances[member], write, main)
        self._check_copies(write, main)

    def _check_member(self, member: Memgraph, write: int, main: Memgraph) -> None:
        if member is main or member.name in self.excused or write in member.disk.writes:
            return
        if member.name == self.ledger.by_word:
            return  # the person accepted what it lacks; the verdict of its promotion has to say so
        if write in main.finalize_lost:
            return  # the known hole (3.6a): it is prepared there, or was
        self.violated(
            f"write {write} was acknowledged by {main.name}, and {member.name} of the sync set "
            "does not hold it"
        )

    def _check_copies(self, write: int, main: Memgraph) -> None:
        """Durability `required`: never one copy alone, from when every gateway has cut. Only a
        person's word meets open gateways and one copy; they hear of it, or close by themselves."""
        others = [i for i in self.instances.values() if i is not main]
        is_known_hole = write in main.finalize_lost or any(i.name in self.excused for i in others)
        if self.ledger.durability != "required" or is_known_hole:
            return
        word_s = self.ledger.closed_by_word_s
        if word_s is not None and trio.current_time() - word_s < SELF_FENCE_S:
            return
        if not any(write in other.disk.writes for other in others):
            self.violated(f"durability is required, and write {write} is on {main.name} alone")

    def missing_on_route(self, name: str) -> None:
        """A gateway opens to this instance: everything acknowledged is there."""
        lost = self.missing(self.instances[name].disk)
        if lost:
            self.violated(f"clients are led to {name}, which misses {_some(lost)}")

    # -- routes

    def opened(self, pod: str, route: Route) -> None:
        """A gateway opened RW."""
        name = route.upstreams[0].instance
        known = self.upstream_of_term.setdefault(route.term, name)
        if known != name:
            self.violated(f"two upstreams in term {route.term}: {known}, and {name} by {pod}")
        self.note(f"{pod} leads writes to {name} in term {route.term}")

    def led(self, name: str) -> None:
        """Clients get confirmed sessions for writes there. The route of a relay that thaws leads
        nobody yet: it may be of long ago, and its end comes right behind it."""
        if not self.instances[name].is_up:
            return  # nobody is served there; what it acknowledges once it is back is looked at then
        uuid, ours = self.instances[name].disk.storage_uuid, self.ledger.storage_uuid
        if ours and uuid != ours:
            self.violated(f"clients are led to {name} with storage {uuid}; the cluster's is {ours}")
        self.missing_on_route(name)

    # -- disks

    def lost_disk(self, name: str) -> None:
        """A fault takes the disk of an instance, which has ended."""
        self.excused.add(name)
        instance = self.instances[name]
        if instance.role is Role.MAIN and not self.missing(instance.disk):
            self._taken_whole[name] = instance.process

    def wiped(self, instance: Memgraph) -> None:
        """An init container moves the data of an instance aside, as the product ordered."""
        if instance.name == self.ledger.main or instance.name in self.ledger.sync:
            self.violated(f"{instance.name} was wiped, and is in the sync set")
        others = [i for i in self.instances.values() if i is not instance]
        for write in self.acked:
            is_here = write in instance.disk.writes and write not in self.forgiven
            if is_here and not any(write in other.disk.writes for other in others):
                self.violated(f"{instance.name} was wiped, the last copy of write {write}")
                return

    # -- the ledger

    def ledger_written(self, data: Json) -> None:
        """Its object changed, by whomever."""
        if self.is_hand_edit:
            return
        keys = sorted(key for key in data if key.isdecimal())
        known, first = len(self.lines), int(keys[0])
        kept = [data[key] for key in keys if int(key) <= known]
        if first > known + 1 or kept != self.lines[first - 1 :]:
            self.violated(f"the ledger does not go on from entry {known}")
            return
        for key in keys[len(kept) :]:
            self._entry(len(self.lines) + 1, key, data[key])
            if self.head["on"] == "instance_refused":
                self._check_amended(data, self.instances[self.head["data"]["instance"]])
            self.on_event(self.head["on"])  # faults strike once everything was looked at

    def _entry(self, number: int, key: str, line: str) -> None:
        if number > LINES_MAX:
            raise Violation(f"the ledger grows without end: {number} entries")
        document = json.loads(line)
        before = self.lines[-1] if self.lines else None
        prev = hashlib.sha256(before.encode()).hexdigest()[:32] if before else GENESIS
        if key != f"{number:08d}" or document["seq"] != number or document["prev"] != prev:
            self.violated(f"the ledger's chain is broken at entry {number}")
        self.lines.append(line)
        self._follow(document)

    def _follow(self, document: dict[str, Any]) -> None:
        self.head = document
        self.ledger.take(document)
        for text in self.ledger.wrong:
            self.violated(text)
        self.excused &= set(document["sync"])
        if document["on"] == "main_appointed":
            self.excused.discard(document["main"])  # nobody has written: it begins with nothing
        self.note(
            f"#{document['seq']} {document['on']} {document['from']} -> {document['to']} "
            f"term {document['term']}: {document['why']}"
        )
        if document["on"] in ("main_promoted", "main_returned"):
            self._check_verdict(document)
        if document["on"] == "main_promoted":
            self.on_promoted(self.instances[document["main"]])
        for name, instance in self.ledger.grown:
            self._check_joined(name, self.instances[instance], self.instances[document["main"]])

    def _check_joined(self, name: str, member: Memgraph, main: Memgraph) -> None:
        """S3: whoever joins holds every acknowledged write, and a marker has shown it."""
        holes = set[int]().union(*(i.finalize_lost for i in self.instances.values()))
        lost = self.missing(member.disk) - holes
        if lost and member.name not in self.excused:
            self.violated(f"{member.name} joins the sync set without {_some(lost)}")
        self.on_joined(name, member, main)

    def _was_taken_just_now(self, main: Memgraph, sync: Collection[str]) -> bool:
        """Whether a fault took this main and its disk while it was being recorded: no answer could
        have shown it, and nobody is led there. It was whole itself when it was taken as MAIN, and
        was not up again since, or is so only because the entry was long on its way; or another
        member holds everything."""
        taken = self._taken_whole.get(main.name, -1)
        ended_s = main.ended_s.get(taken - 1, -math.inf)
        if ended_s > -math.inf and ended_s >= trio.current_time() - self.under_way_s():
            return True
        others = [self.instances[name] for name in sync if name != main.name]
        is_gone = not main.is_up and main.name in self.excused
        was_whole = taken == main.process
        return is_gone and (was_whole or any(not self.missing(o.disk) for o in others))

    def _is_dead_hole(self, lost: set[int]) -> bool:
        """Whether the main that acknowledged these lost the second phase of their commit and died
        before anybody could look twice: nobody knows before its disk is seen again, and the verdict
        is amended then."""
        dead = self.instances.values()
        return all(any(i.died_with(write, self.moment_s) for i in dead) for write in lost)

    def _check_verdict(self, document: dict[str, Any]) -> None:
        """S13: what is missing on the new main was admitted."""
        main = self.instances[document["main"]]
        lost = self.missing(main.disk)
        if not lost or self._was_taken_just_now(main, document["sync"]):
            return
        verdict = document["data"].get("verdict", "none")
        per_client = {self.client_of[w] for w in lost}
        if verdict == "none" and self._is_dead_hole(lost):
            self.note(f"not said yet: {_some(lost)}; the old main died in the hole (3.6a)")
            self.losses_unsaid += len(lost)
            self.forgiven |= lost
            self.unsaid |= lost
            return
        is_too_much = len(per_client) < len(lost) and not verdict.startswith("unknown")
        if verdict == "none" or is_too_much:
            self.violated(
                f"{document['main']} became main without {_some(lost)}, and the verdict is "
                f"{verdict!r}"
            )
            return
        self.forgiven |= lost
        self.losses_admitted += len(lost)

    def _check_amended(self, data: Json, refused: Memgraph) -> None:
        """S13: who is refused holds what the main does not, and whoever reads the ledger is told:
        this is what the product's own reader makes of it."""
        main = self.instances[self.ledger.main]
        held = {w for w in self.acked if w in refused.disk.writes}
        alone = {w for w in held if w not in main.disk.writes}
        self.unsaid -= alone
        told = fold(data).cluster.verdict
        if self._was_taken_just_now(main, self.ledger.sync):
            return  # what the entry was written by
        if alone and told in ("", "none"):
            self.violated(
                f"{refused.name} is refused and holds {_some(alone)} alone, and the verdict is "
                f"{told!r}"
            )

    def check_said(self) -> None:
        """At the end, when everybody is back: no loss stays unsaid that anybody could see."""
        main = self.instances.get(self.ledger.main)
        lost = self.unsaid - (main.disk.writes if main else set[int]())
        for instance in self.instances.values():
            if instance.is_up and (held := lost & instance.disk.writes):
                self.violated(f"{instance.name} is back with {_some(held)}, and no verdict says so")


def _some(writes: set[int]) -> str:
    shown = ", ".join(map(str, sorted(writes)[:5]))
    return f"acknowledged write(s) {shown}" + (" ..." if len(writes) > 5 else "")
