"""The Bolt port: one task a connection."""

import trio

from controller.sandbox.memgraph.bolt.session import Session
from controller.sandbox.memgraph.faults import accepted, serve_port
from controller.sandbox.memgraph.instance import Instance


async def serve_bolt(
    instance: Instance,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen on the Bolt address until cancelled.

    Raises:
        OSError: the port is taken.
    """
    flags = instance.flags

    async def open_port() -> list[trio.SocketListener]:
        return await trio.open_tcp_listeners(
            flags.number("bolt_port"), host=flags.text("bolt_address")
        )

    async def serve(stream: trio.SocketStream) -> None:
        link = accepted(stream, instance.faults, instance.tls)
        try:
            await Session(link, instance).serve()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away; nothing is owed to it
        finally:
            link.close_now()

    listeners = await open_port()
    task_status.started()
    await serve_port("bolt", open_port, serve, instance.faults, listeners=listeners)
