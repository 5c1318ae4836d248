"""What the last hunts have found, and the page that tells it.

Promise: `docs/mutants.md` is made of `found.json` and the list of planted faults alone; a fault
that was never hunted, or that nobody caught, stands in it as such.
"""

import json
from collections import Counter

from attrs import asdict
from hunting import SEED_MINUTES, SEEDS, Found
from planted import MUTANTS
from planting import ROOT

FOUND = ROOT / "tests/mutants/found.json"
PAGE = ROOT / "docs/mutants.md"

HEAD = """# Planted faults

Made by `./scripts/mutants --record`; do not edit. Each fault is a small change to a copy of the
product, a mistake that somebody could make. The layers are asked from the cheapest to the dearest,
until one notices: the tests of the room, the model check of the small worlds, then {seeds}
simulated seeds of {minutes:g} minutes. A check counts only if it passes again once the fault is
taken out. Tests that compare a generated page with the code are not asked. CI plants some of them
in each commit, others in the next, and demands that the check that stands here still fails;
`./scripts/mutants --again` demands it of all of them, in some twenty minutes. Seconds are of a
machine that was busy with other work.

{summary}

| breaks | fault | in | caught by | check | took |
|---|---|---|---|---|---|
"""


def read_found() -> list[Found]:
    """The newest finding for each fault that still is in the list."""
    if not FOUND.exists():
        return []
    known = {m.name for m in MUTANTS}
    newest = {x["mutant"]: Found(**x) for x in json.loads(FOUND.read_text())}
    return [found for name, found in newest.items() if name in known]


def write_found(found: list[Found]) -> None:
    """Keep the newest finding for each fault, in the order of the list."""
    order = {m.name: k for k, m in enumerate(MUTANTS)}
    newest = {x.mutant: x for x in found if x.mutant in order}
    rows = sorted(newest.values(), key=lambda x: order[x.mutant])
    FOUND.write_text(json.dumps([asdict(x) for x in rows], indent=1) + "\n")


def page() -> str:
    """The text of docs/mutants.md."""
    found = {x.mutant: x for x in read_found()}
    layers = Counter(found[m.name].layer or "nobody" for m in MUTANTS if m.name in found)
    counted = ", ".join(f"{n} by {'the ' if n else ''}{layer}" for layer, n in layers.most_common())
    summary = f"{len(MUTANTS)} faults, {len(found)} hunted: {counted or 'none yet'}."
    lines = []
    for m in MUTANTS:
        x = found.get(m.name)
        by = "not hunted yet" if x is None else (x.layer or "**nobody**")
        check = f"`{x.check.replace('|', '/')}`" if x and x.check else ""
        took = f"{x.seconds:.0f} s" if x else ""
        lines.append(f"| {m.rule} | {m.name} | `{m.path}` | {by} | {check} | {took} |")
    head = HEAD.format(seeds=SEEDS, minutes=SEED_MINUTES, summary=summary)
    return head + "\n".join(lines) + "\n"


def write_page() -> None:
    """Make docs/mutants.md current."""
    PAGE.write_text(page())


if __name__ == "__main__":
    write_page()
