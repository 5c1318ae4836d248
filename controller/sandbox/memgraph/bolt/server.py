"""The Bolt port: one task a connection."""

import trio

from controller.sandbox.memgraph.bolt.greeting import Credentials
from controller.sandbox.memgraph.bolt.session import Session
from controller.sandbox.memgraph.faults import accepted
from controller.sandbox.memgraph.instance import Instance


async def serve_bolt(
    instance: Instance,
    credentials: Credentials,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen on the Bolt address until cancelled.

    Raises:
        OSError: the port is taken.
    """
    flags = instance.flags
    listeners = await trio.open_tcp_listeners(
        flags.number("bolt_port"), host=flags.text("bolt_address")
    )

    async def serve(stream: trio.SocketStream) -> None:
        link = accepted(stream, instance.faults)
        try:
            await Session(link, instance, credentials).serve()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away; nothing is owed to it
        finally:
            link.close_now()

    await trio.serve_listeners(serve, listeners, task_status=_Started(task_status))


class _Started:
    """Hides the listeners from a caller that only wants to know when the port is open."""

    def __init__(self, status: trio.TaskStatus[None]) -> None:
        self._status = status

    def started(self, value: object = None) -> None:
        self._status.started()
