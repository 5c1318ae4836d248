"""The command behind `scripts/model-check`: explore, count, tell the shortest story."""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import cast

from attrs import frozen
from mc_begin import BEGINNINGS
from mc_bounds import BOUNDS, Run
from mc_brain import Brain
from mc_explore import Exploration
from mc_healing import Healing
from mc_normal import NAMES
from mc_progress import is_faultless, stranded
from mc_steps import World
from mc_story import story
from mc_world import NOBODY

from statemachine.ids import Phase

STATES_MAX = 20_000_000


def explored(run: Run, seconds_max: float, states_max: int = STATES_MAX) -> Exploration:
    """One run, as far as time and states allow."""
    brain = Brain(
        run.eligible,
        run.instances,
        required=run.required,
        resets=run.resets,
        people=run.people,
    )
    exploration = Exploration(World(brain, run.physics), keeps=is_faultless)
    begin = BEGINNINGS[run.begins](brain, run.budget)
    exploration.run(begin, states_max=states_max, seconds_max=seconds_max)
    return exploration


def _faults(run: Run) -> str:
    faults = {k: v for k, v in run.budget._asdict().items() if v}
    return ", ".join(f"{k} {v}" for k, v in faults.items())


@frozen
class Wish:
    """What is wanted of each run. `over_s`: monotonic time at which all runs shall be over."""

    over_s: float
    jobs: int = 1
    heals: bool = False
    with_states: bool = False


def report(numbered: tuple[int, Run], wish: Wish) -> dict[str, object]:
    """Explore, and say how it went; `lines` is for people. `numbered`: how many runs are left, this
    one included, and the run."""
    left, run = numbered
    x = explored(run, max(1.0, (wish.over_s - time.monotonic()) * wish.jobs / max(left, wish.jobs)))
    verdict = "VIOLATED" if x.violation else ("exhausted" if x.is_exhausted else "time is over")
    lines = [*_counted(run, x, verdict)]
    if x.violation:
        lines += [f"  {x.violation}", *story(x.world.brain, x.trace(), wish.with_states)]
    stuck = 0
    needs_a_person = run.begins == "two mains"  # and says so
    for dead in (NOBODY, *range(run.eligible)) if x.is_exhausted and not needs_a_person else ():
        found, told_ = _on_its_way(x, dead)
        stuck += found
        lines += told_
    for dead in (NOBODY, *range(run.eligible)) if wish.heals else ():
        found, told_ = _healed(x, dead)
        stuck += found
        lines += told_
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
        "stuck": stuck,
        "lines": lines,
    }


def _counted(run: Run, x: Exploration, verdict: str) -> tuple[str, str]:
    rate = len(x.states) / max(x.took_s, 1e-9)
    return (
        f"{run.name} ({run.instances} instances, {run.eligible} eligible; {_faults(run)})",
        f"  {verdict}: {len(x.states)} states, {x.steps} steps, depth {x.depth}, "
        f"{x.took_s:.1f} s ({rate:.0f} states/s)",
    )


def _on_its_way(x: Exploration, dead: int) -> tuple[int, list[str]]:
    """How many states have no faultless way to a good end, and the shortest way into one."""
    if x.world.brain.clusters.values[x.states[0].head].phase is Phase.BOOTSTRAP and dead != NOBODY:
        return 0, []  # before there is a cluster everybody is waited for
    found = stranded(x, dead)
    who = f", {NAMES[dead]} down for good" if dead != NOBODY else ""
    line = f"  progress{who}: {found.count} of {found.looked_at} states have no way on"
    if found.first < 0:
        return 0, [line]
    return found.count, [line, *story(x.world.brain, x.path(found.first), with_states=True)]


def _healed(x: Exploration, dead: int) -> tuple[int, list[str]]:
    """How many of the states do not come right, and the shortest way into such an end."""
    healing = Healing(x.world, dead)
    began_s = time.monotonic()
    stuck = [path for state in x.states if (path := healing.stuck(state))]
    who = f"instance {dead} dead for good" if dead != NOBODY else "nobody dead for good"
    took_s = time.monotonic() - began_s
    lines = [f"  healing, {who}: {len(stuck)} of {len(x.states)} stuck, {took_s:.1f} s"]
    if stuck:
        lines += story(x.world.brain, min(stuck, key=len), with_states=True)
    for phase in healing.unsaid:
        lines.append(f"    some end closed in {phase.value}, not saying who must come back")
    return len(stuck), lines


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="model-check", description=__doc__)
    parser.add_argument("--bound", choices=sorted(BOUNDS), default="small")
    parser.add_argument("--minutes", type=float, default=10.0, help="of exploring, all together")
    parser.add_argument(
        "--workers", "--jobs", type=int, default=1, dest="jobs", help="processes, by whole runs"
    )
    parser.add_argument("--json", type=Path, help="write what was found there")
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--heal", action="store_true", help="also try to heal every state found")
    parser.add_argument("--states", action="store_true", help="tell the world after each step")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """0: nothing is broken and nothing is stuck; 1: something is; 2: usage."""
    asked = _arguments(argv)
    runs = [run for run in BOUNDS[asked.bound] if asked.only in run.name]
    over_s = time.monotonic() + asked.minutes * 60
    wish = Wish(over_s, asked.jobs, asked.heal, asked.states)
    numbered = list(zip(range(len(runs), 0, -1), runs, strict=True))
    found = []
    with multiprocessing.Pool(asked.jobs, maxtasksperchild=1) as pool:
        for result in pool.imap(partial(report, wish=wish), numbered):
            found.append(result)
            print("\n".join(cast(list[str], result["lines"])), flush=True)
    memory_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{sum(int(str(x['states'])) for x in found)} states, at most {memory_mib} MiB a process")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any(x["violation"] or x["stuck"] for x in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
