"""docs/metrics.md is what `/metrics` exposes, and `/metrics` is what docs/metrics.md says."""

import re
from pathlib import Path

import web_picture as p
from attrs import frozen
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from controller.entries import NewEntries
from controller.measures import KubeTally
from controller.tally import Tally
from controller.web import Snapshot
from controller.web.metrics import render
from statemachine.cluster import Pause
from statemachine.commands import ListGateways
from statemachine.ids import Role, Term
from statemachine.ledger import Ledger
from statemachine.observations import CommandEnded, Failure, Outcome, ProbeFailed, Request
from statemachine.view import RequestView

TABLE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (gauge|counter|histogram) \| ([\w, ]*)\| (.+) \|$")


@frozen
class Told:
    """A row of the table, or what is exposed in its place."""

    kind: str
    labels: frozenset[str]


class Growing:
    """A history that was empty when it was read first."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.was_read = True


def busy_tally() -> Tally:
    """One that has counted something of everything."""
    history = Growing()
    tally = Tally(NewEntries(history), lambda: (p.REFUSAL,), lambda: (3, "2025-11-21T07:00:11"))
    tally.follow(p.cluster(), p.view())
    history.ledger = p.history()
    stray = p.without(p.view(), p.M0, answer=p.answer(p.M0, Role.MAIN))
    tally.follow(p.cluster(), stray)
    tally.observed(p.answer(p.M0, Role.REPLICA))
    tally.observed(ProbeFailed(p.M1, 1.0, 2.0, Failure.SILENT))
    tally.observed(CommandEnded(ListGateways(3, Term(8)), 2.0, Outcome.DONE, started_at_s=1.0))
    return tally


def full() -> Snapshot:
    """A picture in which every metric has a sample."""
    kube = KubeTally()
    kube.requests["get", "ledger", "ok"] += 1
    kube.request_s["get",].add(0.01)
    ledger = p.history()
    asked = RequestView(Request("r", "pause"), p.NOW_S - 3)
    return p.snapshot(
        cluster=p.cluster(pause=Pause("alice", "a backup", 1_800_000_000)),
        view=p.view(requests=(asked,)),
        ledger_lines=ledger.lines,
        ledger_head=ledger.head,
        head_read_at_s=p.NOW_S - 1,
        refusals=(p.REFUSAL,),
        certificates={"gateway": 1_900_000_000.0},
        tally=busy_tally(),
        kube_tally=kube,
    )


def full_name(family: Metric) -> str:
    """As it is asked for: a counter ends in `_total`."""
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def exposed() -> dict[str, Told]:
    """Name -> type and labels."""
    found = {}
    for family in text_string_to_metric_families(render(full).decode()):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert family.samples, f"{family.name} has no sample even here: give it one in full()"
        assert full_name(family) not in found, f"{family.name} is exposed twice"
        found[full_name(family)] = Told(family.type, frozenset(labels))
    return found


def documented() -> dict[str, Told]:
    """The same, by the table."""
    rows = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    matches = [ROW.match(row) for row in rows]
    assert all(matches), rows
    found = [(m[1], Told(m[2], frozenset(m[3].replace(",", " ").split()))) for m in matches if m]
    assert len(found) == len(dict(found)), "a metric stands there twice"
    return dict(found)


def test_the_table_is_what_is_exposed() -> None:
    """Every metric stands in docs/metrics.md with its type and labels, and nothing else does."""
    assert documented() == exposed()


def test_no_name_has_two_types() -> None:
    """`x` and `x_total` side by side would be one family of two types for OpenMetrics."""
    bare = [name.removesuffix("_total") for name in exposed()]
    assert len(bare) == len(set(bare))
