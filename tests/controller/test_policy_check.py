"""Whether the NetworkPolicy is enforced, on sockets of 127.0.0.0/8."""

import socket
from typing import Any

import pytest
import trio
from attrs import evolve

from controller import policy_check
from controller.policy_check import ENFORCED, NOT_ENFORCED, UNKNOWN, PolicyCheck, dial, verdict
from statemachine.ids import Incarnation, Instance, Role
from statemachine.observations import PodFacts, ProbeAnswered
from statemachine.view import InstanceView, Policy, View

M0 = Instance("memgraph-0")


def view(ip: str, *, is_answering: bool = True) -> View:
    """One instance."""
    answer = ProbeAnswered(M0, 0.0, 0.0, Incarnation(1), Role.MAIN, "3.6.1", "u", ())
    seen = InstanceView(M0, PodFacts(M0, "uid", ip), answer if is_answering else None)
    return View(Policy(eligible=(M0,)), instances=(seen,))


async def test_a_connection_proves_that_nothing_is_enforced() -> None:
    """Somebody listens on the forbidden port and we get through."""
    with trio.fail_after(20), socket.create_server(("127.0.0.1", 0)) as listener:
        assert await dial("127.0.0.1", listener.getsockname()[1]) == NOT_ENFORCED


async def test_a_refusal_proves_nothing() -> None:
    """Perhaps nobody listens there."""
    with trio.fail_after(20):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        assert await dial("127.0.0.1", port) == UNKNOWN


async def test_silence_is_enforcement(autojump_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets are dropped: no answer, while another port of the same instance answers."""

    async def silent(host: str, port: int) -> trio.SocketStream:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(policy_check.trio, "open_tcp_stream", silent)
    assert await dial("127.0.0.1", 7444) == ENFORCED


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], UNKNOWN),
        ([UNKNOWN, UNKNOWN], UNKNOWN),
        ([ENFORCED, UNKNOWN], ENFORCED),
        ([ENFORCED, NOT_ENFORCED], NOT_ENFORCED),
    ],
)
def test_one_way_past_it_is_enough(found: list[str], expected: str) -> None:
    """The worst finding counts; without any there is none."""
    assert verdict(found) == expected


async def test_only_instances_that_answer_are_tried(nursery: trio.Nursery) -> None:
    """Silence of an instance that is silent everywhere would look like enforcement."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, shown = listener.getsockname()[1], [view("127.0.0.1", is_answering=False)]
        check = PolicyCheck(port, lambda: shown[0])
        assert check._hosts() == ()
        shown[0] = evolve(view("127.0.0.1"), now_s=0.5)
        nursery.start_soon(check.run)
        with trio.fail_after(20):
            while check.state != NOT_ENFORCED:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
