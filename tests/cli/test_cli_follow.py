"""history --follow: what is appended is printed once, whatever the API server does meanwhile."""

import threading
from functools import partial

import pytest
import trio
import web_picture as p
from cli_world import World

from controller.cli.exits import FAILED, NOT_FOUND, OK, Problem
from controller.cli.history import Follower, follow_history
from controller.cli.reading import Release, Target, find_release
from controller.sandbox.apiserver.faults import Rule


class OnlyOnce(threading.Event):
    """Set by the first wait for it."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


async def release_of(world: World) -> Release:
    target = Target(kubeconfig=str(world.kubeconfig))
    return await trio.to_thread.run_sync(find_release, target)


def part(count: int) -> dict[str, str]:
    return dict(list(p.history().data.items())[:count])


async def look(follower: Follower) -> None:
    await trio.to_thread.run_sync(follower.look)


async def test_each_entry_is_printed_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What was shown is not shown again; what comes later stands under the same header."""
    world.write_ledger(part(3))
    follower = Follower(await release_of(world), 1, "table")
    await look(follower)
    await look(follower)
    world.write_ledger(part(5))
    await look(follower)
    head, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "3", "4", "5"]
    assert [line.index("because") for line in lines] == [head.index("WHY")] * 4


async def test_an_outage_is_told_once_and_waited_for(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line when the API server goes, none while it is away, and then it goes on."""
    world.write_ledger(part(3))
    follower = Follower(await release_of(world), 0, "json")
    await look(follower)
    world.faults.add(Rule("fail", resource="configmaps", status=503, count=2))
    await look(follower)
    await look(follower)
    assert follower.told
    world.write_ledger(part(4))
    await look(follower)
    assert follower.told == ""
    captured = capsys.readouterr()
    assert captured.err.count("!!") == 1
    assert len(captured.out.splitlines()) == 4


async def test_a_cut_tail_is_noticed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A chain alone cannot show that its end is gone; who has seen it can."""
    follower = Follower(await release_of(world), 0, "table")
    await look(follower)
    world.write_ledger(part(4))
    await look(follower)
    assert "does not go on from entry 6" in capsys.readouterr().err


async def test_following_ends_when_told_and_fails_at_once_without_a_ledger(world: World) -> None:
    """The exit code is that of the last reading; nothing to read at the beginning is an error."""
    release = await release_of(world)
    run = partial(follow_history, release, 0, "json", OnlyOnce(), 60.0)
    codes = [await trio.to_thread.run_sync(run)]
    assert codes == [OK]
    world.faults.add(Rule("fail", resource="configmaps", status=404, count=None))
    with pytest.raises(Problem) as caught:
        await trio.to_thread.run_sync(
            partial(follow_history, release, 0, "json", threading.Event(), 0.01)
        )
    assert caught.value.exit_code == NOT_FOUND != FAILED
