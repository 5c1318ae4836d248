"""The faults, by name. Each is a plain function of a world: it tells whom it hits, does it, and has
undone it when it returns.

What a newcomer gets wrong: `several` is not a fault of its own, it is two or three of these at
once; a lost disk is dealt only where another copy of everything exists by the ledger, for else the
loss would be ours and not the product's.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import trio
from attrs import frozen

from controller.sandbox.links import LinkRefused
from torture import acts, people
from torture.world import CANNOT, World


@frozen
class Fault:
    """One sort of fault. `may_meet`: it can be one of `several`; `needs_stand_in`: a real database
    cannot be told to do it."""

    name: str
    what: str
    do: Callable[[World], Awaitable[None]]
    may_meet: bool = True
    needs_stand_in: bool = False


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
        *(Fault(f"{r}-killed", f"SIGKILL of the {r}", _of(acts.kill, r)) for r in ROLES),
        *(Fault(f"{r}-hung", f"SIGSTOP of the {r} for a while", _of(acts.hang, r)) for r in ROLES),
        *(
            Fault(f"{r}-slow", f"the {r} answers late", _of(acts.slow, r), True, True)
            for r in ROLES
        ),
        *(Fault(f"{r}-force-deleted", "grace 0", _of(acts.force_delete, r)) for r in ROLES),
        *(Fault(f"{r}-deleted", "graceful, with its hook", _of(acts.delete, r)) for r in ROLES),
        *(
            Fault(f"{r}-cut-off", "silence from and to everybody", _of(acts.cut_off, r))
            for r in ROLES
        ),
        *(
            Fault(f"{r}-lost-disk", "a new, empty volume", _of(acts.lose_disk, r), False)
            for r in ROLES
        ),
        Fault("main-sync-cut", "no link between the two", _of(acts.cut_between, "main", "sync")),
        Fault("main-async-cut", "no link between the two", _of(acts.cut_between, "main", "async")),
        Fault("sync-async-cut", "no link between the two", _of(acts.cut_between, "sync", "async")),
        Fault(
            "one-way-cut",
            "one instance hears or is heard",
            _of(acts.cut_one_way, "any"),
            True,
            True,
        ),
        Fault(
            "main-cut-from-controllers",
            "its replicas still reach it",
            _of(acts.cut_from_controllers, "main"),
            True,
            True,
        ),
        *(
            Fault(f"{r}-killed", f"SIGKILL of the {r}", _of(acts.kill_controller, r))
            for r in ("leader", "standby")
        ),
        *(
            Fault(f"{r}-hung", f"SIGSTOP of the {r} for a while", _of(acts.hang_controller, r))
            for r in ("leader", "standby")
        ),
        Fault("leader-deleted", "graceful", _of(acts.delete_controller, "leader")),
        Fault("leader-cut-off", "from the API server", _of(acts.cut_controller_off, "leader")),
        Fault("standby-cut-off", "from the API server", _of(acts.cut_controller_off, "standby")),
        Fault("api-down", "for everybody, for a while", acts.api_down),
        Fault("api-slow", "every answer late", acts.api_slow),
        Fault("leader-lease-deleted", "by a person", _of(acts.delete_lease, "leader")),
        Fault("gateway-lease-deleted", "by a person", _of(acts.delete_lease, "gateway")),
        Fault("ledger-edited", "by a person", people.edit_ledger, False),
        Fault(
            "rolling-restart",
            "kubectl rollout restart of Memgraph",
            people.restart_instances,
            False,
        ),
        Fault("controllers-restarted", "one after the other", people.restart_controllers, False),
        Fault("switchover", "by command", people.switch_over),
        Fault("pause", "by command, with a fault in it", people.pause, False),
        Fault("several", "two or three at once", several, False),
    )
}
