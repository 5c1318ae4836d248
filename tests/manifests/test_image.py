"""What the image holds, built without a container engine by the script that the Dockerfile runs,
and tried as another user who can write nowhere in it. The base image (Python, and Debian under it)
is not part of this: the Python of this machine stands in for it, wherever it lies, which is why
that user may read everything."""

import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
import yaml

from controller.sandbox.apiserver import Faults, Store, serve

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SIZE_MAX_BYTES = 200 * 1024**2
SOMEBODY = 65532
AS_SOMEBODY = (
    f"setpriv --reuid={SOMEBODY} --regid={SOMEBODY} --clear-groups "
    "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
).split()
IDENTITY = AS_SOMEBODY if os.getuid() == 0 else []  # whoever is not root is somebody already
SET = dict(re.findall(r"(HOME|PYTHON\w+)=(\S+)", DOCKERFILE))  # a user without an entry has no home
BARE = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **SET}

pytestmark = [pytest.mark.process, pytest.mark.timeout(1200)]  # pip on a busy machine


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory that every user can enter."""
    made = Path(tempfile.mkdtemp(prefix="image-"))
    made.chmod(0o755)
    yield made
    subprocess.run(["chmod", "-R", "u+w", str(made)], check=True)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def tree(home: Path) -> Path:
    """What the image's second stage copies."""
    source, target = home / "src", home / "tree"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):  # as the Dockerfile copies them
        shutil.copy(ROOT / name, source / name)
    for room in ("statemachine", "gateway", "controller"):
        shutil.copytree(
            ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    command = [str(ROOT / "scripts/image-tree"), sys.executable, str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def as_somebody(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as another user, from a directory that is not writable."""
    return subprocess.run(
        [*IDENTITY, *map(str, words)],
        cwd="/",
        env={**BARE, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_small(tree: Path) -> None:
    """The content of the image beside its base stays below 200 MiB."""
    size = sum(f.lstat().st_size for f in tree.rglob("*") if not f.is_symlink())
    print(f"image content: {size / 1024**2:.0f} MiB")
    assert size < SIZE_MAX_BYTES


def test_it_brings_no_tools_and_nothing_to_write(tree: Path) -> None:
    """Neither pip nor a compiler's headers; no file or directory is writable; everything that is
    imported at the start is compiled."""
    tools = [p for name in ("pip", "setuptools", "wheel") for p in tree.rglob(f"{name}*")]
    assert not [p for p in tools if p.suffix not in (".py", ".pyc")]
    writable = [p for p in tree.rglob("*") if not p.is_symlink() and p.lstat().st_mode & 0o222]
    assert not writable
    packages = next(tree.glob("lib/python*/site-packages"))
    sources = [p for p in packages.glob("controller/**/*.py") if p.stat().st_size]
    compiled = {p.name.split(".")[0] for p in packages.glob("controller/**/*.pyc")}
    assert {p.stem for p in sources} <= compiled


def test_commands_run_as_another_user(tree: Path) -> None:
    """`--version`, `--help` and a command that imports the Kubernetes client, from its bytecode."""
    program = tree / "bin/memgraph-controller"
    assert as_somebody(program, "--version").stdout.startswith("memgraph-controller, version")
    assert "switchover" in as_somebody(program, "--help").stdout
    done = as_somebody(program, "list", KUBECONFIG="/nonexistent")
    assert done.returncode == 2, done.stderr
    assert "no usable kubeconfig" in done.stderr
    done = as_somebody(program, "run")
    assert done.returncode == 2
    assert "NAMESPACE is not set" in done.stderr


def test_the_bill_of_materials_names_every_package(tree: Path) -> None:
    """Every distribution that is installed is in it, with a version and a package URL; ours is what
    it is about."""
    bill = json.loads((tree / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    about = bill["metadata"]["component"]
    listed = {c["name"]: c["version"] for c in [*bill["components"], about]}
    assert about["name"] == "memgraph-controller"
    found = next(tree.glob("lib/python*/site-packages")).glob("*.dist-info")
    there = dict(re.split(r"-(?=\d)", p.name.removesuffix(".dist-info"), maxsplit=1) for p in found)
    assert {re.sub(r"[-_.]+", "-", n).lower(): v for n, v in there.items()} == listed
    assert all(c["purl"] == f"pkg:pypi/{c['name']}@{c['version']}" for c in bill["components"])
    assert all("licenses" in c for c in bill["components"])


def test_a_kubectl_plugin_is_packed_from_it(tree: Path, home: Path) -> None:
    """The archive has the checksum of krew's manifest, and its program runs from where it was
    unpacked, through a link, as krew installs it."""
    url = "http://downloads.example/kubectl-memgraph.tar.gz"
    script = str(ROOT / "scripts/krew.py")
    subprocess.run([sys.executable, script, str(tree), url, str(home / "krew")], check=True)
    manifest = yaml.safe_load((home / "krew/memgraph.yaml").read_text())
    (platform,) = manifest["spec"]["platforms"]
    (archive,) = (home / "krew").glob("*.tar.gz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == platform["sha256"]
    assert platform["uri"] == url
    assert re.fullmatch(r"v\d+\.\d+\.\d+", manifest["spec"]["version"])
    assert len(manifest["spec"]["shortDescription"]) <= 50  # krew's own limit
    store = home / "store"
    with tarfile.open(archive) as packed:
        packed.extractall(store, filter="data")
    link = home / "kubectl-memgraph"
    link.symlink_to(store / platform["bin"])
    python = tree / "bin" / next(tree.glob("lib/python*")).name
    done = as_somebody(link, "--version", PATH=f"{python.parent}:/usr/bin:/bin")
    assert done.stdout.startswith("memgraph-controller, version"), done.stderr


def kubeconfig(url: str) -> str:
    """For the API stand-in."""
    cluster = {"name": "c", "cluster": {"server": url}}
    user = {"name": "u", "user": {"token": "t"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    head = {"apiVersion": "v1", "kind": "Config", "current-context": "x"}
    return yaml.safe_dump(head | {"clusters": [cluster], "users": [user], "contexts": [context]})


def healthcheck() -> list[str]:
    """The Dockerfile's HEALTHCHECK, as words."""
    found = re.search(r"HEALTHCHECK.*?CMD (\[.*?\])\n", DOCKERFILE, re.DOTALL)
    assert found
    words: list[str] = json.loads(found[1])
    return words


async def until_alive(process: trio.Process, port: int) -> None:
    """Wait until /livez says ok; the process must not end before."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    while not await trio.to_thread.run_sync(ask):
        assert process.poll() is None, f"it ended with {process.returncode}"
        await trio.sleep(0.2)


async def test_a_controller_lives_in_it(tree: Path, home: Path, nursery: trio.Nursery) -> None:
    """As another user, with nothing writable: it answers /livez, the Dockerfile's health check is
    content, and SIGTERM ends it with 0. The API server is the stand-in."""
    url = await nursery.start(partial(serve, Store(), "127.0.0.1", 0, faults=Faults()))
    config = home / "kubeconfig"
    config.write_text(kubeconfig(url))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **BARE,
        "PATH": f"{tree}/bin:/usr/bin:/bin",
        "KUBECONFIG": str(config),
        "NAMESPACE": "default",
        "RELEASE_NAME": "memgraph",
        "STATEFULSET_NAME": "memgraph-db",
        "POD_NAME": "memgraph-0",
        "POD_UID": "u",
        "HTTP_PORT": str(port),
        "GATEWAY_BIND_ADDRESS": "127.0.0.1:0",
        "GATEWAY_READ_BIND_ADDRESS": "127.0.0.1:0",
        "GATEWAY_DRAIN_TIMEOUT": "0s",
    }
    entry = json.loads(re.findall(r"ENTRYPOINT (\[.*\])", DOCKERFILE)[-1])
    command = json.loads(re.findall(r"\nCMD (\[.*\])", DOCKERFILE)[-1])
    with trio.fail_after(120):
        process = await trio.lowlevel.open_process(
            [*IDENTITY, str(tree / "bin" / entry[0]), *entry[1:], *command], env=env, cwd="/"
        )
        try:
            await until_alive(process, port)
            check = [*IDENTITY, str(tree / "bin" / healthcheck()[0]), *healthcheck()[1:]]
            await trio.run_process(check, env=env)
            process.terminate()
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def test_the_dockerfile_copies_what_it_builds_from() -> None:
    """Each path that it copies is there and not left out of the context; the last stage is not
    root, and its user is the chart's."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = [w for line in re.findall(r"\nCOPY (?!--)(.*)", DOCKERFILE) for w in line.split()[:-1]]
    assert {"pyproject.toml", "controller", "scripts/image-tree"} <= set(copied)
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path.split("/")[0] not in ignored or f"!{path}" in ignored, path
    assert f"\nUSER {SOMEBODY}:{SOMEBODY}\n" in DOCKERFILE
    stages = re.findall(r"\nFROM (\S+)", "\n" + DOCKERFILE)
    assert len(stages) == 2
    assert len(set(stages)) == 1
    build = re.search(r"\nRUN (scripts/image-tree .*)\n", DOCKERFILE)
    assert build
    assert shlex.split(build[1])[2] == "/opt/memgraph-controller"
