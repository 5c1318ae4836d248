"""The clients' own book, and what stands on the instances in the end compared with it. Pure.

Promise: a write that was acknowledged and is not on the main is lost, whatever anybody says; what
the ledger said of it decides only whether the loss was announced. Times are seconds of the
monotonic clock, `offset_s` more is wall time.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from torture.client import ACCOUNTS, BALANCE
from torture.ledger_truth import NONE, ONE_EACH, Change
from torture.linear import Op, first_contradiction

WRONG_ROLE = ("forbidden on the replica", "not main anymore")
TOTAL = ACCOUNTS * BALANCE
FORGIVEN_S = 30.0  # before a change that announced a loss: its grace, and the last transactions


@frozen
class Ack:
    """An acknowledged write of the set."""

    client: str
    round: int
    end_s: float


@frozen
class Found:
    """What stands on one instance, read from itself."""

    ids: frozenset[str]
    accounts: tuple[tuple[int, int], ...]
    registers: tuple[tuple[int, str | None], ...]
    intruders: int = 0


@define(eq=False)
class Book:
    """Owned by the task that reads the clients' lines."""

    offset_s: float
    acked: dict[str, Ack] = field(factory=dict)
    refused: set[str] = field(factory=set)
    unknown: set[str] = field(factory=set)
    writes_s: dict[str, list[float]] = field(factory=dict)  # client -> ends of successful ones
    reads_s: dict[str, list[float]] = field(factory=dict)
    registers: dict[int, list[Op]] = field(factory=dict)
    outcomes: Counter[str] = field(factory=Counter)
    errors: Counter[str] = field(factory=Counter)
    wrong_role: int = 0
    intruded: int = 0
    empty_audits: int = 0  # a replica that is copied anew has nothing to show yet
    problems: list[str] = field(factory=list)

    def take(self, line: Mapping[str, Any]) -> None:
        """One line of a client."""
        job, outcome = line["job"], line["outcome"]
        self.outcomes[f"{job} {outcome}"] += 1
        if outcome != "acked" and job != "intrude":
            self._note_error(job, line["error"])
        if outcome == "acked" and job != "intrude":
            is_read = job == "audit"
            times = self.reads_s if is_read else self.writes_s
            times.setdefault(line["client"], []).append(line["end"])
        match job:
            case "set":
                self._take_id(line)
            case "audit" if outcome == "acked":
                self._take_audit(line)
            case "register" if "key" in line and outcome != "refused":
                self._take_register(line)
            case "intrude":
                self.intruded += outcome == "acked"

    def _note_error(self, job: str, text: str) -> None:
        if job != "audit" and any(sign in text for sign in WRONG_ROLE):
            self.wrong_role += 1
        self.errors[text[:90]] += 1

    def _take_id(self, line: Mapping[str, Any]) -> None:
        match line["outcome"]:
            case "acked":
                self.acked[line["id"]] = Ack(line["client"], line["round"], line["end"])
            case "refused":
                self.refused.add(line["id"])
            case _:
                self.unknown.add(line["id"])

    def _take_audit(self, line: Mapping[str, Any]) -> None:
        if line["accounts"] == 0:
            self.empty_audits += 1
        elif (line["accounts"], line["total"]) != (ACCOUNTS, TOTAL):
            self.problems.append(
                f"{line['client']} saw {line['accounts']} accounts with {line['total']} in all"
            )

    def _take_register(self, line: Mapping[str, Any]) -> None:
        is_write, is_known = "write" in line, line["outcome"] == "acked"
        if not is_write and not is_known:
            return
        value = line["write"] if is_write else line["read"]
        end_s = line["end"] if is_known else math.inf
        op = Op(line["client"], is_write, value, line["begin"], end_s)
        self.registers.setdefault(line["key"], []).append(op)


@frozen
class Loss:
    """An acknowledged write that the main does not have, and whether the ledger announced it."""

    id: str
    ack: Ack
    is_announced: bool


