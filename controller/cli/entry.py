"""The commands."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

import click

from controller.cli.exits import FAILED, HELP, OK, USAGE, Problem
from controller.cli.reading import Target, find_release

LAZY = {
    "history": ("controller.cli.history_commands", "history"),
    "verify": ("controller.cli.history_commands", "verify"),
    "sandbox": ("controller.cli.sandbox", "sandbox"),
    "demo": ("controller.cli.demo", "demo"),
    "diagram": ("controller.cli.diagram", "diagram"),
    "diverged": ("controller.cli.diverged", "diverged"),
    "report": ("controller.cli.report", "report"),
    "whatif": ("controller.cli.whatif", "whatif"),
    "difference": ("controller.cli.difference", "difference"),
    "check-gateways": ("controller.cli.check_gateways", "check_gateways"),
    "check-attach": ("controller.cli.check_attach", "check_attach"),
    "completion": ("controller.cli.completion", "completion"),
    **{
        name: ("controller.cli.asking_commands", name)
        for name in (
            "switchover",
            "failover",
            "pause",
            "resume",
            "durability",
            "observe",
            "reinit",
            "acknowledge",
        )
    },
}
F = TypeVar("F", bound=Callable[..., Any])


class Commands(click.Group):
    """A group that finds some of its commands when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Those that are there."""
        lazy = [n for n, (module, _) in LAZY.items() if importlib.util.find_spec(module)]
        return sorted([*super().list_commands(ctx), *lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported if need be; None: there is none of this name."""
        if cmd_name not in LAZY or not importlib.util.find_spec(LAZY[cmd_name][0]):
            return super().get_command(ctx, cmd_name)
        module, attribute = LAZY[cmd_name]
        command = getattr(importlib.import_module(module), attribute, None)
        return command if isinstance(command, click.Command) else None


def output(*forms: str) -> Callable[[F], F]:
    """The option -o."""
    return click.option(
        "-o", "--output", "form", type=click.Choice(forms), default=forms[0], show_default=True
    )


def targeted(command: F) -> F:
    """The options that say which release is meant; the command gets a Target."""
    options = [
        click.option("--kubeconfig", envvar="KUBECONFIG", default="", help="Path.  [$KUBECONFIG]"),
        click.option("--context", default="", help="Context of the kubeconfig."),
        click.option(
            "-n", "--namespace", envvar="NAMESPACE", default="", help="Default: the context's."
        ),
        click.option(
            "--release",
            envvar="RELEASE_NAME",
            default="",
            help="Default: the only one of the namespace.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def from_controller(command: F) -> F:
    """The options that say how a controller is asked."""
    command = click.option(
        "--url",
        envvar="MEMGRAPH_CONTROLLER_URL",
        default="",
        help="Ask this controller: http://host:8080. No kubeconfig needed.",
    )(command)
    return click.option(
        "--http-port",
        envvar="HTTP_PORT",
        default=8080,
        show_default=True,
        help="Of the controllers, asked through the API server.",
    )(command)


@click.group(cls=Commands, epilog=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="memgraph-controller", prog_name="memgraph-controller")
def cli() -> None:
    """Automatic failover for Memgraph Community Edition on Kubernetes.

    \b
    What happened, and why:
      memgraph-controller history
      memgraph-controller history --follow --since 40
    How it is now:
      memgraph-controller status
      memgraph-controller list -o json | jq '.instances[] | {name, role, behind}'
    Asking for something:
      memgraph-controller switchover --dry-run
      memgraph-controller switchover --reason "node maintenance"
    As a kubectl plugin:
      kubectl memgraph list -n graphs --release prod
    """


@cli.command(epilog=HELP)
def run() -> None:
    """Run one controller pod until SIGTERM.

    \b
    Everything is set by environment variables. At least:
      NAMESPACE RELEASE_NAME STATEFULSET_NAME POD_NAME POD_UID
    All problems with them are reported at once (exit code 2).
    List them with:
      memgraph-controller settings
    """
    from controller.logging import configure
    from controller.settings import SettingsError, load

    try:
        settings = load()
    except SettingsError as error:
        raise Problem(str(error), USAGE) from error
    configure(settings.log_level, settings.log_format)
    raise SystemExit(run_until_stopped(settings))


def run_until_stopped(settings: Any) -> int:
    """Run until SIGTERM or an error that nothing below could handle; returns the exit code. The
    only place that catches everything: whatever it is, it is logged and the process ends."""
    from controller.cli.running import exit_code_of, is_exit, serve

    try:
        serve(settings)
    except BaseException as error:
        if is_exit(error):
            raise
        return exit_code_of(error)
    return OK


@cli.command(epilog=HELP)
@output("table", "json", "yaml")
def settings(form: str) -> None:
    """All settings: variable, default, meaning."""
    from controller.cli import tables
    from controller.settings import VARIABLES

    rows = [
        (v.name, v.default if isinstance(v.default, str) else "(required)", v.meaning)
        for v in VARIABLES.values()
    ]
    if form == "table":
        tables.console().print(tables.columns(("VARIABLE", "DEFAULT", "MEANING"), rows))
    else:
        tables.show(
            [dict(zip(("variable", "default", "meaning"), r, strict=True)) for r in rows], form
        )


def _document(target: Target, http_port: int, url: str) -> dict[str, Any]:
    from controller.cli import evidence

    if url:
        return evidence.status_at(url)
    return evidence.status_of(find_release(target), http_port, evidence.utc_now())


@cli.command("list", epilog=HELP)
@targeted
@from_controller
@output("table", "json", "yaml")
def list_(form: str, http_port: int, url: str, **target: str) -> None:
    """The instances: role by the ledger and role seen, mode, status, lag, pod IP, age.

    \b
    BEHIND is Memgraph's own figure: negative is lag, positive means ahead of the main.
    AGE is that of the last answer; "-" when no controller could be asked.

    \b
    Examples:
      memgraph-controller list
      memgraph-controller list -n graphs --release prod -o yaml
      memgraph-controller list --url http://127.0.0.1:8080
    """
    from controller.cli import tables

    document = _document(Target(**target), http_port, url)
    if form != "table":
        tables.show({"source": document["source"], "instances": document["instances"]}, form)
        return
    tables.console().print(tables.instance_table(document))
    _warn(document)


def _warn(document: dict[str, Any]) -> None:
    from controller.cli import tables

    if document["ledger"]["trouble"]:
        tables.loudly(f"the ledger is broken: {document['ledger']['trouble']}")


@cli.command(epilog=HELP)
@targeted
@from_controller
@output("table", "json", "yaml")
def status(form: str, http_port: int, url: str, **target: str) -> None:
    """The cluster: phase, main, sync set, gateways, troubles. Exit code 1 when it is not well.

    \b
    Examples:
      memgraph-controller status
      memgraph-controller status -o json | jq .problems
    """
    from controller.cli import tables

    document = _document(Target(**target), http_port, url)
    if form != "table":
        tables.show(document, form)
    else:
        out = tables.console()
        out.print(tables.summary_table(document))
        out.print()
        out.print(tables.instance_table(document))
        out.print()
        out.print(tables.gateway_table(document))
        for problem in document["problems"]:
            tables.loudly(problem)
    raise SystemExit(OK if document["healthy"] else FAILED)


def main() -> None:
    """Entry point of the installed commands."""
    cli()
