"""The entry point itself: help, run, settings, diagram, commands of other rooms."""

import subprocess
import sys

import pytest
from attrs import field, frozen
from click.testing import CliRunner

from controller.cli import cli, entry
from controller.cli.exits import HELP
from controller.errors import KubeUnavailable
from controller.setting_values import Address
from controller.settings import VARIABLES, Settings, load
from statemachine.diagram import dot, mermaid

LEAST = {
    "NAMESPACE": "prod",
    "RELEASE_NAME": "graph",
    "STATEFULSET_NAME": "memgraph",
    "POD_NAME": "controller-a",
    "POD_UID": "u",
}


@frozen
class Where:
    """An address for the HTTP server."""

    http_bind_address: Address = field(factory=lambda: Address("127.0.0.1", 0))


def run(*args: str, **env: str | None) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, list(args), env=env)
    return result.exit_code, result.stdout, result.stderr


def test_help_teaches_with_examples_and_exit_codes() -> None:
    """Every command's help has the exit codes; those that read have examples."""
    for command in ("", "run", "list", "status", "history", "diagram", "settings"):
        code, text, _ = run(*command.split(), "--help")
        assert code == 0
        assert all(f"  {i}  " in text for i in range(5)), command
        assert HELP.splitlines()[1] in text
    for command in ("list", "status", "history"):
        assert f"memgraph-controller {command} " in run(command, "--help")[1]


def test_run_reports_every_wrong_setting_and_exits_with_2() -> None:
    """Scenario 105: a bad value and a missing name are one message, and the code is 2."""
    env = dict.fromkeys((v.name for v in VARIABLES.values()), None) | {"BOLT_PORT": "abc"}
    code, out, err = run("run", **env)
    assert (code, out) == (2, "")
    assert "STATEFULSET_NAME is not set" in err
    assert "BOLT_PORT='abc'" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (KeyboardInterrupt(), 0),
        (KubeUnavailable("no configuration"), 4),
        (ExceptionGroup("x", [ExceptionGroup("y", [OSError("address in use")])]), 1),
        (ValueError("a bug"), 1),
        (ExceptionGroup("x", [OSError("a"), ValueError("a bug")]), 1),
    ],
)
def test_the_exit_code_of_run_tells_why(
    error: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped is 0, unreachable is 4, everything else is 1."""

    async def fake(settings: Settings) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr("controller.app.run", fake)
    assert entry.run_until_stopped(load(LEAST)) == code


def test_settings_lists_every_variable() -> None:
    """Nothing can be set that is not listed."""
    code, text, _ = run("settings")
    assert code == 0
    assert all(f"\n{v.name} " in text for v in VARIABLES.values())
    assert "(required)" in text


def test_diagram_is_drawn_from_the_table() -> None:
    """Both forms are byte for byte those of the state machine."""
    assert run("diagram")[1] == mermaid()
    assert run("diagram", "--format", "dot")[1] == dot()


def test_commands_of_absent_rooms_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel without the sandbox still works, and the command is simply not there."""
    monkeypatch.setitem(entry.LAZY, "sandbox", ("controller.cli.no_such_room", "sandbox"))
    assert "sandbox" not in run("--help")[1]
    code, _, err = run("sandbox")
    assert (code, "No such command" in err) == (2, True)


def test_commands_of_other_rooms_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that another module brings is listed and can be run."""
    monkeypatch.setitem(entry.LAZY, "again", ("controller.cli.diagram", "diagram"))
    assert "again" in run("--help")[1]
    assert run("again")[1] == mermaid()


def test_the_module_can_be_run() -> None:
    """`python -m controller.cli` is the same program; without heavy imports for its help."""
    script = (
        "import sys, runpy\nsys.argv = ['x', '--help']\n"
        "try: runpy.run_module('controller.cli', run_name='__main__')\n"
        "except SystemExit as e: assert not e.code\n"
        "assert not {'kubernetes', 'neo4j', 'hypercorn'} & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "history" in done.stdout
