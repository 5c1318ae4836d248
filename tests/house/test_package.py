"""The wheel: what a user gets from `pip install`, tried from an empty directory."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: str | Path, cwd: Path, **env: str) -> str:
    """Output of a command that has to succeed."""
    done = subprocess.run(
        [str(w) for w in words],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin directory of an environment that holds the built wheel; the dependencies are those of the
    environment that runs the tests."""
    where = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--outdir", where, ROOT, cwd=where)
    wheel = next(where.glob("*.whl"))
    assert next(where.glob("*.tar.gz"))
    home = where / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=where).strip()
    ours = next(p for p in sys.path if p.endswith("site-packages"))
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=where)
    (Path(site) / "dependencies.pth").write_text(ours + "\n")
    return home / "bin"


@pytest.mark.process
@pytest.mark.parametrize("module", ["controller", "statemachine", "gateway"])
def test_packages_import(installed: Path, tmp_path: Path, module: str) -> None:
    """`import controller` works from an empty directory, out of the wheel."""
    shown = run(
        installed / "python", "-c", f"import {module}; print({module}.__file__)", cwd=tmp_path
    )
    assert str(installed.parent) in shown


@pytest.mark.process
@pytest.mark.parametrize("command", ["memgraph-controller", "kubectl-memgraph"])
def test_console_scripts_answer(installed: Path, tmp_path: Path, command: str) -> None:
    """Both names of the command line are installed and teach."""
    assert "history" in run(installed / command, "--help", cwd=tmp_path)


@pytest.mark.process
def test_the_sandbox_ships_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Users can rehearse their incidents without a checkout."""
    assert "fault" in run(installed / "memgraph-controller", "sandbox", "--help", cwd=tmp_path)
    run(installed / "memgraph-stand-in", "--help", cwd=tmp_path)
