"""A torture of two rounds, on real processes: controllers, gateways and the clients' driver are the
real programs; Memgraph and Kubernetes are stand-ins."""

import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import neo4j
import pytest
import trio
from torture import chapter as chapters
from torture.__main__ import faults_of, main, parser, patient
from torture.chapter import Chapter, run_chapter
from torture.faults import FAULTS, Fault
from torture.report import figures, told
from torture.world import World

from controller.sandbox.world import SandboxOptions
from controller.settings import load

PATIENCE = 3.0  # this machine may have much else to do
LIMIT_S = 800.0  # one that is idle needs 25


async def sabotage(world: World) -> None:
    """Somebody deletes an acknowledged write, where everybody copies it from."""
    address = world.sandbox.bolt(world.sandbox.noted("main"))

    def ask(text: str) -> int:
        with (
            neo4j.GraphDatabase.driver(f"bolt://{address}", auth=None) as driver,
            driver.session() as session,
        ):
            return int(session.run(text).single(strict=True)[0])

    while await trio.to_thread.run_sync(ask, "MATCH (n:Write) RETURN count(n)") < 10:
        await trio.sleep(0.1)
    world.tell("a write is deleted behind everybody's back")
    deletion = "MATCH (n:Write {id: 'set0-0'}) DELETE n RETURN 1"
    assert await trio.to_thread.run_sync(ask, deletion) == 1


async def played(*faults: Fault) -> Chapter:
    """One sandbox, these faults."""
    options = SandboxOptions(env=patient(PATIENCE))
    return await run_chapter(options, 1, iter(faults), 0, 0.2, print)


@pytest.mark.process
@pytest.mark.timeout(900)
async def test_a_killed_main_and_a_rolling_restart_lose_nothing() -> None:
    """Under clients of every kind the main is killed (scenario 77) and all instances are restarted
    as `kubectl rollout restart` does (scenarios 64, 65, 81, 107): whatever was acknowledged stands
    on every instance, no refused write exists (scenario 51), registers are linearizable, the sum of
    the accounts was constant for everybody who looked, and the ledger verifies (S4, S13, S14)."""
    with trio.fail_after(LIMIT_S):
        chapter = await played(FAULTS["main-killed"], FAULTS["rolling-restart"])
    assert chapter.problems == []
    assert [r.was_done for r in chapter.rounds] == [True, True]
    assert chapter.book.acked
    assert any(change.is_failover for change in chapter.changes)
    result = figures([chapter], 1, "", 1.0)
    assert (result["verdict"], result["lost"], result["phantoms"]) == ("ok", 0, 0)
    assert "Memgraph" in result["stand_ins"]
    assert "verdict: ok" in told(result)


@pytest.mark.process
@pytest.mark.timeout(900)
async def test_a_lost_write_is_found_and_everything_is_kept() -> None:
    """A write that vanishes from all instances is one that was acknowledged and is lost, and no
    verdict says so: the torture fails, with logs, history and ledger kept."""
    with trio.fail_after(LIMIT_S):
        chapter = await played(Fault("sabotage", "", sabotage))
    result = figures([chapter], 1, "", 1.0)
    assert (result["verdict"], result["lost_unannounced"]) == ("failed", 1)
    assert "1 acknowledged writes are lost, and no verdict says so" in chapter.problems[0]
    (place,) = result["kept"]
    kept = {path.name for path in taken_away(place)}
    assert {"history.jsonl", "ledger.jsonl", "problems.txt", "logs"} <= kept


def taken_away(place: str) -> list[Path]:
    """What was kept; it is removed."""
    found = list(Path(place).iterdir())
    shutil.rmtree(place)
    return found


def test_the_same_seed_deals_the_same_faults() -> None:
    """Every fault comes once before any comes again, in an order that the seed decides."""
    every = list(FAULTS.values())

    def dealt(seed: int) -> list[str]:
        deal = faults_of(every, random.Random(seed))
        return [next(deal).name for _ in range(2 * len(every))]

    assert dealt(1) == dealt(1) != dealt(2)
    assert sorted(dealt(3)[: len(every)]) == sorted(FAULTS)


def test_time_outs_grow_together() -> None:
    """More patience keeps every relation that the settings check."""
    needed = {"POD_NAME": "p", "POD_UID": "u", "POD_IP": "10.0.0.1"}
    named = {"NAMESPACE": "n", "RELEASE_NAME": "r", "STATEFULSET_NAME": "s"}
    settings = load({**needed, **named, **patient(7.0)})
    assert settings.main_grace_s == 14.0
    assert patient(1.0) == {}


def test_what_is_misspelt_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault that is not there would otherwise be a round in which nothing happens."""
    with pytest.raises(SystemExit) as ended:
        main(["--faults", "main-kiled"])
    assert ended.value.code == 2
    assert "no such fault: main-kiled" in capsys.readouterr().err
    assert "--rounds" in parser().format_help()


class Asleep:
    """A sandbox of which nothing moves."""

    controllers: ClassVar = ["controller-0"]

    async def wait_whole(self, *limits: float) -> None:
        """At once."""

    def gateway(self, pod: str) -> str:
        """Nobody listens there."""
        return "127.0.0.1:1"

    def noted(self, what: str) -> str:
        """Of its ledger."""
        return "DEGRADED"

    def pods_ready(self) -> bool:
        """They are not."""
        return False

    controllers_ready = pods_ready

    def ledger(self) -> dict[str, str]:
        """None."""
        return {}


async def test_a_cluster_that_does_not_get_whole_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also when the time is over in the middle of a round, beneath the tasks of clients and
    watches: the chapter says so and keeps everything, and the run goes on."""

    @asynccontextmanager
    async def opened(options: SandboxOptions) -> AsyncIterator[Asleep]:
        yield Asleep()

    async def nothing(*words: object) -> None:
        await trio.lowlevel.checkpoint()

    async def plays(*words: object) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            with trio.fail_after(0):
                await trio.sleep_forever()

    monkeypatch.setattr(chapters, "open_sandbox", opened)
    monkeypatch.setattr(chapters, "prepare", nothing)
    monkeypatch.setattr(chapters, "_play", plays)
    monkeypatch.setattr(chapters, "keep", lambda *words: tmp_path)
    with trio.fail_after(10):
        chapter = await played()
    assert len(chapter.problems) == 1
    assert "not whole again in time" in chapter.problems[0]
    assert "DEGRADED" in chapter.problems[0]
    assert chapter.kept == str(tmp_path)
