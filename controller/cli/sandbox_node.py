"""`memgraph-controller sandbox node`: pods of a real API server as processes of this machine."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import click
import trio

from controller.cli.exits import FAILED, HELP, Problem
from controller.sandbox.node import NodeOptions, run_node
from controller.sandbox.node.http_client import client_of_kubeconfig


def _checkouts(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    pairs = {}
    for value in values:
        tag, sign, path = value.partition("=")
        if not sign or not (Path(path) / "controller").is_dir():
            raise click.BadParameter(f"{value!r} is not TAG=CHECKOUT")
        pairs[tag] = Path(path).absolute()
    return pairs


@click.command(epilog=HELP)
@click.option("--kubeconfig", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--root", required=True, type=click.Path(path_type=Path), help="Volumes and logs.")
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(1, 9))
@click.option(
    "--image", "checkouts", multiple=True, callback=_checkouts, metavar="TAG=CHECKOUT",
    help="Another checkout of the controller for this image tag (repeatable).",
)  # fmt: skip
@click.option("--token-period", default=3600.0, help="Seconds between two service account tokens.")
def node(
    kubeconfig: Path, root: Path, nodes: int, checkouts: dict[str, Path], token_period: float
) -> None:
    """Run every pod of a real Kubernetes API server on this machine, until Ctrl-C.

    For a control plane without nodes: this is scheduler, kubelet, cluster DNS and Service
    addresses in one. Images are stand-ins: the controller's is this very program, Memgraph's our
    imitation of it. It changes networks and mounts, so it runs in namespaces of its own, with a
    bridge that the API server listens on:

    \b
      unshare --net --mount --propagation private bash
      bash .../controller/sandbox/node/network.sh prepare
      memgraph-controller sandbox node --kubeconfig FILE --root DIRECTORY
    """
    names = tuple(f"node-{number}" for number in range(nodes))
    options = NodeOptions(
        kubeconfig.absolute(), root.absolute(), names, checkouts, token_period_s=token_period
    )
    try:
        client_of_kubeconfig(options.kubeconfig)
    except (OSError, KeyError, ValueError, StopIteration) as error:
        raise Problem(f"{kubeconfig} makes no sense: {error!r}", FAILED) from error
    trio.run(_run, options)


async def _run(options: NodeOptions) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(run_node, options))
            click.echo(f"{len(options.nodes)} nodes run; Ctrl-C ends them")
            async for _ in signals:
                nursery.cancel_scope.cancel()
