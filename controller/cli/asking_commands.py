"""The commands that ask for something. Kubernetes decides who may; the ledger keeps who did, why,
and what became of it.

What a newcomer gets wrong: this module is imported to print any help, so what asks and waits
(`asking`, with all that it imports) is imported by the command that needs it.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from environs import ValidationError

from controller.cli.entry import from_controller, output, targeted
from controller.cli.exits import HELP, USAGE, Problem
from controller.cli.reading import Target
from controller.setting_values import duration_s

F = TypeVar("F", bound=Callable[..., Any])
OF_MANNER = ("reason", "author", "wait", "timeout_s", "form")


class Duration(click.ParamType[float]):
    """ "30m" and the like, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        try:
            return duration_s(str(value))
        except ValidationError as error:
            self.fail(str(error.args[0]), param, ctx)


class Moment(click.ParamType[float]):
    """A time in ISO 8601, in wall seconds; without a zone it is this machine's."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Seconds since 1970."""
        if isinstance(value, float):
            return value
        try:
            return datetime.fromisoformat(str(value)).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time such as 2026-01-31T12:00:00Z", param, ctx)


def asking(command: F) -> F:
    """The options of every request; the command hands them to `ask`."""
    options = [
        click.option("--reason", default="", help="For the ledger."),
        click.option("--author", default="", help="Default: the kubeconfig's user, or yours."),
        click.option("--wait/--no-wait", default=True, show_default=True, help="For the answer."),
        click.option(
            "--timeout",
            "timeout_s",
            type=Duration(),
            default="60s",
            show_default=True,
            help="The request expires then, too.",
        ),
        output("table", "json", "yaml"),
    ]
    for option in reversed(options):
        command = option(command)
    return targeted(command)


def ask(kind: str, options: dict[str, Any], **fields: Any) -> None:
    """Ask, wait, print, exit."""
    from controller.cli.asking import Manner, ask_and_wait

    manner = Manner(**{name: options.pop(name) for name in OF_MANNER})
    raise SystemExit(ask_and_wait(Target(**options), manner, kind, fields))


@click.command(epilog=HELP)
@click.option("--to", "instance", default="", help="Default: whoever holds every write.")
@click.option("--at", "not_before_s", type=Moment(), default=None, help="Not before this time.")
@click.option("--dry-run", is_flag=True, help="Only show what stands for and against it.")
@from_controller
@asking
def switchover(
    instance: str,
    not_before_s: float | None,
    dry_run: bool,
    http_port: int,
    url: str,
    **options: Any,
) -> None:
    """Hand the main over to another instance. Nothing acknowledged is lost.

    \b
    Writes wait for a moment; a client whose session is cut connects again.
    Waits until the new main serves; exit code 1 when it is refused, with the reason.

    \b
    Examples:
      memgraph-controller switchover --dry-run
      memgraph-controller switchover --to memgraph-1 --reason "drain node-a"
      memgraph-controller switchover --at 2026-01-31T03:00:00Z --no-wait
    """
    if dry_run:
        from controller.cli.asking_preflight import show_preflight

        target = Target(*(options[n] for n in ("kubeconfig", "context", "namespace", "release")))
        code = show_preflight(target, url, http_port, "switchover", instance, options["form"])
        raise SystemExit(code)
    ask("switchover", options, instance=instance, not_before_s=not_before_s or 0.0)


@click.command(epilog=HELP)
@click.option("--to", "instance", required=True, help="The new main.")
@click.option("--accept-data-loss", is_flag=True, required=True, help="Said once more.")
@click.option("--confirm", default="", help="The release's name; asked for at a terminal.")
@asking
def failover(instance: str, accept_data_loss: bool, confirm: str, **options: Any) -> None:
    """Make an instance the main although acknowledged writes may be missing on it.

    \b
    For when nobody who holds everything comes back. The ledger keeps who accepted it and
    what may be lost. While the main lives and is whole, use `switchover`.

    \b
    Examples:
      memgraph-controller failover --to memgraph-1 --accept-data-loss
      memgraph-controller failover --to memgraph-2 --accept-data-loss --confirm graphs
    """
    if not accept_data_loss:
        raise Problem("say --accept-data-loss, or use `switchover`", USAGE)
    if not confirm:
        if not sys.stdin.isatty():
            raise Problem("there is no terminal to ask at: --confirm RELEASE", USAGE)
        confirm = click.prompt("Writes may be lost. The release's name, to go on", err=True)
    ask("failover", options, instance=instance, confirm=confirm)


@click.command(epilog=HELP)
@click.option("--for", "for_s", type=Duration(), required=True, help="30m; it ends by itself.")
@asking
def pause(for_s: float, **options: Any) -> None:
    """Do nothing for a while: no failover, no switchover, no repair. Clients go on.

    \b
    For your own work on the database. A main that dies meanwhile is not replaced.

    \b
    Examples:
      memgraph-controller pause --for 30m --reason "restoring a backup"
    """
    ask("pause", options, for_s=for_s)


@click.command(epilog=HELP)
@asking
def resume(**options: Any) -> None:
    """End a pause.

    \b
    Examples:
      memgraph-controller resume
    """
    ask("resume", options)


@click.command(epilog=HELP)
@click.argument("value", type=click.Choice(["preferred", "required"]))
@asking
def durability(value: str, **options: Any) -> None:
    """Without a second copy writes go on (preferred) or stop (required).

    \b
    Holds until it is changed again, or the setting DURABILITY says something new. Where there is no
    second copy, "required" holds once every gateway has closed: at once, and
    GATEWAY_SELF_FENCE later for one that is cut off.

    \b
    Examples:
      memgraph-controller durability preferred --reason "node-b is gone for the weekend"
    """
    ask("durability", options, value=value)


@click.command(epilog=HELP)
@click.argument("value", type=click.Choice(["on", "off"]))
@asking
def observe(value: str, **options: Any) -> None:
    """Only record what would be done (on), or do it again (off).

    \b
    Examples:
      memgraph-controller observe on --reason "first week in production"
    """
    ask("observe", options, value=value)


@click.command(epilog=HELP)
@click.argument("instance")
@asking
def reinit(instance: str, **options: Any) -> None:
    """Set the data of a replica aside and copy them anew from the main.

    \b
    Never of the main, nor of an instance that holds every acknowledged write.
    Waits until the instance holds every write again, or serves readers where it may never be
    main; copying many data takes longer than the default --timeout.

    \b
    Examples:
      memgraph-controller reinit memgraph-1 --timeout 30m
      memgraph-controller reinit memgraph-2 --reason "its disk was replaced"
    """
    ask("reinit", options, instance=instance)


@click.command(epilog=HELP)
@asking
def acknowledge(**options: Any) -> None:
    """Somebody has looked at the last failover: the next may come before FAILOVER_COOLDOWN is over.

    Data that resets have set aside and that may hold acknowledged writes stay until this is said;
    then DIVERGED_KEEP counts for them too. `diverged` lists them: look there first.

    \b
    Examples:
      memgraph-controller acknowledge --reason "a faulty switch, replaced"
    """
    ask("acknowledge", options)
