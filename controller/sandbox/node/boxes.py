"""A `Runtime` with networks, volumes and users: a container is a process in a box of its own.

Promise: each pod has a network namespace with its address, each container a mount namespace whose
root is read-only but for its volumes; it runs as the user that its pod says, where this process may
change users. What ran in a container is ended with its main process. Nothing of a pod is left after
`tear_down` but its claims' directories and its logs.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import trio

from ..apiserver import Object, name_of, namespace_of, uid_of
from ..kubelet.runtime import NotYet
from .images import Image, Images
from .volumes import PodVolumes, Volumes, remove

HERE = Path(__file__).parent
MACHINE = ("/proc", "/dev", "/sys")  # as they are; devices must stay writable
USERS_ALL = 4_294_967_295  # of the user namespace of a machine
LINKS_MAX = 100_000


@attrs.define(eq=False)
class _Pod:
    volumes: PodVolumes
    namespace: Path


class NoNetwork(NotYet):
    """The pod's network could not be made; the message says why."""


class BoxRuntime:
    """See `Runtime`.

    Args:
        root: `pods/` and `claims/` of it are made here.
        resolver: address of the name server.
    """

    def __init__(self, root: Path, volumes: Volumes, images: Images, resolver: str) -> None:
        self._root, self._volumes, self._images = root, volumes, images
        self._resolver = resolver
        self._pods: dict[str, _Pod] = {}
        self._users: dict[int, tuple[str, str, str]] = {}  # of main processes, by their id
        self._links = 0

    def entrypoint(self, image: str) -> list[str]:
        """See `Runtime`."""
        return list(self._images.find(image).entrypoint)

    def data_of(self, pod: Object) -> Path:
        """See `Runtime`."""
        return self._root / "pods" / uid_of(pod)

    async def set_up(self, pod: Object, address: str) -> None:
        """See `Runtime`."""
        directory = self.data_of(pod)
        directory.mkdir(parents=True, exist_ok=True)
        volumes = PodVolumes(pod, address, directory / "volumes")
        await self._volumes.prepare(volumes)
        found = _Pod(volumes, directory / "network")
        self._links = (self._links + 1) % LINKS_MAX
        await _network("add", str(found.namespace), f"pod{self._links}", address)
        self._write_names(pod, address)
        self._pods[uid_of(pod)] = found

    def _write_names(self, pod: Object, address: str) -> None:
        directory, name = self.data_of(pod), str(pod["spec"].get("hostname") or name_of(pod))
        suffixes = [f"{namespace_of(pod)}.svc.cluster.local", "svc.cluster.local", "cluster.local"]
        (directory / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        (directory / "resolv.conf").write_text(
            f"nameserver {self._resolver}\nsearch {' '.join(suffixes)}\n"
            "options ndots:5 timeout:1 attempts:3\n"
        )

    async def start(
        self, pod: Object, spec: Object, words: Sequence[str], env: Mapping[str, str], log: Path
    ) -> trio.Process:
        """See `Runtime`."""
        image = self._images.find(str(spec.get("image", "")))
        box = self.data_of(pod) / "boxes" / str(spec["name"])
        (box / "box").mkdir(parents=True, exist_ok=True)
        (box / "plan").write_text(self._plan(pod, spec, image, box))
        own = self._pods[uid_of(pod)]
        words = [
            *("nsenter", f"--net={own.namespace}", "unshare", "--mount", "--propagation=private"),
            *("bash", str(HERE / "box.sh"), str(box), *_user_words(pod, spec), *words),
        ]
        main = await _spawn(words, {**env, **_missing(image.env, env)}, log)
        self._users[main.pid] = _user_words(pod, spec)
        return main

    async def execute(
        self,
        pod: Object,
        main: trio.Process,
        words: Sequence[str],
        env: Mapping[str, str],
        log: Path,
    ) -> trio.Process:
        """See `Runtime`."""
        if main.pid not in self._users:
            raise ProcessLookupError(f"the container of process {main.pid} has ended")
        user, group, groups = self._users[main.pid]
        inside = ["nsenter", f"--target={main.pid}", "--mount", "--net", "--root"]
        if user != "-":
            inside += ["setpriv", f"--reuid={user}", f"--regid={group}"]
            inside += [f"--groups={groups}"] if groups else ["--clear-groups"]
        return await _spawn([*inside, "env", "--chdir=/", *words], env, log)

    def swept(self, main: trio.Process) -> None:
        """See `Runtime`."""
        self._users.pop(main.pid, None)
        with suppress(ProcessLookupError):
            os.killpg(main.pid, signal.SIGKILL)  # it was started as the first of its group

    async def tear_down(self, pod: Object) -> None:
        """See `Runtime`."""
        found = self._pods.pop(uid_of(pod), None)
        if found is not None:
            await _network("remove", str(found.namespace))
            remove(found.volumes)

    async def refresh_forever(self, period_s: float) -> None:
        """Volumes follow their objects until cancelled."""
        while True:
            await trio.sleep(period_s)
            for found in list(self._pods.values()):
                # What cannot be read stays as it was; a pod may be torn down meanwhile.
                with suppress(NotYet, FileNotFoundError):
                    await self._volumes.refresh(found.volumes)

    # -- plans

    def _plan(self, pod: Object, spec: Object, image: Image, box: Path) -> str:
        """What box.sh lays over the root."""
        lines = []
        for number, (path, text) in enumerate(image.files.items()):
            source = box / f"file-{number}"
            source.write_text(text)
            lines.append(("file", str(source), path, ""))
        directory = self.data_of(pod)
        for name in ("hosts", "resolv.conf"):
            lines.append(("file", str(directory / name), f"/etc/{name}", ""))
        lines += [("bind", path, path, "rw") for path in MACHINE]
        lines += [("bind", str(path), str(path), "ro") for path in self._images.directories()]
        paths = self._pods[uid_of(pod)].volumes.paths
        for mount in spec.get("volumeMounts") or []:
            source = paths[mount["name"]] / str(mount.get("subPath", ""))
            mode = "ro" if mount.get("readOnly") else "rw"
            lines.append(("bind", str(source), mount["mountPath"].rstrip("/"), mode))
        lines.sort(key=lambda line: line[2].count("/"))  # what lies within another comes later
        return "".join("\t".join(line) + "\n" for line in lines)


def may_change_users() -> bool:
    """Whether this process is root of the machine, not of a namespace with one user."""
    words = Path("/proc/self/uid_map").read_text().split()
    return os.getuid() == 0 and int(words[2]) == USERS_ALL


def _user_words(pod: Object, spec: Object) -> tuple[str, str, str]:
    """User, group and further groups; "-" where the present user stays."""
    context = {**(pod["spec"].get("securityContext") or {}), **(spec.get("securityContext") or {})}
    user = context.get("runAsUser")
    if user is None or not may_change_users():
        return "-", "-", ""
    more = [context["fsGroup"]] if "fsGroup" in context else []
    more += context.get("supplementalGroups") or []
    return str(user), str(context.get("runAsGroup", 0)), ",".join(map(str, more))


def _missing(env: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in given}


async def _spawn(words: Sequence[str], env: Mapping[str, str], log: Path) -> trio.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return await trio.lowlevel.open_process(
            list(words),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output.fileno(),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


async def _network(*words: str) -> None:
    """Run network.sh. Raises NoNetwork."""
    command = ["bash", str(HERE / "network.sh"), *words]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    if done.returncode:
        raise NoNetwork(f"network.sh {words[0]}: {done.stderr.decode().strip()}")
