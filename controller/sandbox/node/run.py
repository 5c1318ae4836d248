"""Puts the node together and runs it.

Promise: `run_node` returns only when it is cancelled; by then no process that it started is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import trio
from attrs import field, frozen

from ..kubelet.kubelet import Kubelet, follow_pods
from ..kubelet.pod import Settings
from .boxes import BoxRuntime, may_change_users
from .directory import Directory
from .http_api import HttpApi
from .http_client import client_of_kubeconfig
from .images import Images
from .name_server import serve_names
from .scheduler import Scheduler
from .service_relay import ServiceRelay
from .volumes import Volumes

GATEWAY = "10.200.0.1"  # of network.sh: what pods reach this process by
ADDRESSES_MAX = 60_000
FIRST_NUMBER = 10
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@frozen
class NodeOptions:
    """What kind of node.

    Args:
        kubeconfig: of a user who may do everything.
        root: a directory for volumes and logs, made if need be.
        nodes: names of the nodes that this process is.
        checkouts: see `Images`.
        token_period_s: tokens of service accounts are replaced at least so often.
        volume_period_s: ConfigMaps and Secrets in volumes are looked at so often; a kubelet takes
            a minute.
        restart_delay_s: between the end of a container and its next start.
    """

    kubeconfig: Path
    root: Path
    nodes: tuple[str, ...] = ("node-0", "node-1", "node-2")
    checkouts: Mapping[str, Path] = field(factory=dict)
    token_period_s: float = 3600.0
    volume_period_s: float = 2.0
    restart_delay_s: float = 1.0


class FreshAddresses:
    """A new address for each pod incarnation, as in a real cluster."""

    def __init__(self) -> None:
        self._number = FIRST_NUMBER

    def __call__(self, pod_name: str) -> str:
        """Raises OverflowError when all have been used."""
        self._number += 1
        if self._number > ADDRESSES_MAX:
            raise OverflowError("no pod address is left")
        return f"10.200.{self._number // 250}.{self._number % 250 + 1}"


async def run_node(
    options: NodeOptions, *, task_status: trio.TaskStatus[Kubelet] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run every pod of the cluster until cancelled.

    Raises OSError, KeyError, ValueError: the kubeconfig or the network is not there.
    """
    client = client_of_kubeconfig(options.kubeconfig)
    api = HttpApi(client)
    owner = may_change_users()
    volumes = Volumes(api, options.root, options.token_period_s, owner=owner)
    images = Images(options.checkouts)
    runtime = BoxRuntime(options.root, volumes, images, GATEWAY)
    directory, scheduler = Directory(api), Scheduler(api, options.nodes)
    server = urlsplit(client.url)
    settings = Settings(
        root=options.root,
        address_of=FreshAddresses(),
        env={
            "PATH": PATH,
            "HOME": "/",  # as a container runtime gives a user without an entry of its own
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
        },
        restart_delay_s=options.restart_delay_s,
        setup_delay_s=0.1,
        probe_period_s=None,
        node_names=options.nodes,
        runtime=runtime,
        choose_node=scheduler.choose,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(directory.run)
        await nursery.start(scheduler.run)
        await nursery.start(serve_names, directory, GATEWAY)
        nursery.start_soon(ServiceRelay(directory).run)
        nursery.start_soon(runtime.refresh_forever, options.volume_period_s)
        await follow_pods(api, settings, task_status=task_status)
