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
from test_incidents import CONTROLLER, LIMIT_S, ask, triggers, until, write

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
        async with open_sandbox(SandboxOptions()) as sandbox:
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
            await until(lambda: not requests(sandbox), "the request is removed")
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
