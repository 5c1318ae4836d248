"""Writes docs/safety.md: which test shows which safety rule, trace and incident, and at what layer.

The mapping is not kept by hand: a test that covers something names it in its docstring (`(S4)`,
`F6`, `scenario 73`), a transcript in its first lines, and this page collects the names. What the
incidents are, which other tests show one, and which nobody shows, stands in
`tests/scenarios/catalogue.py`.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/scenarios"))
from catalogue import ALSO, NOT_COVERED, TEXTS  # noqa: E402 - beside the transcripts that use it

PAGE = ROOT / "docs/safety.md"

RULES = {
    "S1": "an event is in the ledger before any effect of it",
    "S2": "one main a term; the candidate is recorded first and never exchanged within the term",
    "S3": "only members of the sync set are promoted; it grows after proof and shrinks before a drop",
    "S4": "fence before promote: every gateway, and the old main",
    "S5": "the main is demoted only after every gateway has cut; nobody is registered beside a stray",
    "S6": "a gateway without the ledger's head, or without its Lease, closes in time",
    "S7": "a session reaches a verified incarnation only",
    "S8": "registration names are never used twice; no DROP on a young row",
    "S9": "no role command while the outcome of an earlier one is unknown",
    "S10": "identity by storage UUID",
    "S11": "promotion and storage snapshot in one incarnation",
    "S12": "data are set aside by an order of the present term only, and never of a needed copy",
    "S13": "what may be missing is said by the verdict of the change",
    "S14": "readers never reach a writable instance",
    "S15": "paused or observing, nothing that is decided leaves the process",
    "S16": "a broken ledger is never believed, and is restored",
}
TRACES = {
    "F1": "a late DROP hits a name that was used again",
    "F2": "a main that came back as replica, one gateway still open",
    "F3": "a restarted main is promoted again without a new term",
    "F4": "a second, late promotion meets an open gateway",
    "F5": "demoted before the gateways have cut, then a late promotion",
    "F6": "the second phase of a commit is lost on a cut link",
    "F7": "the candidate restarts between promotion and snapshot",
    "F8": "an instance that lost its disk is main or serves as one",
    "F9": "a gateway's Lease is deleted, or it opens before it has one",
    "F10": "a thawed gateway relays before it looks at its deadline",
    "F11": "required opens writes with one copy",
    "F12": "the main restarts as replica and the sync is gone for good",
    "F13": "a switchover to a replica that restarted within the epoch",
    "F14": "a renewal that some replica missed",
    "F15": "two role commands, each delivered twice",
    "F16": "required closes writes, a gateway has not cut, a late demotion",
    "F17": "the main loses its disk while a reset is under way",
    "F18": "a forced failover to an instance with an open reset",
}
LAYERS = (
    ("tests/model_check", "model-checked"),
    ("tests/simulation", "simulated"),
    ("tests/kube_real", "cluster-tested"),
    ("tests/sandbox/scenarios", "process-tested"),
    ("tests/torture", "process-tested"),
    ("tests/sandbox", "stand-ins"),
    ("tests/contracts", "contract"),
    ("tests/scenarios", "transcript"),
    ("tests/statemachine", "tables"),
    ("tests/controller", "virtual time"),
    ("tests/", "unit"),
)
WORD = re.compile(r"\b([SF]\d{1,2})(?:-([SF]\d{1,2}))?\b")
SCENARIOS = re.compile(r"[Ss]cenarios? ((?:\d+(?:, | and |,)?)+)(?! of the page)")


@frozen
class Test:
    """A test and what its docstring names."""

    name: str
    layer: str
    names: frozenset[str]


def layer_of(path: str) -> str:
    """The layer of proof that a directory is."""
    return next(layer for prefix, layer in LAYERS if path.startswith(prefix))


def names_in(text: str) -> frozenset[str]:
    """Rules, traces and scenarios (`#73`) that a docstring names."""
    found = set()
    for first, last in WORD.findall(text):
        found.add(first)
        if last:
            found |= {f"{first[0]}{n}" for n in range(int(first[1:]), int(last[1:]) + 1)}
    for numbers in SCENARIOS.findall(text):
        found |= {f"#{n}" for n in re.findall(r"\d+", numbers)}
    return frozenset(found & (RULES.keys() | TRACES.keys() | {f for f in found if f[0] == "#"}))


def tests() -> Iterator[Test]:
    """Every test of the project."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        where = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_"):
                names = names_in(f"{node.name.replace('_', ' ')} {ast.get_docstring(node) or ''}")
                names |= names_in(ast.get_docstring(tree) or "") if len(names) == 0 else frozenset()
                yield Test(f"{where}::{node.name}", layer_of(where), names)


