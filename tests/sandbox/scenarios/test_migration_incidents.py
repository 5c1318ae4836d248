"""Coming from a Memgraph without failover, as docs/migration.md says it: the controllers are the
real program, the database and Kubernetes are stand-ins."""

import json

import pytest
import trio
from test_incidents import CONTROLLER, ask, promote_by_hand, triggers, until, write

from controller.sandbox.world import SandboxOptions, open_sandbox

pytestmark = pytest.mark.process

LIMIT_S = 270.0


async def test_one_volume_with_data_waits_for_a_person_and_is_adopted() -> None:
    """An instance has data and starts as a replica (boot guard), the others are empty: nobody is
    appointed, and the ledger says what to do; once a person makes it MAIN it is adopted, the others
    copy from it, and nothing is lost (scenario 18)."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions(waits=True)) as sandbox:
            await until(sandbox.pods_ready, "instances")
            await promote_by_hand(sandbox, "memgraph-0", 5)
            uid = sandbox.uid("memgraph-0")
            await sandbox.force_delete("memgraph-0")
            await until(lambda: sandbox.uid("memgraph-0") not in ("", uid), "a restart")
            await until(sandbox.pods_ready, "instances")
            await sandbox.start_controllers()
            await until(lambda: "bootstrap_refused" in triggers(sandbox), "a refusal")
            lines = [json.loads(x) for x in sandbox.ledger().values()]
            why = " ".join(x["why"] for x in lines if x["on"] == "bootstrap_refused")
            assert "0 mains" in why
            assert "memgraph-0 replica with data" in why
            assert "main_appointed" not in triggers(sandbox)
            await ask(sandbox.bolt("memgraph-0"), "SET REPLICATION ROLE TO MAIN")
            await sandbox.wait_whole(120)
            assert "cluster_adopted" in triggers(sandbox)
            assert sandbox.noted("main") == "memgraph-0"
            await write(sandbox, CONTROLLER, 6)
            await sandbox.wait_whole(60)
            for instance in sandbox.instances:
                rows = await ask(sandbox.bolt(instance), "MATCH (n) RETURN count(n)")
                assert rows == [[6]], instance
