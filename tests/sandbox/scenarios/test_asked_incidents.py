"""What people ask for by the real command line, on real processes: controllers are the real
program, the database and Kubernetes are stand-ins."""

import json
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from neo4j.exceptions import DriverError, Neo4jError
from test_incidents import CONTROLLER, LIMIT_S, ask, status, triggers, until

from controller.sandbox import objects
from controller.sandbox.world import Sandbox, SandboxOptions, open_sandbox

pytestmark = pytest.mark.process


async def command(sandbox: Sandbox, *words: str) -> tuple[int, dict[str, Any]]:
    """A command with the sandbox's kubeconfig, as a user would; exit code and -o json."""
    given = [*words, "--kubeconfig", str(sandbox.kubeconfig), "-o", "json"]
    done = await trio.run_process(
        [sys.executable, "-m", "controller.cli", *given],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    print(words, done.returncode, done.stdout.decode(), done.stderr.decode())
    return done.returncode, json.loads(done.stdout or b"{}")


def entries(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The ledger."""
    lines = sandbox.ledger()
    return [json.loads(lines[key]) for key in sorted(lines)]


@asynccontextmanager
async def told(options: SandboxOptions) -> AsyncIterator[Sandbox]:
    """A sandbox whose whole history is printed when the test fails."""
    async with open_sandbox(options) as sandbox:
        try:
            yield sandbox
        finally:
            for e in entries(sandbox):
                print(e["seq"], e["at"], e["on"], e["to"], e["main"], e["why"], e["data"])


@asynccontextmanager
async def writing(sandbox: Sandbox) -> AsyncIterator[list[int]]:
    """A client that writes on and on; the list of what was acknowledged grows."""
    acked: list[int] = []

    async def run() -> None:
        number = 100
        while True:
            number += 1
            try:
                await ask(sandbox.gateway(CONTROLLER), "CREATE (:Write {id: $id})", id=number)
            except (Neo4jError, DriverError, OSError):
                await trio.sleep(0.02)
            else:
                acked.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield acked
        nursery.cancel_scope.cancel()


async def present(sandbox: Sandbox, instance: str) -> set[int]:
    """The writes that stand on an instance, read from itself."""
    rows = await ask(sandbox.bolt(instance), "MATCH (n:Write) RETURN n.id")
    return {row[0] for row in rows}


async def test_a_switchover_loses_nothing_and_the_ledger_tells_who_and_why() -> None:
    """Under a writing client the main is handed over by one command that waits for it; every
    acknowledged write stands on every instance; the entry names author and reason; the request is
    removed. One that cannot be is refused with the reason and exit code 1."""
    with trio.fail_after(LIMIT_S):
        async with told(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(40)
            async with writing(sandbox) as acked:
                await until(lambda: len(acked) > 5, "writes")
                words = ("--reason", "drain node-a", "--author", "alice")
                code, said = await command(sandbox, "switchover", "--to", "memgraph-1", *words)
                assert (code, said["verdict"], said["main"]) == (0, "done", "memgraph-1")
                before = len(acked)
                await until(lambda: len(acked) > before + 5, "writes afterwards")
            (granted,) = [e for e in entries(sandbox) if e["data"].get("request") == said["id"]]
            assert granted["on"] == "switchover_started"
            assert "alice" in granted["why"]
            assert "drain node-a" in granted["why"]
            while await trio.to_thread.run_sync(requests, sandbox):
                await trio.sleep(0.05)  # until the entry is removed
            code, said = await command(sandbox, "switchover", "--to", "memgraph-1")
            assert (code, said["verdict"]) == (1, "refused")
            assert "memgraph-1 is the main already" in said["why"]
            code, said = await command(sandbox, "switchover", "--to", "memgraph-2")
            assert (code, said["verdict"]) == (1, "refused")
            assert "sync" in said["why"]
            await sandbox.wait_whole(40)
            assert "main_lost" not in triggers(sandbox)
            for instance in sandbox.instances:
                assert set(acked) <= await present(sandbox, instance), instance


def requests(sandbox: Sandbox) -> dict[str, str]:
    """What stands in the ConfigMap of requests."""
    path = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps/{objects.RELEASE}-requests"
    with urllib.request.urlopen(sandbox.api_url + path, timeout=5) as answer:
        return dict(json.load(answer).get("data") or {})


async def silent_for(sandbox: Sandbox, instance: str, length_s: float) -> None:
    """Until the leader has had no answer of the instance for so long."""
    while True:
        said = await trio.to_thread.run_sync(status, sandbox, sandbox.leader())
        (seen,) = [i for i in said["instances"] if i["name"] == instance]
        if seen["answer"]["age_s"] > length_s:
            return
        await trio.sleep(0.1)


async def test_observed_and_paused_nothing_is_done_until_it_is_over() -> None:
    """While observing, a hung main is recorded as what would have been done, once, and nothing is
    done; `observe off` and it is failed over. While paused, a hung main stays the main until
    `resume`; status and health say by whom and why. Writes acknowledged before stand everywhere."""
    with trio.fail_after(2 * LIMIT_S):
        async with told(SandboxOptions()) as sandbox:
            await sandbox.wait_whole(40)
            async with writing(sandbox) as acked:
                await until(lambda: len(acked) > 5, "writes")
            code, _ = await command(sandbox, "observe", "on", "--reason", "first week")
            assert code == 0
            sandbox.stop("memgraph-0")
            await until(lambda: "would_have" in triggers(sandbox), "what would have been done")
            (would,) = [e for e in entries(sandbox) if e["on"] == "would_have"]
            assert would["data"] == {"trigger": "main_lost", "candidate": "memgraph-1"}
            await silent_for(sandbox, "memgraph-0", 6.0)
            assert triggers(sandbox)[-1] == "would_have"
            assert sandbox.noted("main") == "memgraph-0"
            code, _ = await command(sandbox, "observe", "off")
            assert code == 0
            await until(lambda: sandbox.noted("main") == "memgraph-1", "a failover")
            sandbox.cont("memgraph-0")
            await sandbox.wait_whole(60)
            begun = len(triggers(sandbox))
            code, _ = await command(sandbox, "pause", "--for", "10m", "--reason", "a backup")
            assert code == 0
            sandbox.stop("memgraph-1")
            await silent_for(sandbox, "memgraph-1", 6.0)
            assert triggers(sandbox)[begun:] == ["paused"]
            said = await trio.to_thread.run_sync(status, sandbox, sandbox.leader())
            assert said["asked"]["pause"]["reason"] == "a backup"
            assert any("a backup" in problem for problem in said["problems"])
            code, said = await command(sandbox, "switchover")
            assert (code, said["verdict"]) == (1, "refused")
            assert "resume first" in said["why"]
            code, _ = await command(sandbox, "resume")
            assert code == 0
            await until(lambda: sandbox.noted("main") == "memgraph-0", "a failover")
            sandbox.cont("memgraph-1")
            await sandbox.wait_whole(60)
            for instance in sandbox.instances:
                assert set(acked) <= await present(sandbox, instance), instance


async def test_what_a_reset_has_set_aside_is_removed_in_the_end() -> None:
    """S12: `reinit` ends when the instance serves readers again; its old data lie beside the new
    ones until DIVERGED_KEEP is over and the cluster is whole, are told to be released then, and are
    gone after the instance's next start, and no sooner."""
    options = SandboxOptions(env={"DIVERGED_KEEP": "3s"})
    with trio.fail_after(2 * LIMIT_S):
        async with told(options) as sandbox:
            await sandbox.wait_whole(40)
            await ask(sandbox.gateway(CONTROLLER), "CREATE (:Write {id: 1})")
            code, said = await command(sandbox, "reinit", "memgraph-2")
            assert (code, said["verdict"]) == (0, "done")
            assert await present(sandbox, "memgraph-2") == {1}
            await until(lambda: "copy_released" in triggers(sandbox), "the end of a copy")
            _, kept = await command(sandbox, "diverged")
            assert [(c["instance"], c["kept"]) for c in kept] == [  # type: ignore[index]
                ("memgraph-2", "until the next start")
            ]
            await sandbox.force_delete("memgraph-2")
            await sandbox.wait_whole(60)
            assert await command(sandbox, "diverged") == (0, [])
            assert await present(sandbox, "memgraph-2") == {1}
