"""A StatefulSet with labels of its own, as another chart makes it, led by real controllers; the
database and Kubernetes are stand-ins."""

import pytest
import trio
from test_incidents import CONTROLLER, LIMIT_S, ask, triggers, write

from controller.sandbox import objects
from controller.sandbox.world import SandboxOptions, open_sandbox

pytestmark = pytest.mark.process

OURS = objects._labels  # exchanged below: the sandbox makes pods with our own labels
THEIRS = {"app.kubernetes.io/name": "memgraph", "app.kubernetes.io/instance": "theirs"}


async def test_an_attached_statefulset_fails_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pods carry another release's labels and no component: with POD_SELECTOR they are found,
    begin, and fail over without losing a write; a pod that is replaced is followed to its new UID
    and address (S10)."""
    monkeypatch.setattr(objects, "_labels", lambda c: THEIRS if c == "database" else OURS(c))
    options = SandboxOptions(env={"POD_SELECTOR": "app.kubernetes.io/instance=theirs"})
    with trio.fail_after(3 * LIMIT_S):
        async with open_sandbox(options) as sandbox:
            await sandbox.wait_whole(90)
            await write(sandbox, CONTROLLER, 1)
            main = sandbox.noted("main")
            await sandbox.force_delete(main)
            await write(sandbox, CONTROLLER, 2)
            await sandbox.wait_whole(90)  # by another main, or by the same one if it was back first
            assert "main_lost" in triggers(sandbox)
            for instance in sandbox.instances:
                rows = await ask(sandbox.bolt(instance), "MATCH (n:Write) RETURN n.id")
                assert sorted(row[0] for row in rows) == [1, 2], instance
