"""The gateway under trio: binds, reports, relays, and leaves nothing behind."""

from functools import partial

import pytest
import trio
from gateway_world import descriptors

from gateway import Gateway, Kind, Limits, Route, Upstream


async def _echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)
    await stream.send_eof()


async def test_relays_until_cancelled() -> None:
    """Run reports where it listens, relays a large echo whole, and closes everything when it is
    cancelled."""
    before = descriptors()
    payload = bytes(range(256)) * 8192
    gateway: Gateway

    def verify(upstream: Upstream) -> None:
        gateway.confirm(upstream, trio.current_time())

    with trio.fail_after(20):
        gateway = Gateway(Kind.RW, Limits(), need_confirmation=verify)
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, _echo, 0, host="127.0.0.1")
            listeners = await nursery.start(serve)
            port = listeners[0].socket.getsockname()[1]
            host, bound = await nursery.start(gateway.run, "127.0.0.1", 0)
            was_listening = gateway.listening
            gateway.serve_until(trio.current_time() + 60)
            gateway.apply(Route(1, (Upstream("memgraph-0", 1, "127.0.0.1", port),), "test"))
            async with await trio.open_tcp_stream(host, bound) as stream:
                nursery.start_soon(_send_and_end, stream, payload)
                got = bytearray()
                async for data in stream:
                    got.extend(data)
            assert got == payload
            nursery.cancel_scope.cancel()
    assert (was_listening, gateway.listening) == (True, False)
    assert dict(gateway.counters.ended) == {"client_closed": 1}
    assert descriptors() == before


async def _send_and_end(stream: trio.SocketStream, payload: bytes) -> None:
    await stream.send_all(payload)
    await stream.send_eof()


async def test_rw_is_fenced_until_told() -> None:
    """A RW gateway to which nobody has given a deadline refuses clients; a RO gateway does not."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            rw = Gateway(Kind.RW, Limits(), need_confirmation=lambda _: None)
            ro = Gateway(Kind.RO, Limits(), need_confirmation=lambda _: None)
            for gateway in (rw, ro):
                host, port = await nursery.start(gateway.run, "127.0.0.1", 0)
                async with await trio.open_tcp_stream(host, port) as stream:
                    if gateway is rw:
                        assert await stream.receive_some() == b""
                        continue
                    while gateway.counters.held != 1:
                        await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert rw.counters.refused == {"self_fence": 1}
    assert list(ro.counters.refused) in (["shutdown"], ["client_left"])


async def test_stop_accepting_keeps_sessions() -> None:
    """After stop_accepting new clients are turned away by the kernel."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            gateway = Gateway(Kind.RO, Limits(), need_confirmation=lambda _: None)
            host, port = await nursery.start(gateway.run, "127.0.0.1", 0)
            gateway.stop_accepting()
            assert not gateway.listening
            with pytest.raises(OSError):
                await trio.open_tcp_stream(host, port)
            nursery.cancel_scope.cancel()


async def test_bind_failure_leaves_nothing() -> None:
    """An address in use raises OSError and no descriptor stays open."""
    before = descriptors()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    gateway = Gateway(Kind.RO, Limits(), need_confirmation=lambda _: None)
    async with listeners[0]:
        with pytest.raises(OSError):
            await gateway.run("127.0.0.1", port)
    assert descriptors() == before
