"""The ledger as anybody could read it: what its lines say of names, candidates, fences, pauses.

Promise: folded here from the text alone, by code that shares nothing with the product's own fold,
so that a mistake over there does not excuse itself. What a newcomer gets wrong: these are rules
about what was *written*; whether it is true in the world is asked elsewhere.
"""

from typing import Any

import trio
from attrs import define, field

Line = dict[str, Any]
OPENS_A_CHANGE = ("main_lost", "switchover_started", "renewal_started", "failover_forced")


@define(eq=False)
class Reading:
    """Owned by the books. `wrong` takes sentences that are not true any more."""

    phase: str = "BOOTSTRAP"
    term: int = 0
    main: str = ""
    sync: frozenset[str] = frozenset()
    storage_uuid: str = ""
    durability: str = "preferred"
    closed_by_word_s: float | None = None  # when `required` met a main without a second copy
    leader: str = ""  # the pod
    is_fresh: bool = False
    is_forced: bool = False  # the change under way: a person's word may stand for its fence
    is_fenced: bool = False  # by proof, and nobody was given to clients since
    candidate: str = ""  # while the main changes, or a fresh one is to be promoted
    fence: str = ""
    fenced_term: int = 0  # nobody acknowledges in an older one
    open_names: dict[str, str] = field(factory=dict)  # name -> instance
    joined: set[str] = field(factory=set)
    used_names: set[str] = field(factory=set)
    grown: list[tuple[str, str]] = field(factory=list)  # (name, instance), by the last line
    is_paused: bool = False
    is_observed: bool = False
    idle_since_s: float | None = None
    candidates: dict[int, str] = field(factory=dict)
    by_word: str = ""  # the candidate that a person took for complete, while it is not main yet
    wrong: list[str] = field(factory=list)

    def take(self, line: Line) -> None:
        """One more line; `wrong` and `grown` are about this one alone."""
        self.wrong, self.grown = [], []
        before, data, on = self.sync, line["data"], line["on"]
        if line["term"] < self.term:
            self.wrong.append(f"the term fell from {self.term} to {line['term']}")
        self.phase, self.term, self.main = line["to"], line["term"], line["main"] or ""
        self.sync = frozenset(line["sync"])
        self._names(on, data)
        self._change(on, data, self.main)
        self._people(on, data)
        self._growth(on, data, before)

    # -- names of rows (S8)

    def _names(self, on: str, data: Line) -> None:
        match on:
            case "registration_opened":
                self._open(data["name"], data["instance"])
            case "cluster_adopted":
                for found in data["registrations"]:
                    self._open(found["name"], found["instance"])
            case "registration_retired" | "instance_refused":
                self._close(data["name"])
            case "reset_ordered":
                for name in [n for n, i in self.open_names.items() if i == data["instance"]]:
                    self._close(name)
            case "sync_lost":
                self.joined.discard(data["name"])
            case "main_fenced":
                self.open_names, self.joined = {}, set()

    def _open(self, name: str, instance: str) -> None:
        if name in self.used_names:
            self.wrong.append(f"the name {name} is used a second time")
        self.used_names.add(name)
        self.open_names[name] = instance

    def _close(self, name: str) -> None:
        if name in self.joined:
            self.wrong.append(f"{name} is retired, and is in the sync set")
        self.open_names.pop(name, None)

    # -- changes of main (S2, S4)

    def _change(self, on: str, data: Line, main: str) -> None:
        if on == "main_appointed":
            if self.storage_uuid and not self.is_fresh:
                self.wrong.append(f"{main} is appointed over a storage that clients wrote to")
            self.is_fresh, self.candidate = True, main
            self.storage_uuid = data["storage_uuid"]
        if on in ("cluster_adopted", "failover_forced"):
            self.storage_uuid = self.storage_uuid or data["storage_uuid"]
        if on in OPENS_A_CHANGE or on == "candidate_lost":
            self.candidate = main if on == "renewal_started" else data["candidate"] or ""
            self.by_word = self.candidate if on == "failover_forced" else ""
            self.is_forced = on == "failover_forced" or (on == "candidate_lost" and self.is_forced)
            self.fence = ""
            self._once_a_term()
        if on == "main_fenced":
            self.fence, self.fenced_term = data["proof"], self.term
            self.is_fenced = self.is_fenced or not self.is_forced
        if on == "main_promoted":
            if self.candidate != data["main"]:
                self.wrong.append(f"{data['main']} became main, candidate was {self.candidate!r}")
            self.is_fresh, self.candidate, self.fence, self.by_word = False, "", "", ""
        if on in ("main_promoted", "main_returned"):
            self.is_fenced = False

    def _once_a_term(self) -> None:
        known = self.candidates.setdefault(self.term, self.candidate)
        if known != self.candidate:
            self.wrong.append(f"two candidates in term {self.term}: {known}, {self.candidate}")

    # -- people

    def _people(self, on: str, data: Line) -> None:
        if on == "leader_elected":
            self.leader = data["leader"].partition("/")[0]
        if on in ("paused", "resumed"):
            self.is_paused = on == "paused"
        if on == "observing_changed":
            self.is_observed = data["is_on"]
        if on == "policy_changed":
            self._durability(data["durability"])
        if on in ("main_promoted", "main_returned", "sync_joined"):
            self.closed_by_word_s = None
        if not (self.is_paused or self.is_observed):
            self.idle_since_s = None
        elif self.idle_since_s is None:
            self.idle_since_s = trio.current_time()

    def _durability(self, wanted: str) -> None:
        if wanted != "required":
            self.closed_by_word_s = None
        elif self.durability != "required" and len(self.sync) == 1:
            self.closed_by_word_s = trio.current_time()
        self.durability = wanted

    # -- the sync set (S3)

    def _growth(self, on: str, data: Line, before: frozenset[str]) -> None:
        is_word = on == "failover_forced"  # a person says that the candidate is complete
        if on == "sync_joined":
            self._join(data["name"], data["instance"])
        elif on == "main_promoted":
            of = {instance: name for name, instance in self.open_names.items()}
            for instance in data["sync"]:
                self._join(of.get(instance, "?"), instance)
        elif not self.sync <= before | {self.main, data["candidate"] if is_word else self.main}:
            self.wrong.append(f"{on} let the sync set grow to {', '.join(sorted(self.sync))}")

    def _join(self, name: str, instance: str) -> None:
        if self.open_names.get(name) != instance:
            self.wrong.append(f"{instance} joins by {name}, which is not its open name")
        self.joined.add(name)
        self.grown.append((name, instance))
