"""A chapter: one sandbox from its first process to the last look at every instance.

Promise: faults end, everything is healed and waited for, clients stop, and then what stands on
every instance is compared with the clients' book. A chapter tells what it found; it never stops at
a loss, and one that does not become whole again in time is a failure of its own.
"""

import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

from controller.sandbox.demo.book import longest_gap
from controller.sandbox.world import Sandbox, SandboxOptions, open_sandbox
from statemachine.codec import LedgerCorrupt
from torture.book import (
    Book,
    Found,
    Loss,
    contradictions,
    differences,
    losses,
    other_problems,
    phantoms,
)
from torture.faults import Fault, attempt
from torture.keeping import keep
from torture.ledger_truth import Change, changes_of, trouble_with
from torture.reading import prepare, read_instance
from torture.watching import Watcher
from torture.world import World

START_S = 300.0
WHOLE_S = 600.0  # on a busy machine; a cluster that is not whole by then is stuck
CALM_S = 0.8
EQUAL_S = 60.0  # an asynchronous replica gets so long for what was written last
CLIENTS_END_S = 30.0
PROGRESS_S = 20.0
READ_S = 30.0
SETS, BANKS, REGISTERS = 2, 1, 2  # clients of each controller pod's read/write gateway

Tell = Callable[[str], None]


@frozen
class Round:
    """One fault and what clients felt. Milliseconds; `ms`: until everything was whole again."""

    number: int
    fault: str
    was_done: bool
    ms: int
    write_gap_ms: int  # nobody could write
    writer_gap_ms: int  # the unluckiest writer
    read_gap_ms: int  # nobody could read
    reader_gap_ms: int  # the unluckiest reader


@define(eq=False)
class Chapter:
    """What one sandbox went through."""

    seed: int
    book: Book
    rounds: list[Round] = field(factory=list)
    changes: list[Change] = field(factory=list)
    triggers: list[str] = field(factory=list)
    losses: list[Loss] = field(factory=list)
    phantoms: list[str] = field(factory=list)
    problems: list[str] = field(factory=list)
    differs: bool = False
    mains_served: int = 0
    looks: int = 0
    kept: str = ""

    @property
    def longest_write_gap_s(self) -> float:
        """Of any round."""
        return max((r.write_gap_ms for r in self.rounds), default=0) / 1000


Plan = Iterator[Fault]


async def run_chapter(
    options: SandboxOptions,
    seed: int,
    plan: Plan,
    first: int,
    pace_s: float,
    tell: Tell,
    keep_over_s: float = math.inf,
) -> Chapter:
    """Everything from start to verdict. `first`: the number of its first round. Logs, history and
    ledger are kept of what failed, and where nobody could write for longer than `keep_over_s`."""
    chapter = Chapter(seed, Book(time.time() - time.monotonic()))
    async with open_sandbox(options) as sandbox:
        watcher = Watcher(sandbox)
        world = World(sandbox, watcher.ledger, random.Random(f"{seed}/faults"), tell)
        try:
            await sandbox.wait_whole(START_S, CALM_S)
            await prepare(sandbox.gateway(sandbox.controllers[0]), START_S)
            await _play(chapter, world, watcher, plan, first, pace_s)
            await _look_at_the_end(chapter, world, watcher)
        except* trio.TooSlowError:
            chapter.problems.append(f"not whole again in time: {_state(sandbox)}")
        _judge_ledger(chapter, watcher)
        if chapter.problems or chapter.longest_write_gap_s > keep_over_s:
            chapter.kept = str(keep(sandbox, chapter.seed, watcher.ledger, chapter.problems))
            tell(f"logs, history and ledger: {chapter.kept}")
        if chapter.problems:
            tell(f"FAILED: {'; '.join(chapter.problems)}")
    return chapter


def _state(sandbox: Sandbox) -> str:
    seen = {what: sandbox.noted(what) for what in ("phase", "main", "sync", "term", "seq")}
    ready = {"instances": sandbox.pods_ready(), "controllers": sandbox.controllers_ready()}
    return f"{seen}, ready: {ready}"