def losses(book: Book, main: Found, changes: Sequence[Change]) -> list[Loss]:
    """What is lost. `at most 1 transaction a writer` announces the last one of each client before
    each such change; "none" announces nothing; any other verdict announces everything."""
    missing = sorted(
        ((i, a) for i, a in book.acked.items() if i not in main.ids), key=lambda m: -m[1].end_s
    )
    allowed: Counter[str] = Counter()
    found = []
    for identity, ack in missing:  # newest first
        at_s = ack.end_s + book.offset_s
        later = [c for c in changes if c.promoted_s >= at_s]
        ones = sum(c.verdict.startswith(ONE_EACH) for c in later)
        is_open = any(_is_open(c.verdict) for c in later)
        allowed[ack.client] += 1
        found.append(Loss(identity, ack, is_open or allowed[ack.client] <= ones))
    return found


def _is_open(verdict: str) -> bool:
    """Whether anything may be missing by this verdict."""
    return verdict not in (NONE, "") and not verdict.startswith(ONE_EACH)


def contradictions(
    book: Book, found: Mapping[str, Found], changes: Sequence[Change], end_s: float
) -> list[str]:
    """Registers whose history has no order, the last look at each instance included. Around a
    change that announced a loss the acknowledgements of a moment before it promise nothing."""
    told = []
    for key, ops in sorted(book.registers.items()):
        last = [
            Op(f"read on {name}", False, dict(f.registers).get(key), end_s, end_s + 1)
            for name, f in sorted(found.items())
        ]
        wrong = first_contradiction([*ops, *last])
        if wrong is not None and not _is_forgiven(book, ops, last, changes):
            told.append(f"register {key} is not linearizable: nothing explains that {wrong}")
    return told


def _is_forgiven(
    book: Book, ops: Iterable[Op], last: Sequence[Op], changes: Sequence[Change]
) -> bool:
    """Whether the history has an order once the last operations before announced losses are
    taken as of unknown outcome."""
    spans = [
        (c.begun_s - FORGIVEN_S - book.offset_s, c.promoted_s - book.offset_s)
        for c in changes
        if c.verdict not in (NONE, "")
    ]
    if not spans:
        return False
    kept = []
    for op in ops:
        is_near = any(begin <= op.end_s <= end for begin, end in spans)
        if not is_near:
            kept.append(op)
        elif op.is_write:
            kept.append(Op(op.client, True, op.value, op.begin_s))
    return first_contradiction([*kept, *last]) is None


def differences(found: Mapping[str, Found], main: str) -> list[str]:
    """How instances that are said to be whole differ from the main."""
    told, whole = [], found[main]
    for name, other in sorted(found.items()):
        if less := whole.ids - other.ids:
            told.append(f"{name} lacks {len(less)} writes that stand on {main}")
        if more := other.ids - whole.ids:
            told.append(f"{name} has {len(more)} writes that do not stand on {main}")
        if other.accounts != whole.accounts:
            told.append(f"{name} has other accounts than {main}: {other.accounts}")
        if other.registers != whole.registers:
            told.append(f"{name} has other registers than {main}: {other.registers}")
    return told


def phantoms(book: Book, found: Mapping[str, Found]) -> list[str]:
    """Refused ids that exist all the same."""
    present = frozenset[str]().union(*(f.ids for f in found.values()))
    return sorted(book.refused & present)


def other_problems(book: Book, found: Mapping[str, Found]) -> list[str]:
    """What is wrong besides losses, differences and registers."""
    told = list(book.problems[:5])
    for name, f in sorted(found.items()):
        if (len(f.accounts), sum(b for _, b in f.accounts)) != (ACCOUNTS, TOTAL):
            told.append(f"the accounts on {name} are {f.accounts}")
    if intruders := book.intruded + sum(f.intruders for f in found.values()):
        told.append(f"{intruders} writes were accepted through read-only gateways")
    if book.wrong_role:
        told.append(f"{book.wrong_role} writes met an instance that is not the main")
    if not book.acked:
        told.append("no write was acknowledged at all")
    return told
