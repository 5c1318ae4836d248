"""Every command that the documentation shows is there, takes what it is given, and is run where
that can be done: kubectl on the API stand-in, helm without a cluster. What is not run has a
reason."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import click
import pytest
import trio
from docs_world import PAGES, ROOT, Shown, fill, kubeconfig, shown

from controller.cli import cli
from controller.sandbox.apiserver import Faults, Store, serve

COMMANDS = sorted({s.text: s for s in shown()}.values(), key=lambda s: (s.page, s.text))
READING = ("status", "list", "history", "verify", "diagram", "settings")

NOT_HERE = {
    r"kubectl (exec|cp|logs|top|describe)\b": "needs a kubelet, or kinds that the stand-in has not",
    r"kubectl (krew|auth|apply)\b": "needs krew, authorization, Deployments",
    r"kubectl \w+ (pvc|networkpolicy|deployment)\b": "kinds that the stand-in does not serve",
    r"kubectl create secret": "kubectl sends it in a form that the stand-in does not read",
    r"kubectl get --raw": "the stand-in has other paths for its health",
    r"helm (test|rollback|uninstall)\b": "needs a cluster: ./scripts/kube-test does it",
    r"(docker|kind|minikube)\b": "needs a container engine",
    r"(echo .*\| )?mgconsole\b": "comes with Memgraph",
    r"(python -m )?pip\b|python scripts/krew.py": "tests/manifests/test_image.py does it",
    r"chmod \+x ~": "changes the reader's home",
    r"\./scripts/": "is looked for, and tested elsewhere",
    r"(export|curl|git|cd) ": "a shell's own, or a network",
}


def tool(name: str) -> str | None:
    """kubectl or helm: fetched into the environment, or on PATH."""
    search = [str(Path(sys.prefix) / "kube"), os.environ.get("PATH", "")]
    return shutil.which(name, path=os.pathsep.join(search))


def ours(text: str) -> list[str] | None:
    """The words after our program's name; None: it is another program's."""
    inner = re.search(r"<\((.*)\)", text)
    plain = re.split(r"\s[|>]", inner[1] if inner else text)[0]
    words = shlex.split(plain)
    if words[:2] == ["kubectl", "memgraph"]:
        return words[2:]
    if words and words[0].rsplit("/", 1)[-1] == "memgraph-controller":
        return words[1:]
    return None


OURS = [s for s in COMMANDS if ours(s.text) is not None]
OTHERS = [s for s in COMMANDS if ours(s.text) is None]
HELM = [s for s in OTHERS if re.match(r"helm (install|upgrade|template)\b", s.text)]
KUBECTL = [
    s
    for s in OTHERS
    if s.text.startswith("kubectl ") and not any(re.match(r, s.text) for r in NOT_HERE)
]


def name(command: Shown) -> str:
    """For reports."""
    return f"{Path(command.page).stem}: {command.text}"[:70]


def test_the_documentation_shows_commands() -> None:
    """The pages are found, and so is what stands in them."""
    assert len(OURS) > 25
    assert len(HELM) > 5
    assert len(KUBECTL) > 8


@pytest.mark.parametrize("command", OURS, ids=name)
def test_our_commands_take_what_the_documentation_gives_them(command: Shown) -> None:
    """The command is there, and knows each option and argument."""
    words = list(ours(command.text) or [])
    found: click.Command = cli
    context = click.Context(cli)
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        called = words.pop(0)
        inner = found.get_command(context, called)
        assert inner is not None, f"no command {called}"
        if isinstance(inner, click.Group):
            context = click.Context(inner, parent=context)
        else:
            inner.make_context(called, list(words), parent=context)
        found = inner


@pytest.mark.parametrize("command", OTHERS, ids=name)
def test_nothing_is_left_out_without_a_reason(command: Shown) -> None:
    """A command of another program is run by one of the tests here, or stands in NOT_HERE; a script
    of ours is there."""
    if command in HELM or command in KUBECTL:
        return
    assert any(re.match(r, command.text) for r in NOT_HERE), command
    if command.text.startswith("./scripts/"):
        script = ROOT / shlex.split(command.text)[0]
        assert os.access(script, os.X_OK), script


@pytest.mark.helm
@pytest.mark.skipif(tool("helm") is None, reason="helm is missing: ./scripts/kube/clients")
@pytest.mark.parametrize("command", HELM, ids=name)
def test_helm_commands_render(command: Shown) -> None:
    """The chart takes the values that the documentation gives it."""
    words = shlex.split(command.text)
    names = [w for w in words[2:] if not w.startswith("-")][:2]
    given = [w for at, w in enumerate(words) if "--set" in (w, words[at - 1])]
    attached = "--reset-then-reuse-values" in words and "attach" in command.page
    if attached:
        given += ["--set", "memgraph.enabled=false", "--set", "memgraph.existing.statefulSet=mg"]
    done = subprocess.run(
        [str(tool("helm")), "template", *names, *given],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "kind: Deployment" in done.stdout


@pytest.mark.helm
@pytest.mark.skipif(tool("kubectl") is None, reason="kubectl is missing: ./scripts/kube/clients")
@pytest.mark.parametrize("command", KUBECTL, ids=name)
async def test_kubectl_commands_run(command: Shown, tmp_path: Path, nursery: trio.Nursery) -> None:
    """kubectl carries it out on a release `memgraph` in `graphs`, and finds what it asks for. The
    API server is the stand-in."""
    store = Store()
    fill(store)
    with trio.fail_after(120):
        url = await nursery.start(partial(serve, store, "127.0.0.1", 0, faults=Faults()))
        (tmp_path / "config").write_text(kubeconfig(url))
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "KUBECONFIG": str(tmp_path / "config"),
        }
        words = [str(tool("kubectl")), *shlex.split(command.text)[1:]]
        done = await trio.run_process(
            words, cwd=ROOT, env=env, capture_stdout=True, capture_stderr=True, check=False
        )
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert "No resources found" not in said


@pytest.mark.parametrize(
    "command", [s for s in OURS if (ours(s.text) or [""])[0] in READING], ids=name
)
async def test_our_reading_commands_run(
    command: Shown, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """They answer for that release, found without --release; 1: the cluster is not well."""
    store = Store()
    fill(store)
    words = ours(command.text) or []
    if {"--follow", "-f", "--url"} & set(words):
        return
    with trio.fail_after(120):
        url = await nursery.start(partial(serve, store, "127.0.0.1", 0, faults=Faults()))
        (tmp_path / "config").write_text(kubeconfig(url))
        env = {"PATH": os.environ["PATH"], "KUBECONFIG": str(tmp_path / "config")}
        program = [sys.executable, "-m", "controller.cli", *words]
        done = await trio.run_process(
            program, cwd=ROOT, env=env, capture_stdout=True, capture_stderr=True, check=False
        )
    assert done.returncode in (0, 1), done.stderr.decode()
    assert done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """A link to a page of this project finds the page, and the heading that it names."""
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}
            assert anchor in slugs, target


def test_every_page_is_found() -> None:
    """Some other page leads to each, so that nobody has to know that it is there."""
    linked = set()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s#]+)", (ROOT / page).read_text()):
            if "://" not in target:
                linked.add(((ROOT / page).parent / target).resolve())
    lonely = [page for page in PAGES if (ROOT / page).resolve() not in linked]
    assert set(lonely) <= {"README.md"}, "link them, at best from docs/README.md"