def traces() -> Iterator[Test]:
    """The scripted worlds of the model check: each a `Trace(name, rule, ...)`, run by one test with
    the rule and without it."""
    where = "tests/model_check/mc_traces.py"
    for node in ast.walk(ast.parse((ROOT / where).read_text())):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Trace"):
            continue
        words = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
        text = " ".join(str(w) for w in words)
        name = f"tests/model_check/test_model_traces.py, trace {words[0]}"
        yield Test(name, "model-checked", names_in(text))


def transcripts() -> Iterator[Test]:
    """What the core decides, as text: each is played by one test."""
    for path in sorted((ROOT / "tests/scenarios").glob("*.txt")):
        head = " ".join(line[2:] for line in path.read_text().split("\n\n")[0].splitlines())
        where = path.relative_to(ROOT).as_posix()
        yield Test(where, layer_of(where), names_in(head))


def also(every: dict[str, Test]) -> Iterator[tuple[str, Test]]:
    """The tests that the catalogue names. Raises KeyError for one that is not there."""
    for number, names in ALSO.items():
        for name in names:
            yield f"#{number}", every[f"tests/{name}"]


@cache
def by_name() -> dict[str, list[Test]]:
    """The tests that name each thing."""
    found: dict[str, list[Test]] = defaultdict(list)
    every = {test.name: test for test in (*traces(), *tests(), *transcripts())}
    for test in every.values():
        for name in test.names:
            found[name].append(test)
    for name, test in also(every):
        if test not in found[name]:
            found[name].append(test)
    return found


def uncovered() -> dict[int, str]:
    """Incidents that no test shows, and why."""
    nobody = (n for n in TEXTS if not by_name().get(f"#{n}"))
    return {n: NOT_COVERED.get(n, "nobody shows it yet") for n in nobody}


def row(name: str, what: str, shown: list[Test]) -> str:
    """One line of a table: layers, and a few tests by name."""
    strongest_first = dict.fromkeys(layer for _, layer in LAYERS)
    layers = [layer for layer in strongest_first if any(t.layer == layer for t in shown)]
    picked: list[Test] = []
    for layer in layers:  # the strongest layer first, one test of each, then more
        picked += [t for t in shown if t.layer == layer][:2]
    links = "<br>".join(f"`{t.name.removeprefix('tests/')}`" for t in picked[:5])
    more = f"<br>and {len(shown) - len(picked[:5])} more" if len(shown) > len(picked[:5]) else ""
    return f"| {name} | {what} | {', '.join(layers) or '**nobody**'} | {links}{more} |\n"


