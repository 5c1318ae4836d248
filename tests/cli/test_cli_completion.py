"""Completion: what the printed scripts answer, asked as shells and kubectl ask."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
ENV = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def printed(shell: str) -> str:
    """The script for a shell."""
    done = subprocess.run(
        ["memgraph-controller", "completion", shell],
        env=ENV,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_for_this_program(shell: str) -> None:
    """It asks our program, by our variable."""
    script = printed(shell)
    assert "_MEMGRAPH_CONTROLLER_COMPLETE" in script
    assert "memgraph-controller" in script


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("swi",), {"switchover"}),
        (("durability", "re"), {"required"}),
        (("list", "--out"), {"--output"}),
        (("list", "-o", ""), {"table", "json", "yaml"}),
    ],
)
def test_kubectl_gets_words_and_a_directive(
    words: tuple[str, ...], expected: set[str], tmp_path: Path
) -> None:
    """One word a line, then the directive, as kubectl wants it of a plugin."""
    script = tmp_path / "kubectl_complete-memgraph"
    script.write_text(printed("kubectl"))
    script.chmod(0o755)
    done = subprocess.run(
        [str(script), *words], env=ENV, capture_output=True, text=True, check=True
    )
    *found, directive = done.stdout.splitlines()
    assert set(found) == expected
    assert directive == ":4"
