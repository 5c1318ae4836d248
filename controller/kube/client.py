"""How to reach the API server, and the client that does; the heavy imports happen in here, late.

Promise: entering `open_client` is the only thing that imports the Kubernetes client (58 MB, up to
half a second), so commands that need no API server never pay for it. What a newcomer gets wrong:
the typed API classes (`CoreV1Api` and the like) cost another 26 MB and are never touched.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import frozen

from .transport import Transport

CLOSE_TIMEOUT_S = 2.0  # closing sends at most a TLS goodbye


@frozen
class ClientConfig:
    """Where the API server is and who we are.

    Args:
        kubeconfig: Path(s) as in $KUBECONFIG; "" means the pod's own service account, or, outside
            of a cluster, $KUBECONFIG or ~/.kube/config.
        context: A context of the kubeconfig; "" is its current one.
    """

    kubeconfig: str = ""
    context: str = ""


@asynccontextmanager
async def open_client(config: ClientConfig) -> AsyncIterator[Transport]:
    """A transport that works inside the block; needs an open trio-asyncio loop around it.

    Tokens that expire are read again on the way (service account, exec plugins, token files).

    Raises:
        KubeUnavailable: There is no usable configuration.

    Cancellation: connections are closed; users of the transport have to be cancelled before.
    """
    from .aio import AioTransport  # late: see the head of this module

    transport = await AioTransport.connect(config.kubeconfig, config.context)
    try:
        yield transport
    finally:
        with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await transport.aclose()
