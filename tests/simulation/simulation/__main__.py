"""Command line: `./scripts/simulate --seeds N [--seed S] [--minutes 10] [--json FILE]
[--replay FILE] [--processes P] [--no-shrink] [--mistake NAME]`.

Exit code 0: every seed held; 1: some failed (each with seed, commit and its shrunk plan in a file).
"""

import argparse
import json
import logging
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import structlog
from attrs import frozen

from statemachine.rules import RULES

from .director import Verdict, run_plan
from .faults import Plan, draw_plan
from .mutants import planted
from .plan import short
from .shrink import shrink

PROGRESS_S = 30.0
FAILED_PLANS = Path(tempfile.gettempdir()) / "simulation-failures"


@frozen
class Job:
    """One seed to run, in whichever process."""

    seed: int
    minutes: float
    mistake: str = ""


def be_quiet() -> None:
    """The product's log lines cost more than its decisions."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=True,
    )


def run_job(job: Job) -> tuple[Verdict, float]:
    """One seed, and the seconds of processor time that it took."""
    began_s = time.process_time()
    with planted(job.mistake) if job.mistake else nullcontext():
        verdict = run_plan(draw_plan(job.seed, job.minutes))
    return verdict, time.process_time() - began_s


def _all(jobs: list[Job], processes: int) -> Iterator[tuple[Verdict, float]]:
    if processes == 1:
        yield from map(run_job, jobs)
        return
    with multiprocessing.Pool(processes, be_quiet) as pool:
        yield from pool.imap_unordered(run_job, jobs)


def commit() -> str:
    """Of the checkout; "unknown" outside of one."""
    ran = subprocess.run(
        ("git", "describe", "--always", "--dirty"), capture_output=True, text=True, check=False
    )
    return ran.stdout.strip() or "unknown"


def main() -> int:
    """See the module."""
    options = _parser().parse_args()
    be_quiet()
    if options.replay:
        return _replay(Path(options.replay), options.mistake)
    first = options.seed if options.seed is not None else 1
    jobs = [Job(first + i, options.minutes, options.mistake) for i in range(options.seeds)]
    began_s, verdicts, spent_s = time.monotonic(), [], 0.0
    said_s = began_s
    for verdict, took_s in _all(jobs, options.processes):
        verdicts.append(verdict)
        spent_s += took_s
        if time.monotonic() - said_s > PROGRESS_S:
            said_s = time.monotonic()
            _tell_progress(verdicts, options.seeds, spent_s)
        if verdict.failure:
            _tell_failure(verdict, options)
        if options.trace:
            print("\n".join(verdict.trace))
    summary = _summary(verdicts, time.monotonic() - began_s, spent_s)
    print(json.dumps(summary, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(summary, indent=1) + "\n")
    return 1 if any(v.failure for v in verdicts) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--seed", type=int, help="the first one (default 1)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the fault plan")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", help="write the summary to this file")
    parser.add_argument("--replay", help="run a stored plan and show it step by step")
    parser.add_argument("--trace", action="store_true", help="show every history")
    parser.add_argument("--mistake", default="", help="plant this one (simulation/mistakes.py)")
    parser.add_argument("--no-shrink", action="store_true")
    return parser


def _tell_progress(verdicts: list[Verdict], wanted: int, spent_s: float) -> None:
    failed = sum(bool(v.failure) for v in verdicts)
    rate = len(verdicts) / spent_s if spent_s else 0.0
    print(
        f"... {len(verdicts)} of {wanted} seeds, {failed} failed, {rate:.2f} a CPU second",
        file=sys.stderr,
        flush=True,
    )


def _replay(path: Path, mistake: str) -> int:
    with planted(mistake) if mistake else nullcontext():
        verdict = run_plan(Plan.from_json(path.read_text()))
    print("\n".join(verdict.trace))
    print(verdict.failure or "held")
    return 1 if verdict.failure else 0


def _tell_failure(verdict: Verdict, options: argparse.Namespace) -> None:
    print(f"seed {verdict.seed} at {commit()}: {verdict.failure}", flush=True)
    plan = draw_plan(verdict.seed, options.minutes)
    if not options.no_shrink and not options.mistake:
        plan = shrink(plan, lambda smaller: run_plan(smaller).failure)
    FAILED_PLANS.mkdir(exist_ok=True)
    path = FAILED_PLANS / f"seed-{verdict.seed}.json"
    path.write_text(plan.to_json() + "\n")
    print(f"  {len(plan.faults)} faults remain: ./scripts/simulate --replay {path}", flush=True)
    for fault in plan.faults:
        print(f"    {short(fault)}", flush=True)


def _summary(verdicts: list[Verdict], wall_s: float, spent_s: float) -> dict[str, object]:
    rows = frozenset().union(*(v.rows for v in verdicts))
    unreached = sorted(
        f"{r.trigger}: {s.value} -> {r.target(s).value}"
        for r in RULES
        for s in r.sources
        if (r.trigger, s.value, r.target(s).value) not in rows
    )
    faults, changes = sum(v.faults for v in verdicts), sum(v.changes for v in verdicts)
    explained = Counter(v.explained for v in verdicts if v.explained)
    return {
        "commit": commit(),
        "seeds": len(verdicts),
        "failed": sorted(v.seed for v in verdicts if v.failure),
        "seeds_per_cpu_second": round(len(verdicts) / spent_s, 2) if spent_s else 0,
        "faults_per_cpu_second": round(faults / spent_s, 1) if spent_s else 0,
        "changes_of_main_per_cpu_second": round(changes / spent_s, 1) if spent_s else 0,
        "cpu_s": round(spent_s, 1),
        "faults": faults,
        "changes_of_main": changes,
        "statements_judged": sum(v.judged for v in verdicts),
        "reads": sum(v.reads for v in verdicts),
        "wall_s": round(wall_s, 1),
        "simulated_s": round(sum(v.ran_s for v in verdicts)),
        "skipped_quiet_s": round(sum(v.skipped_s for v in verdicts)),
        "ledger_events": sum(v.events for v in verdicts),
        "acknowledged_writes": sum(v.acked for v in verdicts),
        "unknown_writes": sum(v.unknown for v in verdicts),
        "losses_admitted": sum(v.losses_admitted for v in verdicts),
        "not_operational_at_the_end_because": dict(explained),
        "rows_never_reached": unreached,
    }


if __name__ == "__main__":
    sys.exit(main())
