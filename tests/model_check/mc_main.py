"""The command behind `scripts/model-check`: explore, count, tell the shortest story."""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

from mc_begin import operational
from mc_bounds import BOUNDS, Run
from mc_brain import Brain
from mc_explore import Exploration
from mc_steps import World
from mc_story import story

STATES_MAX = 20_000_000


def explored(run: Run, seconds_max: float, states_max: int = STATES_MAX) -> Exploration:
    """One run, as far as time and states allow."""
    brain = Brain(run.eligible, run.instances, required=run.required)
    exploration = Exploration(World(brain, run.physics))
    begin = operational(brain, run.budget)
    exploration.run(begin, states_max=states_max, seconds_max=seconds_max)
    return exploration


def _faults(run: Run) -> str:
    faults = {k: v for k, v in run.budget._asdict().items() if v}
    return ", ".join(f"{k} {v}" for k, v in faults.items())


def report(run: Run, x: Exploration, with_states: bool) -> dict[str, object]:
    """Print how it went; the same as a value for --json."""
    verdict = "VIOLATED" if x.violation else ("exhausted" if x.is_exhausted else "time is over")
    print(f"{run.name} ({run.instances} instances, {run.eligible} eligible; {_faults(run)})")
    rate = len(x.states) / max(x.took_s, 1e-9)
    print(
        f"  {verdict}: {len(x.states)} states, {x.steps} steps, depth {x.depth}, "
        f"{x.took_s:.1f} s ({rate:.0f} states/s)"
    )
    lines: list[str] = []
    if x.violation:
        lines = story(x.world.brain, x.trace(), with_states)
        print(f"  {x.violation}")
        print("\n".join(lines))
    return {
        "run": run.name,
        "faults": run.budget._asdict(),
        "instances": run.instances,
        "eligible": run.eligible,
        "verdict": verdict,
        "states": len(x.states),
        "steps": x.steps,
        "depth": x.depth,
        "took_s": round(x.took_s, 1),
        "violation": x.violation,
        "story": lines,
    }


def main(argv: list[str]) -> int:
    """0: no violation found; 1: one was; 2: usage."""
    parser = argparse.ArgumentParser(prog="model-check", description=__doc__)
    parser.add_argument("--bound", choices=sorted(BOUNDS), default="small")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all runs together")
    parser.add_argument("--json", type=Path, help="write what was found there")
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--states", action="store_true", help="tell the world after each step")
    wanted = parser.parse_args(argv)
    over_s = time.monotonic() + wanted.minutes * 60
    runs = [run for run in BOUNDS[wanted.bound] if wanted.only in run.name]
    found = []
    for left, run in zip(range(len(runs), 0, -1), runs, strict=True):
        share_s = max(0.0, over_s - time.monotonic()) / left
        found.append(report(run, explored(run, share_s), wanted.states))
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{sum(int(str(x['states'])) for x in found)} states, at most {memory_mib} MiB")
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any(x["violation"] for x in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