async def _play(
    chapter: Chapter, world: World, watcher: Watcher, plan: Plan, first: int, pace_s: float
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        nursery.start_soon(_tell_progress, chapter, world)
        start = partial(_run_clients, chapter, world.sandbox, pace_s)
        say_round: Callable[[int], Any] = await nursery.start(start)
        for number, fault in enumerate(plan, first):
            await say_round(number)
            await _play_round(chapter, world, fault, number)
        await world.wait_about(0.5, 1.0)
        nursery.cancel_scope.cancel()


async def _tell_progress(chapter: Chapter, world: World) -> None:
    """A line now and then, so that a long wait does not look like a hang."""
    sandbox, book = world.sandbox, chapter.book
    while True:
        await trio.sleep(PROGRESS_S)
        last_s = max((times[-1] for times in book.writes_s.values()), default=0.0)
        ago_s = time.monotonic() - last_s if last_s else 0.0
        world.tell(
            f"    ... {sandbox.noted('phase')}, main {sandbox.noted('main')}, term "
            f"{sandbox.noted('term')}; {len(chapter.rounds)} rounds, {len(book.acked)} writes "
            f"acknowledged, the last one {ago_s:.1f} s ago"
        )


async def _play_round(chapter: Chapter, world: World, fault: Fault, number: int) -> None:
    await world.wait_about(0.2, 0.8)  # ordinary work
    world.tell(f"round {number}: {fault.name}")
    begin = time.monotonic()
    was_done = await attempt(world, fault)
    await world.heal()
    await world.sandbox.wait_whole(WHOLE_S, CALM_S)
    end, book = time.monotonic(), chapter.book
    took_ms = round((end - begin) * 1000)
    writes, reads = felt(book.writes_s, begin, end), felt(book.reads_s, begin, end)
    done = Round(number, fault.name, was_done, took_ms, *writes, *reads)
    chapter.rounds.append(done)
    world.tell(
        f"  whole after {done.ms / 1000:.1f} s; nobody could write for {done.write_gap_ms} ms, the "
        f"unluckiest writer for {done.writer_gap_ms} ms; read {done.read_gap_ms} ms, reader "
        f"{done.reader_gap_ms} ms; {len(book.acked)} writes acknowledged"
    )


def felt(times_s: Mapping[str, list[float]], begin_s: float, end_s: float) -> tuple[int, int]:
    """The longest time, in milliseconds, without a success of anybody, and of the unluckiest of
    these clients."""
    nobody = longest_gap((t for times in times_s.values() for t in times), begin_s, end_s).ms
    each = (longest_gap(times, begin_s, end_s).ms for times in times_s.values())
    return nobody, max(each, default=nobody)


# -- clients


def client_words(sandbox: Sandbox, seed: int, pace_s: float) -> list[str]:
    """The command of the client process: every workload on both gateways of every pod."""
    words = [sys.executable, "-m", "torture.client", f"--seed={seed}", f"--pace={pace_s}"]
    for pod in sandbox.controllers:
        write, read = sandbox.gateway(pod), sandbox.read_gateway(pod)
        jobs = ["set"] * SETS + ["bank"] * BANKS + ["register"] * REGISTERS
        words += [f"--do={job}@{write}" for job in jobs]
        words += [f"--do=audit@{read}", f"--do=intrude@{read}"]
    return [*words, f"--do=audit@{sandbox.gateway(sandbox.controllers[-1])}"]


async def _run_clients(
    chapter: Chapter,
    sandbox: Sandbox,
    pace_s: float,
    task_status: trio.TaskStatus[Callable[[int], Any]],
) -> None:
    """The client process until cancelled; then it ends by itself, with its last outcomes."""
    process = await trio.lowlevel.open_process(
        client_words(sandbox, chapter.seed, pace_s),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    async def say_round(number: int) -> None:
        await stdin.send_all(f"round {number}\n".encode())

    task_status.started(say_round)
    history = sandbox.block.directory / HISTORY
    try:
        await _take_lines(chapter.book, stdout, history)
    finally:
        with trio.move_on_after(CLIENTS_END_S, shield=True):
            await stdin.aclose()
            await _take_lines(chapter.book, stdout, history)
            await process.wait()
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


HISTORY = "history.jsonl"


async def _take_lines(book: Book, stream: trio.abc.ReceiveStream, history: Path) -> None:
    rest = b""
    with history.open("ab") as kept:
        async for data in stream:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                book.take(json.loads(line))
                kept.write(line + b"\n")


# -- the end


async def _look_at_the_end(chapter: Chapter, world: World, watcher: Watcher) -> None:
    sandbox, book = world.sandbox, chapter.book
    await sandbox.wait_whole(WHOLE_S, CALM_S)
    asked_s = time.monotonic()
    found = await _read_until_equal(sandbox)
    watcher.ledger.look(sandbox.ledger())
    main = sandbox.noted("main")
    try:
        chapter.changes = changes_of(watcher.ledger.lines)
    except (LedgerCorrupt, ValueError) as error:
        chapter.problems.append(f"the ledger cannot be read: {error}")
    chapter.losses = losses(book, found[main], chapter.changes)
    unannounced = [loss for loss in chapter.losses if not loss.is_announced]
    if unannounced:
        names = ", ".join(loss.id for loss in unannounced[:5])
        chapter.problems.append(
            f"{len(unannounced)} acknowledged writes are lost, and no verdict says so: {names}"
        )
    chapter.phantoms = phantoms(book, found)
    if chapter.phantoms:
        names = ", ".join(chapter.phantoms[:5])
        chapter.problems.append(f"{len(chapter.phantoms)} refused writes exist: {names}")
    differs = differences(found, main)
    chapter.differs = bool(differs)
    chapter.problems += differs
    chapter.problems += contradictions(book, found, chapter.changes, asked_s)
    chapter.problems += other_problems(book, found)


async def _read_until_equal(sandbox: Sandbox) -> dict[str, Found]:
    """What stands on every instance, once they agree, or as they still differ after a while."""
    give_up_s = trio.current_time() + EQUAL_S
    while True:
        found = {i: await read_instance(sandbox.bolt(i), READ_S) for i in sandbox.instances}
        if len(set(found.values())) == 1 or trio.current_time() > give_up_s:
            return found
        await trio.sleep(0.5)


def _judge_ledger(chapter: Chapter, watcher: Watcher) -> None:
    watcher.ledger.look(watcher.sandbox.ledger())
    chapter.triggers = [entry["on"] for entry in watcher.ledger.entries]
    chapter.problems += watcher.ledger.problems
    if trouble := trouble_with(watcher.ledger.lines, watcher.sandbox.ledger()):
        chapter.problems.append(f"the ledger does not verify: {trouble}")
    chapter.mains_served, chapter.looks = watcher.served.most, watcher.served.looks
    if watcher.served.most > 1:
        chapter.problems.append(f"two mains were served at once {watcher.served.twice[0]}")


def rounds_with_losses(chapters: Sequence[Chapter]) -> set[int]:
    """Numbers of the rounds of which an acknowledged write is lost, announced or not."""
    return {loss.ack.round for chapter in chapters for loss in chapter.losses}