HEAD = """# What is shown, and by what

Collected from the docstrings of the tests by `python tests/house/safety_page.py`; a test keeps this
page current. Layers, from the widest to the narrowest: *model-checked* (every order of events of a
small world, with the product's own decisions), *simulated* (seeded, in virtual time, the product's
own loop), *cluster-tested* (a real Kubernetes control plane; Memgraph is a stand-in),
*process-tested* (real controllers, gateways and clients; Memgraph and Kubernetes are stand-ins),
*stand-ins*, *contract*, *transcript* (the core alone: what it decides when exactly this is seen),
*tables*, *virtual time*, *unit*. Nothing on this page was seen on a real Memgraph unless
[stand-ins](stand-ins.md) says so.

## What is not promised

| not promised | how it shows in the verdict of the change | shown by |
|---|---|---|
| Writes that go around the gateways, where no NetworkPolicy forbids it. | Not at all: the verdict is about writes through the read/write gateways. On the old main they are refused once it is demoted (incident 58). | `scenarios/058-around-the-gateways.txt` |
| Clocks whose rates differ by more than a tenth; a machine that was suspended and goes on. | Not at all: a gateway may relay for as long as it closes too late, and its writes count as acknowledged on a main that is deposed. The old main is refused when it is back, and the verdict is amended then. | planted in the simulation: `simulation/caught/clocks-whose-rates-are-out-of-bounds.json` |
| One transaction a writer, when the main was cut off and did not die: a main tells its replica before its client, and ignores that the second phase of the commit was not heard (the 2PC window). | `at most 1 transaction a writer`. | `scenarios/f6-the-second-phase-is-lost.txt` |
| The same, when the main died, and its replicas were not seen to hold everything right before, or it fell silent first. | `at most 1 transaction a writer`. | `statemachine/test_what_may_be_lost.py::test_a_main_that_dies_with_a_replica_behind_may_lose` |
| The same, when main and link fail within one moment: between the last two looks at the main (`PROBE_INTERVAL` apart) and its death. | `none`, until the old main is back and refused: then `at most 1 transaction a writer`, with the instance that may hold it. | `statemachine/test_decisions.py::test_a_refused_old_main_amends_the_verdict` |
| A deposed leader that runs on, together with late copies of two of its role commands: Memgraph has no fencing token for SET ROLE. | `none`, until the old main is back and refused; then as above. | expected failure: `scenarios/test_scenario_transcripts.py::test_a_deposed_leader_and_a_doubled_late_command_lose_nothing`; `scenarios/f15-a-doubled-late-pair-of-commands.txt` |
| A failover that a person forces to an instance outside of the sync set. | `unknown`, or how far behind it was seen. | `scenarios/104-people-ask.txt` |
| A hand that, while no controller pod remembers the ledger, rewrites it to its end with its seal (or takes the seal away), or deletes it together with the gateways' Leases. | Not at all: what stands there is the history, and where nothing does the cluster is adopted, or begun, as at an installation. A tail that was merely edited or cut is not believed, and beside a gateway's Lease that tells of a ledger none is begun: the pods stay closed and say so. | `controller/test_sealed_ledger.py::test_a_person_may_accept_it`; `controller/test_ledger_gone.py::test_who_deletes_the_leases_too_begins_anew` |
| `REPLICATION_MODE=sync`: a refused write may exist, and a failover may lose. | The verdict is never `none` after an unplanned change. | `sandbox/scenarios/test_planned_incidents.py::test_a_cluster_in_sync_mode_gets_whole_and_fails_over_without_a_promise` |

"""


def page() -> str:
    """The whole page."""
    found = by_name()
    table = "| | what | shown at | by |\n|---|---|---|---|\n"
    rules = "".join(row(n, what, found.get(n, [])) for n, what in RULES.items())
    traces = "".join(row(n, what, found.get(n, [])) for n, what in TRACES.items())
    lines = "".join(row(str(n), text, found.get(f"#{n}", [])) for n, text in TEXTS.items())
    gaps = "".join(f"| {n} | {TEXTS[n]} | {why} |\n" for n, why in uncovered().items())
    return (
        f"{HEAD}## Safety rules\n\n{table}{rules}\n"
        f"## Traces that broke an earlier draft\n\n{table}{traces}\n"
        "## Incidents\n\nEach happened to somebody, or is one step away from what did. The numbers "
        f"are names, and there are gaps.\n\n{table}{lines}\n"
        f"## What nobody shows\n\n| | what | why |\n|---|---|---|\n{gaps}"
    )


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} written\n")
