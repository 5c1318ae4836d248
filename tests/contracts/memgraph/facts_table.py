"""Writes docs/stand-ins.md: which fact is stated by which test, and who has seen it.

Promise: the page says nothing that the tests and the table of deviations do not say; a test holds
it current. `python tests/contracts/memgraph/facts_table.py` writes it again.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import attrs
from deviations import KNOWN_DEVIATIONS, TRANSCRIPT_DEVIATIONS
from fact_marks import LATEST, SEEN_ON, Fact, fact_of

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "stand-ins.md"
TEXT = HERE / "stand-ins.md.in"
NOT_STATED = {
    "1.6 (steps), 2.2 (other limits)": "only a main and its replica see them",
    "2.1 (triggers, PERIODIC COMMIT, a storage locked by a loading snapshot)": "no stand-in for it",
    "2.3 (Error 4, 6, 7)": "a disk that fails, a lock that happens to be busy, a later release",
    "2.4 (--management-port)": "needs a build with Enterprise code",
    "3.3 (lost finalize), 3.6 (hole a)": "needs a cut between two messages; the stand-in has a "
    "fault for it, tested with the stand-in",
    "3.5 (a main that lost the tail of its WAL)": "needs a machine that loses power",
    "6 (TLS, metrics, memory)": "no stand-in for it",
    "7, 9": "what Enterprise does and what a controller must not do: nothing to ask a server",
    "L1, L14 (how often of how many), L15": "figures, not facts: they need many runs",
    "L8": "crashes of the database that nobody wants to need",
    "releases before 3.5": "not supported",
}


@attrs.frozen
class Row:
    """One test and its fact."""

    fact: Fact
    sentence: str
    test: str

    @property
    def order(self) -> tuple[object, ...]:
        """Sections by number, then what was learnt on the running one."""
        head, *rest = re.split(r"\.", self.fact.number.lstrip("L"))
        number = int(head) if head.isdigit() else 99
        return (self.fact.number.startswith("L"), number, rest, self.test)


def rows() -> Iterator[Row]:
    """Every test that states a fact. Raises AssertionError for one that does not say which."""
    sys.path.insert(0, str(HERE))
    for path in sorted(HERE.glob("test_contract_*.py")):
        module = importlib.import_module(path.stem)
        for name, test in vars(module).items():
            if not name.startswith("test_") or not isinstance(test, FunctionType):
                continue
            fact = fact_of(test)
            asks = {"world", "stories"} & set(inspect.signature(test).parameters)
            assert (fact is not None) == bool(asks), f"{path.name}: {name} states which fact?"
            if fact is not None:
                sentence = " ".join((test.__doc__ or "").split())
                yield Row(fact, sentence, f"{path.stem.removeprefix('test_contract_')}: {name}")


def page() -> str:
    """What docs/stand-ins.md must be."""
    found = sorted(rows(), key=lambda row: row.order)
    parts = {
        "FACTS": _facts(found),
        "COUNTS": _counts(found),
        "DEVIATIONS": _deviations(),
        "NOT_STATED": "\n".join(f"| {what} | {why} |" for what, why in NOT_STATED.items()),
        "SEEN_ON": SEEN_ON,
        "LATEST": LATEST,
    }
    return re.sub(r"@(\w+)@", lambda found: parts[found[1]], TEXT.read_text())


def _facts(found: list[Row]) -> str:
    lines = []
    for row in found:
        seen = SEEN_ON if row.fact.is_seen else "no"
        at = ", ".join(row.fact.releases)
        text = row.sentence.replace("|", "\\|")
        name = row.test.partition(": ")[2]
        holds = "no" if name in KNOWN_DEVIATIONS else at
        lines.append(f"| {row.fact.number} | {text} | {seen} | {holds} | `{row.test}` |")
    return "\n".join(lines)


def _counts(found: list[Row]) -> str:
    seen = sum(row.fact.is_seen for row in found)
    return (
        f"{len(found)} tests; {seen} state what was seen on a running Memgraph, "
        f"{len(found) - seen} what was only read in its sources. The stand-in differs from "
        f"{len(KNOWN_DEVIATIONS)} of them."
    )


def _deviations() -> str:
    lines = [f"| `{test}` | {what} |" for test, what in KNOWN_DEVIATIONS.items()]
    for scene, answers in TRANSCRIPT_DEVIATIONS.items():
        lines += [f"| record {scene} | {answer} |" for answer in answers]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
