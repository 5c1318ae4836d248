"""The faults, by name. Each is a plain function of a world: it tells whom it hits, does it, and has
undone it when it returns.

What a newcomer gets wrong: `several` is not a fault of its own, it is two or three of these at
once; a lost disk is dealt only where another copy of everything exists by the ledger, for else the
loss would be ours and not the product's.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import trio
from attrs import frozen

from controller.sandbox import objects
from controller.sandbox.links import LinkRefused
from controller.sandbox.world import NoSuchTarget
from torture.world import CANNOT, EVERY_CONTROLLER, LEASES, World

CONFIG_MAPS = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"
LEDGER = f"{CONFIG_MAPS}/{objects.RELEASE}-ledger"
STATEFULSET = f"/apis/apps/v1/namespaces/{objects.NAMESPACE}/statefulsets/{objects.STATEFULSET}"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
ROLLED_S = 300.0
REPAIRED_S = 60.0


@frozen
class Fault:
    """One sort of fault. `may_meet`: it can be one of `several`; `needs_stand_in`: a real database
    cannot be told to do it."""

    name: str
    what: str
    do: Callable[[World], Awaitable[None]]
    may_meet: bool = True
    needs_stand_in: bool = False


# -- instances


async def kill(world: World, role: str) -> None:
    target = world.instance(role)
    world.tell(f"SIGKILL of {target}")
    await world.until_replaced(target, lambda: world.sandbox.kill(target))


async def hang(world: World, role: str) -> None:
    target = world.instance(role)
    world.tell(f"SIGSTOP of {target}")
    world.sandbox.stop(target)
    try:
        await world.wait_about(0.5, 12.0)
    finally:
        world.tell(f"SIGCONT of {target}")
        world.sandbox.cont(target)


async def slow(world: World, role: str) -> None:
    target, late_ms = world.instance(role), world.dice.choice((50, 200, 600))
    world.tell(f"each answer of {target} comes {late_ms} ms later")
    await world.order(target, {"do": "slow", "ms": late_ms})
    try:
        await world.wait_about(2.0, 8.0)
    finally:
        with trio.CancelScope(shield=True):
            await world.order(target, {"do": "slow", "ms": 0})


async def delete(world: World, role: str) -> None:
    target = world.instance(role)
    world.tell(f"graceful deletion of pod {target}")
    await world.until_replaced(target, lambda: world.sandbox.delete(target))


async def force_delete(world: World, role: str) -> None:
    target = world.instance(role)
    world.tell(f"deletion of pod {target} with grace 0")
    await world.until_replaced(target, lambda: world.sandbox.force_delete(target))


async def lose_disk(world: World, role: str) -> None:
    target = world.instance(role)
    held = {world.sandbox.noted("main"), *world.sandbox.noted("sync").split(",")} - {"", target}
    if world.sandbox.noted("phase") != "OPERATIONAL" or not held:
        raise NoSuchTarget("the last copy is not taken away")
    world.tell(f"{target} loses its disk")
    await world.until_replaced(target, lambda: world.lose_disk(target))


# -- links


async def cut_off(world: World, role: str) -> None:
    target = world.instance(role)
    world.tell(f"{target} is cut off from everybody")
    await world.sandbox.partition(target)
    await _heal_later(world, target)


async def cut_between(world: World, role: str, other: str) -> None:
    target, peer = world.instance(role), world.instance(other)
    world.tell(f"the link between {target} and {peer} is cut")
    await world.sandbox.partition(target, peer)
    await _heal_later(world, target)


async def cut_one_way(world: World, role: str) -> None:
    target, how = world.instance(role), world.dice.choice(("deaf", "mute"))
    peer = world.dice.choice([i for i in world.sandbox.instances if i != target])
    world.tell(f"{target} is {how} to {peer}")
    await world.order(target, {"do": how, "peers": [world.sandbox.address_of(peer)]})
    await _heal_later(world, target)


async def cut_from_controllers(world: World, role: str) -> None:
    target = world.instance(role)
    world.tell(f"{target} is cut off from every controller pod, not from the other instances")
    await world.order(target, {"do": "partition", "peers": [EVERY_CONTROLLER]})
    await _heal_later(world, target)


async def _heal_later(world: World, target: str) -> None:
    try:
        await world.wait_about(0.5, 12.0)
    finally:
        world.tell(f"the links of {target} are whole")
        with trio.CancelScope(shield=True):
            await world.sandbox.heal(target)


# -- controllers and the API server


async def kill_controller(world: World, role: str) -> None:
    target = world.controller(role)
    world.tell(f"SIGKILL of {target}, {role}")
    await world.until_replaced(target, lambda: world.sandbox.kill(target))


async def hang_controller(world: World, role: str) -> None:
    target = world.controller(role)
    world.tell(f"SIGSTOP of {target}, {role}")
    world.sandbox.stop(target)
    try:
        await world.wait_about(0.5, 15.0)
    finally:
        world.tell(f"SIGCONT of {target}")
        world.sandbox.cont(target)


async def delete_controller(world: World, role: str) -> None:
    target = world.controller(role)
    world.tell(f"graceful deletion of pod {target}, {role}")
    await world.until_replaced(target, lambda: world.sandbox.delete(target))


async def cut_controller_off(world: World, role: str) -> None:
    target = world.controller(role)
    world.tell(f"{target}, {role}, is cut off from the API server")
    await world.sandbox.partition(target)
    await _heal_later(world, target)


async def api_down(world: World) -> None:
    world.tell("the API server is down")
    world.sandbox.api_down()
    try:
        await world.wait_about(1.0, 15.0)
    finally:
        world.tell("the API server is back")
        world.sandbox.api_up()


async def api_slow(world: World) -> None:
    late_s = world.dice.choice((0.1, 0.5, 1.5))
    world.tell(f"each answer of the API server comes {late_s} s later")
    await world.make_slow(late_s)
    try:
        await world.wait_about(2.0, 10.0)
    finally:
        with trio.CancelScope(shield=True):
            await world.make_well()


async def delete_lease(world: World, which: str) -> None:
    leader = f"{objects.RELEASE}-leader"
    others = sorted(set(await world.leases()) - {leader})
    target = leader if which == "leader" else world.dice.choice(others)
    world.tell(f"Lease {target} is deleted")
    await world.api("DELETE", f"{LEASES}/{target}")
    with trio.fail_after(REPAIRED_S):
        while target not in await world.leases():
            await trio.sleep(0.2)


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


async def several(world: World) -> None:
    """Two or three faults, each beginning at a moment of its own."""
    able = [
        f for f in FAULTS.values() if f.may_meet and (world.is_stand_in or not f.needs_stand_in)
    ]
    picked = world.dice.sample(able, world.dice.choice((2, 2, 3)))
    async with trio.open_nursery() as nursery:
        for fault in picked:
            nursery.start_soon(_one_of_several, world, fault, world.dice.uniform(0.0, 3.0))


async def _one_of_several(world: World, fault: Fault, after_s: float) -> None:
    await trio.sleep(after_s)
    await attempt(world, fault)


async def attempt(world: World, fault: Fault) -> bool:
    """Do it; False, and told, when it could not be done at this moment."""
    try:
        await fault.do(world)
    except CANNOT as error:
        if isinstance(error, trio.TooSlowError) and not isinstance(error, LinkRefused):
            world.tell(f"{fault.name} was not over in time")
        else:
            world.tell(f"{fault.name} could not be done (wholly): {error}")
        return False
    return True


def _of(
    function: Callable[..., Awaitable[None]], *words: str
) -> Callable[[World], Awaitable[None]]:
    async def do(world: World) -> None:
        await partial(function, world, *words)()

    return do


ROLES = ("main", "sync", "async")
FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        *(Fault(f"{r}-killed", f"SIGKILL of the {r}", _of(kill, r)) for r in ROLES),
        *(Fault(f"{r}-hung", f"SIGSTOP of the {r} for a while", _of(hang, r)) for r in ROLES),
        *(Fault(f"{r}-slow", f"the {r} answers late", _of(slow, r), True, True) for r in ROLES),
        *(Fault(f"{r}-force-deleted", "grace 0", _of(force_delete, r)) for r in ROLES),
        *(Fault(f"{r}-deleted", "graceful, with its hook", _of(delete, r)) for r in ROLES),
        *(Fault(f"{r}-cut-off", "silence from and to everybody", _of(cut_off, r)) for r in ROLES),
        *(Fault(f"{r}-lost-disk", "a new, empty volume", _of(lose_disk, r), False) for r in ROLES),
        Fault("main-sync-cut", "no link between the two", _of(cut_between, "main", "sync")),
        Fault("main-async-cut", "no link between the two", _of(cut_between, "main", "async")),
        Fault("sync-async-cut", "no link between the two", _of(cut_between, "sync", "async")),
        Fault("one-way-cut", "one instance hears or is heard", _of(cut_one_way, "any"), True, True),
        Fault(
            "main-cut-from-controllers",
            "its replicas still reach it",
            _of(cut_from_controllers, "main"),
            True,
            True,
        ),
        *(
            Fault(f"{r}-killed", f"SIGKILL of the {r}", _of(kill_controller, r))
            for r in ("leader", "standby")
        ),
        *(
            Fault(f"{r}-hung", f"SIGSTOP of the {r} for a while", _of(hang_controller, r))
            for r in ("leader", "standby")
        ),
        Fault("leader-deleted", "graceful", _of(delete_controller, "leader")),
        Fault("leader-cut-off", "from the API server", _of(cut_controller_off, "leader")),
        Fault("standby-cut-off", "from the API server", _of(cut_controller_off, "standby")),
        Fault("api-down", "for everybody, for a while", api_down),
        Fault("api-slow", "every answer late", api_slow),
        Fault("leader-lease-deleted", "by a person", _of(delete_lease, "leader")),
        Fault("gateway-lease-deleted", "by a person", _of(delete_lease, "gateway")),
        Fault("ledger-edited", "by a person", edit_ledger, False),
        Fault("rolling-restart", "kubectl rollout restart of Memgraph", restart_instances, False),
        Fault("controllers-restarted", "one after the other", restart_controllers, False),
        Fault("switchover", "by command", switch_over),
        Fault("pause", "by command, with a fault in it", pause, False),
        Fault("several", "two or three at once", several, False),
    )
}
