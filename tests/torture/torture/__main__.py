"""`./scripts/torture`: breaks clusters of real processes, and looks for every write afterwards.

Exit codes: 0 nothing was found, 1 something was found, 2 wrong words.
"""

import argparse
import json
import math
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from controller.sandbox.world import SandboxOptions
from torture.chapter import Chapter, Tell, run_chapter
from torture.faults import FAULTS, Fault
from torture.report import figures, told

TIMINGS_S = {  # the defaults; all of them grow together, so that their relations hold
    "PROBE_INTERVAL": 0.25,
    "PROBE_TIMEOUT": 1.0,
    "MAIN_GRACE": 2.0,
    "SYNC_GRACE": 3.0,
    "LEASE_DURATION": 5.0,
    "LEASE_RENEW_DEADLINE": 3.5,
    "LEASE_RETRY": 0.5,
    "GATEWAY_SELF_FENCE": 4.0,
    "GATEWAY_BARRIER": 5.0,
    "GATEWAY_CONNECTION_TIMEOUT": 2.0,
}
CHAPTER_ROUNDS = 12  # of one sandbox; then what stands everywhere is looked at, and a fresh one


@frozen
class Task:
    """What is asked for. `end_s`: of the monotonic clock; no round begins after it."""

    options: SandboxOptions
    faults: tuple[Fault, ...]
    seed: int
    rounds: int
    end_s: float
    chapter_rounds: int
    pace_s: float
    keep_over_s: float


def main(words: Sequence[str] | None = None) -> int:
    """See the module."""
    given = parser().parse_args(words)
    began_s = time.monotonic()
    task = _task(given, began_s)

    def tell(text: str) -> None:
        now = time.monotonic() - began_s
        print(f"{now:8.1f} s  {text}", flush=True)

    tell(f"seed {task.seed}; {len(task.faults)} sorts of fault")
    chapters = trio.run(_run, task, tell)
    took_s = time.monotonic() - began_s
    result = figures(chapters, task.seed, task.options.memgraph, took_s)
    result |= {"settings": dict(task.options.env), "pace_s": task.pace_s}
    print("\n".join(told(result)))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if result["verdict"] == "ok" else 1


def parser() -> argparse.ArgumentParser:
    """The words that are understood."""
    made = argparse.ArgumentParser(prog="./scripts/torture", description=(__doc__ or ""))
    add: Any = made.add_argument
    add(
        "--minutes",
        type=float,
        default=None,
        help="no round begins later (default 2, or none when --rounds is given)",
    )
    add("--rounds", type=int, default=None, help="at most so many")
    add("--seed", type=int, default=None, help="the same faults in the same order")
    add("--faults", default="", metavar="LIST", help=f"comma separated: {', '.join(FAULTS)}")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    add("--memgraph", default="", metavar="PATH", help="a real binary in place of the stand-in")
    add("--instances", type=int, default=3)
    add("--controllers", type=int, default=2)
    add("--chapter", type=int, default=CHAPTER_ROUNDS, help="rounds of one sandbox")
    add("--pace", type=float, default=0.2, help="seconds between two operations of a client")
    add(
        "--patience",
        type=float,
        default=1.0,
        help="times so much: every time-out of the controllers, for machines with much else to do",
    )
    add(
        "--keep",
        action="store_true",
        help="logs, history and ledger of every sandbox, not only of those that failed",
    )
    add(
        "--keep-slow",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="the same of sandboxes in which nobody could write for longer than that",
    )
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="of the controllers")
    return made


def _task(given: argparse.Namespace, began_s: float) -> Task:
    names = [name for name in given.faults.split(",") if name]
    if unknown := [name for name in names if name not in FAULTS]:
        parser().error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    minutes = given.minutes if given.minutes is not None or given.rounds is not None else 2.0
    picked = [FAULTS[name] for name in names] or list(FAULTS.values())
    if given.memgraph:
        picked = [fault for fault in picked if not fault.needs_stand_in]
    memgraph = str(Path(given.memgraph).absolute()) if given.memgraph else ""
    env = patient(given.patience) | dict(word.split("=", 1) for word in given.set)
    options = SandboxOptions(given.instances, given.controllers, env=env, memgraph=memgraph)
    return Task(
        options=options,
        faults=tuple(picked),
        seed=given.seed if given.seed is not None else random.SystemRandom().randrange(10**6),
        rounds=given.rounds if given.rounds is not None else sys.maxsize,
        end_s=began_s + (minutes * 60 if minutes is not None else 1e12),
        chapter_rounds=given.chapter,
        pace_s=given.pace,
        keep_over_s=-math.inf if given.keep else given.keep_slow,
    )


def patient(factor: float) -> dict[str, str]:
    """Settings of controllers whose time-outs are so many times the defaults."""
    if factor == 1.0:
        return {}
    return {name: f"{round(value * factor * 1000)}ms" for name, value in TIMINGS_S.items()}


async def _run(task: Task, tell: Tell) -> list[Chapter]:
    """Chapters until rounds or time are used up. A signal ends it with the chapters that are
    finished: the one under way was not looked at."""
    chapters: list[Chapter] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_at_signal, signals, nursery.cancel_scope)
            await _run_chapters(task, tell, chapters)
            nursery.cancel_scope.cancel()
    return chapters


async def _end_at_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


async def _run_chapters(task: Task, tell: Tell, chapters: list[Chapter]) -> None:
    done = 0
    endless = faults_of(task.faults, random.Random(f"{task.seed}/plan"))
    while done < task.rounds and time.monotonic() < task.end_s:
        tell(f"a fresh sandbox, after {done} rounds")
        count = min(task.chapter_rounds, task.rounds - done)
        plan = _some(endless, count, task.end_s)
        seed = task.seed * 1000 + len(chapters)
        chapter = await run_chapter(
            task.options, seed, plan, done, task.pace_s, tell, task.keep_over_s
        )
        chapters.append(chapter)
        done += max(len(chapter.rounds), 1)


def faults_of(faults: Sequence[Fault], dice: random.Random) -> Iterator[Fault]:
    """Every fault once in a random order, then all of them again in another."""
    while True:
        yield from dice.sample(faults, len(faults))


def _some(faults: Iterator[Fault], count: int, end_s: float) -> Iterator[Fault]:
    for _ in range(count):
        if time.monotonic() >= end_s:
            return
        yield next(faults)


if __name__ == "__main__":
    raise SystemExit(main())
