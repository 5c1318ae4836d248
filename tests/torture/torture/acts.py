"""What can be done to instances, links, controllers and the API server. Each tells whom it hits,
does it, and has undone it when it returns."""

import trio

from controller.sandbox import objects
from controller.sandbox.world import NoSuchTarget
from torture.world import EVERY_CONTROLLER, LEASES, World

REPAIRED_S = 60.0
NOTICED_S = 240.0
NOTICES = ("main_lost", "sync_lost", "renewal_started", "registration_retired")


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
    """Over once the ledger shows that somebody noticed: before that an empty instance may still be
    in the sync set, and a second lost disk would be the last copy, taken away by us."""
    target = world.instance(role)
    held = {world.sandbox.noted("main"), *world.sandbox.noted("sync").split(",")} - {"", target}
    if world.sandbox.noted("phase") != "OPERATIONAL" or not held:
        raise NoSuchTarget("the last copy is not taken away")
    world.tell(f"{target} loses its disk")
    seq = int(world.sandbox.noted("seq"))
    await world.until_replaced(target, lambda: world.lose_disk(target))
    with trio.fail_after(NOTICED_S):
        while not any(e["seq"] > seq and e["on"] in NOTICES for e in world.ledger.entries):
            await trio.sleep(0.1)


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
