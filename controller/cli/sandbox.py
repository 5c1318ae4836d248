"""`memgraph-controller sandbox`: a cluster on this machine, to try things and to break things."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import click
import trio
import yaml
from rich.console import Console
from rich.table import Table

from controller.cli.exits import FAILED, HELP, NOT_FOUND, USAGE, Problem
from controller.cli.sandbox_node import node
from controller.sandbox.block import BadName, NoBlockFree
from controller.sandbox.control import (
    FAULTS,
    NoSandbox,
    ask_sandbox,
    end_sandbox,
    serve_control,
)
from controller.sandbox.world import Sandbox, SandboxOptions, open_sandbox


def _program(_: click.Context, __: click.Parameter, value: str) -> str:
    """An absolute path: the process starts in its pod's directory."""
    if value and not os.access(value, os.X_OK):
        raise click.BadParameter(f"{value!r} is no program")
    return str(Path(value).absolute()) if value else ""


MEMGRAPH = click.option(
    "--memgraph",
    metavar="PATH",
    default="",
    callback=_program,
    help="Run this Memgraph binary, each in a network of its own, in place of our stand-in. Needs "
    "root, or a start with: unshare --user --map-root-user --net.",
)
NAME = click.option("--name", default="", help="Which sandbox; needed when several run.")


@click.group(epilog=HELP)
def sandbox() -> None:
    """A whole cluster on this machine, with stand-ins for Kubernetes and Memgraph.

    The controller pods are the real program; API server, kubelet and Memgraph are imitated.

    \b
    Examples:
      memgraph-controller sandbox up                 # stays in the foreground
      memgraph-controller sandbox fault kill main    # in another terminal
      memgraph-controller sandbox status
    """


def _pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, sign, setting = value.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        pairs[name] = setting
    return pairs


@sandbox.command(epilog=HELP)
@click.option("--instances", default=3, show_default=True, type=click.IntRange(1, 9))
@click.option("--controllers", default=2, show_default=True, type=click.IntRange(0, 9))
@click.option("--name", default="", help="A name of your own; default: sandbox-N.")
@click.option(
    "--env", multiple=True, callback=_pairs, help="NAME=VALUE, a setting of the controller pods."
)
@MEMGRAPH
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in place of a table.")
def up(
    instances: int, controllers: int, name: str, env: dict[str, str], memgraph: str, as_json: bool
) -> None:
    """Start a sandbox and stay in the foreground until Ctrl-C.

    Prints the kubeconfig (kubectl works with it) and the gateways' addresses. Ctrl-C leaves no
    process and no file behind.
    """
    options = SandboxOptions(instances, controllers, name, env, memgraph=memgraph)
    try:
        trio.run(_up, options, as_json)
    except* BadName as group:
        raise Problem("; ".join(str(e) for e in group.exceptions), USAGE) from group
    except* (NoBlockFree, OSError) as group:
        raise Problem("; ".join(str(e) for e in group.exceptions), FAILED) from group


async def _up(options: SandboxOptions, as_json: bool) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_sandbox(options) as running, trio.open_nursery() as nursery:
            ended = nursery.cancel_scope.cancel
            nursery.start_soon(serve_control, running, ended)
            _show(running, as_json)
            if not as_json and options.controllers:
                nursery.start_soon(_tell_phases, running)
            async for _ in signals:
                ended()


def _show(running: Sandbox, as_json: bool) -> None:
    card = running.card()
    if as_json:
        click.echo(json.dumps(card))
        return
    table = Table("what", "where", title=f"sandbox {running.block.name}", title_justify="left")
    for what, where in card.items():
        if isinstance(where, dict):
            for pod, address in where.items():
                table.add_row(f"{what} {pod}", str(address))
        else:
            table.add_row(what, str(where))
    Console(width=None if Console().is_terminal else 140).print(table)
    click.echo(f"export KUBECONFIG={card['kubeconfig']}\nCtrl-C ends it.")


async def _tell_phases(running: Sandbox) -> None:
    shown = ""
    while True:
        now = ", ".join(f"{what} {running.noted(what)}" for what in ("phase", "main", "sync"))
        if now != shown and running.noted("phase"):
            click.echo(now)
            shown = now
        await trio.sleep(0.2)


@sandbox.command(epilog=HELP)
@click.argument("kind", type=click.Choice(FAULTS))
@click.argument("target", default="")
@click.option("--with", "peer", default="", help="partition: only from this instance.")
@NAME
def fault(kind: str, target: str, peer: str, name: str) -> None:
    """Break something: KIND on TARGET.

    TARGET is a pod (memgraph-1, controller-0) or main, sync, leader, by what the ledger says now.

    \b
      kill          SIGKILL of the pod's process; started again in place after a second
      stop, cont    SIGSTOP: it hangs, and SIGCONT
      delete        graceful deletion of the pod;  force-delete: with grace 0
      partition     cut off from everybody (--with memgraph-2: from that one only); heal ends it;
                    a controller pod is cut off from the API server
      api-down      the API server is gone for everybody, or for one controller pod; api-up
    """
    if kind not in ("api-down", "api-up") and not target:
        raise Problem(f"{kind} needs a TARGET", USAGE)
    answer = _ask(name, {"do": kind, "target": target, "with": peer})
    click.echo(f"{kind} {answer.get('target', target)}".strip())


@sandbox.command(epilog=HELP)
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
)
@NAME
def status(form: str, name: str) -> None:
    """Show a running sandbox: addresses, processes, phase, main."""
    answer = _ask(name, {"do": "status"})
    answer.pop("ok")
    if form == "json":
        click.echo(json.dumps(answer, indent=2))
    elif form == "yaml":
        click.echo(yaml.safe_dump(answer, sort_keys=False), nl=False)
    else:
        Console(soft_wrap=True).print(_table(answer))


def _table(answer: dict[str, Any]) -> Table:
    title = f"sandbox {answer['name']}: {answer['phase'] or 'no ledger yet'}, term {answer['term']}"
    table = Table("pod", "pid", "role", "addresses", title=title, title_justify="left")
    replicas = answer["sync"].split(",")
    for pod, pid in answer["pids"].items():
        if pod in answer["instances"]:
            role = "main" if pod == answer["main"] else "sync" if pod in replicas else "async"
            where = answer["instances"][pod]
        else:
            role = "leader" if pod == answer["leader"] else "standby"
            where = f"rw {answer['gateways'][pod]}  ro {answer['read_gateways'][pod]}"
        table.add_row(pod, str(pid or "-"), role, where)
    return table


@sandbox.command(epilog=HELP)
@NAME
def down(name: str) -> None:
    """End a running sandbox, and wait until nothing of it is left."""
    try:
        end_sandbox(name)
    except NoSandbox as error:
        raise Problem(str(error), NOT_FOUND) from error
    except (OSError, ValueError) as error:
        raise Problem(f"the sandbox does not end: {error}", FAILED) from error
    click.echo("ended")


def _ask(name: str, ask: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = ask_sandbox(name, ask)
    except NoSandbox as error:
        raise Problem(str(error), NOT_FOUND) from error
    except (OSError, ValueError) as error:
        raise Problem(f"the sandbox does not answer: {error}", FAILED) from error
    if not answer.get("ok"):
        raise Problem(str(answer.get("error")), FAILED)
    return answer


sandbox.add_command(node)
