"""Kept plans that miss their mistakes, given another seed: `python -P -m simulation.reseed`.

Promise: a plan stays what it is but for its seed, so for the world's latencies and the order of
tasks; it is written only when it is caught with its mistake and holds without. What a newcomer gets
wrong: this is for a product whose timing has changed. A plan that no seed helps needs another
fault, or the check that it stood for is gone.
"""

import json
import sys
from pathlib import Path

from attrs import evolve

from .director import run_plan
from .mutants import planted
from .plan import Plan

CAUGHT = Path(__file__).parents[1] / "caught"
SEEDS_MAX = 300


def is_caught(plan: Plan, mistake: str) -> bool:
    """With the mistake it fails, without it it holds."""
    with planted(mistake):
        failure = run_plan(plan).failure
    return bool(failure) and not run_plan(plan).failure


def reseed(path: Path) -> str:
    """What became of the plan in this file."""
    document = json.loads(path.read_text())
    plan, mistake = Plan.from_json(path.read_text()), document["mistake"]
    for seed in (plan.seed, *range(1, SEEDS_MAX)):
        found = evolve(plan, seed=seed)
        if not is_caught(found, mistake):
            continue
        if found != plan:
            notes = {note: document[note] for note in ("why", "mistake") if note in document}
            path.write_text(found.to_json(**notes) + "\n")
        return "as it was" if found == plan else f"seed {seed}"
    return f"none of {SEEDS_MAX} seeds"


def main() -> None:
    """All of them, or those that are named."""
    from .__main__ import be_quiet

    be_quiet()
    for path in sorted(CAUGHT.glob("*.json")):
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            print(f"{path.stem}: {reseed(path)}", flush=True)


if __name__ == "__main__":
    main()
