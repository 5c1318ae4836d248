"""The preStop hook itself, the shell script that runs in the Memgraph image."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

import controller

HOOK = Path(controller.__file__).parent / "prestop.sh"
SAFE = (200, '{"pod":"memgraph-0","safe":true,"reason":"fine"}')
NOT_YET = (503, '{"pod":"memgraph-0","safe":false,"reason":"memgraph-0 is the main"}')
STRANGER = (404, '{"error":"memgraph-0 is no instance here"}')

pytestmark = pytest.mark.process


@asynccontextmanager
async def answering(*answers: tuple[int, str]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that gives these answers one after the other, the last one for ever; and what it
    was asked."""
    asked: list[str] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            received = b""
            while not received.endswith(b"\r\n\r\n"):  # closing on unread bytes would be a reset
                received += await stream.receive_some()
            request = received.decode()
            status, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(request.split("\r\n")[0])
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n"
            await stream.send_all((head + body).encode())

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        yield f"127.0.0.1:{port}", asked
        nursery.cancel_scope.cancel()


async def run_hook(addresses: str, timeout_s: int = 20, **more: str) -> tuple[int, str]:
    """Exit code and what it said."""
    env = {
        "PATH": os.environ["PATH"],
        "POD_NAME": "memgraph-0",
        "PRESTOP_ADDRESSES": addresses,
        "PRESTOP_TIMEOUT": str(timeout_s),
        **more,
    }
    with trio.fail_after(30):
        done = await trio.run_process(
            ["bash", str(HOOK)], env=env, capture_stderr=True, capture_stdout=True, check=False
        )
    return done.returncode, done.stderr.decode()


async def test_it_waits_until_stopping_is_safe() -> None:
    """It asks for its own pod again and again, and returns when the answer is yes."""
    async with answering(NOT_YET, NOT_YET, SAFE) as (address, asked):
        assert await run_hook(address) == (0, "")
    assert asked == ["GET /api/v1/prestop/memgraph-0 HTTP/1.0"] * 3


async def test_its_time_out_is_honest() -> None:
    """When it is not safe in time, it says why and fails, so that the kubelet records an event."""
    async with answering(NOT_YET) as (address, _):
        code, said = await run_hook(address, timeout_s=1)
    assert code == 1
    assert "still not safe" in said
    assert "memgraph-0 is the main" in said


async def test_a_controller_that_is_gone_is_not_the_last_word() -> None:
    """It asks the others, also while one refuses or says nothing at all (scenario 78)."""
    with socket.socket() as closed, socket.socket() as silent:
        closed.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        gone = [f"127.0.0.1:{s.getsockname()[1]}" for s in (closed, silent)]
        async with answering(SAFE) as (address, _):
            assert await run_hook(" ".join([*gone, address])) == (0, "")
        code, said = await run_hook(gone[0], timeout_s=1)
    assert code == 1
    assert "no controller answered" in said


async def test_a_pod_that_nobody_knows_does_not_wait() -> None:
    """A wrong name would never become safe: it fails at once and shows what the controller said."""
    async with answering(STRANGER) as (address, asked):
        code, said = await run_hook(address)
    assert code == 1
    assert "no instance here" in said
    assert len(asked) == 1


NO_NAME = "a..b:8080"  # known not to exist without asking anybody


async def test_where_nobody_is_left_it_does_not_wait_for_ever() -> None:
    """After an uninstall the name of the controllers does not exist: it gives up, and says so."""
    code, said = await run_hook(NO_NAME, timeout_s=25, PRESTOP_GONE="1")
    assert code == 1
    assert "no controllers for memgraph-0 any more" in said


async def test_a_controller_that_does_not_answer_is_not_uninstalled() -> None:
    """One name that exists, though nobody answers there, keeps it waiting for its whole time."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        there = f"127.0.0.1:{closed.getsockname()[1]}"
        code, said = await run_hook(f"{NO_NAME} {there}", timeout_s=3, PRESTOP_GONE="1")
    assert code == 1
    assert "no controller answered" in said
