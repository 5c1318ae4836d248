"""The HTTP server: hypercorn on trio, for as long as its caller's scope lives."""

import socket
from typing import Any, Protocol

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve

from controller.setting_values import Address
from controller.web.application import application
from controller.web.snapshot import SnapshotSource

log = structlog.get_logger(__name__)

IDLE_TIMEOUT_S = 15.0  # a kept connection without a request
READ_TIMEOUT_S = 3600  # silence of a client that was answered: streams live that long
STALLED_MS = 3000  # who does not read what was sent is cut: hypercorn's sends cannot be cancelled
REQUEST_BYTES_MAX = 16_384  # line and headers


class HasHttpAddress(Protocol):
    """The part of the settings that this room needs."""

    @property
    def http_bind_address(self) -> Address:
        """Where to listen."""


async def serve(
    settings: HasHttpAddress,
    source: SnapshotSource,
    *,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled. Started with the address that it listens on, its port known.

    Raises OSError when the address cannot be listened on.

    Cancellation: listeners and connections are closed at once; nothing here is worth waiting for.
    """
    config, listening = _listen(settings.http_bind_address)
    async with trio.open_nursery() as nursery:
        app: Any = application(source)  # hypercorn's own ASGI types are narrower than starlette's
        await nursery.start(_run, app, config)
        log.info("http_listening", address=str(listening))
        task_status.started(listening)


async def _run(app: Any, config: Config, *, task_status: trio.TaskStatus[list[str]]) -> None:
    await hypercorn_serve(
        app, config, shutdown_trigger=trio.sleep_forever, task_status=task_status, mode="asgi"
    )


def _listen(address: Address) -> tuple[Config, Address]:
    """A configuration whose socket is bound already: hypercorn leaks it when that fails."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.create_server((address.host, address.port), family=family)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)  # accepted ones too
    listening = Address(address.host, bound.getsockname()[1])
    return _config(f"fd://{bound.detach()}"), listening


def _config(bind: str) -> Config:
    config = Config()
    config.bind = [bind]
    config.accesslog = None
    config.errorlog = None
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.graceful_timeout = 0.0
    config.shutdown_timeout = 0.0
    config.keep_alive_timeout = IDLE_TIMEOUT_S
    config.read_timeout = READ_TIMEOUT_S
    config.h11_max_incomplete_size = REQUEST_BYTES_MAX
    return config
