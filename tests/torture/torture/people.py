"""What people do: edit the ledger by hand, restart things, and use the command line."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import trio

from controller.sandbox import objects
from torture.acts import hang, kill
from torture.world import World

CONFIG_MAPS = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"
LEDGER = f"{CONFIG_MAPS}/{objects.RELEASE}-ledger"
STATEFULSET = f"/apis/apps/v1/namespaces/{objects.NAMESPACE}/statefulsets/{objects.STATEFULSET}"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
ROLLED_S = 300.0
REPAIRED_S = 60.0


# -- the ledger


async def edit_ledger(world: World) -> None:
    """A hand edit; over once the stored lines are again those that controllers wrote."""
    world.ledger.look(world.sandbox.ledger())
    world.ledger.is_edited = True
    try:
        how = await _edit(world)
        world.tell(f"somebody edits the ledger: {how}")
        with trio.fail_after(REPAIRED_S):
            while not _is_repaired(world):
                await trio.sleep(0.05)
        world.tell("the ledger is as it was")
    finally:
        world.ledger.is_edited = False


async def _edit(world: World) -> str:
    stored = await world.api("GET", LEDGER)
    data, keys = stored["data"], sorted(filter(str.isdecimal, stored["data"]))
    how = world.dice.choice(("text", "cut", "drop", "delete"))
    if how == "delete":
        await world.api("DELETE", LEDGER)
        return "all of it is deleted"
    if how == "text":
        key = world.dice.choice(keys[:-1])
        data[key] = data[key].replace('"why":"', '"why":"not ', 1)
        did = f"entry {key} says something else"
    elif how == "cut":
        for key in keys[-2:]:
            del data[key]
        did = f"the last entries from {keys[-2]} on are cut off"
    else:
        key = world.dice.choice(keys[1:-1])
        del data[key]
        did = f"entry {key} is removed"
    await world.api("PUT", LEDGER, stored)
    return did


def _is_repaired(world: World) -> bool:
    stored, known = world.sandbox.ledger(), world.ledger.lines
    first = min(filter(str.isdecimal, stored), default="9")
    wanted = {key: line for key, line in known.items() if key >= first}
    return bool(wanted) and all(stored.get(key) == line for key, line in wanted.items())


# -- what people do


async def restart_instances(world: World) -> None:
    """`kubectl rollout restart`; over when every pod is of the new revision and Ready."""
    workload = await world.api("GET", STATEFULSET)
    annotations = workload["spec"]["template"]["metadata"].setdefault("annotations", {})
    annotations[RESTARTED_AT] = f"{trio.current_time():.3f}"
    world.tell("rolling restart of the instances")
    await world.api("PUT", STATEFULSET, workload)
    count = world.sandbox.options.instances
    with trio.fail_after(ROLLED_S):
        while True:
            found = await world.api("GET", STATEFULSET)
            status: Mapping[str, Any] = found.get("status") or {}
            is_seen = status.get("observedGeneration") == found["metadata"]["generation"]
            if is_seen and status["updatedReplicas"] == status["readyReplicas"] == count:
                return
            await trio.sleep(0.1)


async def restart_controllers(world: World) -> None:
    for pod in world.sandbox.controllers:
        world.tell(f"graceful deletion of pod {pod}")
        await world.until_replaced(pod, partial(world.sandbox.delete, pod))
        with trio.fail_after(ROLLED_S):
            while not world.sandbox.controllers_ready():
                await trio.sleep(0.1)


async def switch_over(world: World) -> None:
    world.tell(await world.command("switchover", "--reason=rehearsal", "--timeout=30s"))


async def pause(world: World) -> None:
    """Paused, the main is killed or hangs for a moment; then people resume."""
    world.tell(await world.command("pause", "--for=2m", "--reason=rehearsal"))
    try:
        await world.dice.choice((kill, hang))(world, "main")
        await world.wait_about(0.0, 3.0)
    finally:
        with trio.CancelScope(shield=True):
            world.tell(await world.command("resume"))
