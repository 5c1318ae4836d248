"""What a StatefulSet of Memgraph needs so that a controller can lead it: functions of its YAML.

Promise: each check says what was seen and what to add; *missing* means that safety or availability
rests on it, *advice* that it works without, and what is worse then. What a newcomer gets wrong: a
flag that is not given has the default of the image's configuration file, which differs from the
binary's own (MEMGRAPH.md 6); the checks know the image's.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

Json = Mapping[str, Any]

OK, MISSING, ADVICE = "ok", "missing", "advice"
LEAST_VERSION = (3, 5)  # STRICT_SYNC
GRACE_LEAST_S = 60
BOOT_GUARD = re.compile(r"SET\s+REPLICATION\s+ROLE\s+TO\s+REPLICA\s+WITH\s+PORT\s+(\d+)", re.I)
MUST_BE_TRUE = (
    "storage-wal-enabled",
    "data-recovery-on-startup",
    "replication-restore-state-on-startup",
)


@frozen
class Found:
    """What the API server holds. `config_maps` are those that the pods mount and that we may read:
    name -> data; a missing one is None."""

    statefulset: Json
    service: Json | None = None
    config_maps: Mapping[str, Json | None] = {}
    selector: str = ""
    release: str = ""
    replication_port: int = 10000


@frozen
class Check:
    """One requirement, what was seen of it, and what to do."""

    what: str
    verdict: str
    saw: str
    do: str = ""


def checks(found: Found) -> list[Check]:
    """All of them, in the order in which a person mends them."""
    return [check for each in EACH for check in each(found)]


# -- parts of the StatefulSet


def _spec(found: Found) -> Json:
    spec: Json = found.statefulset.get("spec") or {}
    return spec


def _pod(found: Found) -> Json:
    pod: Json = (_spec(found).get("template") or {}).get("spec") or {}
    return pod


def database(found: Found) -> Json:
    """The container that runs Memgraph: the one called so, or the first."""
    boxes: list[Json] = _pod(found).get("containers") or [{}]
    return next((b for b in boxes if b.get("name") == "memgraph"), boxes[0])


def flags(found: Found) -> dict[str, str]:
    """The flags of Memgraph that are given: name without dashes -> value."""
    box = database(found)
    words = [str(w) for w in [*(box.get("command") or []), *(box.get("args") or [])]]
    given: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if not word.startswith("-"):
            continue
        name, equals, value = word.lstrip("-").partition("=")
        plain = "" if following.startswith("-") else following
        given[name.replace("_", "-")] = value.strip("'\"") if equals else plain or "true"
    return given


def mounted_config_maps(found: Found) -> list[str]:
    """Names of the ConfigMaps that the pods mount."""
    volumes: list[Json] = _pod(found).get("volumes") or []
    names = [str((v.get("configMap") or {}).get("name") or "") for v in volumes]
    return [n for n in names if n]


def _mount_of(box: Json, path: str) -> str:
    """The volume in which a path of a container lies; "" = in its image."""
    mounts: list[Json] = box.get("volumeMounts") or []
    fitting = [
        m for m in mounts if f"{path}/".startswith(f"{str(m.get('mountPath')).rstrip('/')}/")
    ]
    best = max(fitting, key=lambda m: len(str(m.get("mountPath"))), default={})
    return str(best.get("name") or "")


# -- the checks


def selected(found: Found) -> Iterator[Check]:
    """The controllers find the pods by these labels."""
    meta: Json = (_spec(found).get("template") or {}).get("metadata") or {}
    labels: Json = meta.get("labels") or {}
    wanted = dict(part.split("=", 1) for part in found.selector.split(",") if "=" in part)
    wrong = [f"{k}={v}" for k, v in wanted.items() if labels.get(k) != v]
    have = ",".join(f"{k}={v}" for k, v in labels.items())
    if wrong:
        do = f"set memgraph.existing.podLabels (POD_SELECTOR) to labels of the pods: {have}"
        yield Check("the pods carry the labels", MISSING, f"not {', '.join(wrong)}", do)
    else:
        yield Check("the pods carry the labels", OK, found.selector)


def enough(found: Found) -> Iterator[Check]:
    """Two copies of every write need two instances."""
    count = _spec(found).get("replicas", 1)
    what = "two instances or more"
    if count < 2:
        yield Check(what, MISSING, str(count), "raise spec.replicas, at best to 3")
    else:
        yield Check(what, OK, str(count))


def version(found: Found) -> Iterator[Check]:
    """STRICT_SYNC came with 3.5."""
    image = str(database(found).get("image") or "")
    seen = re.search(r":v?(\d+)\.(\d+)", image)
    what = "Memgraph 3.5 or later"
    if seen is None:
        yield Check(what, ADVICE, image, "the tag does not tell: see to it that it is one")
    elif (int(seen[1]), int(seen[2])) < LEAST_VERSION:
        do = "use a later image, or REPLICATION_MODE=sync"
        yield Check(what, MISSING, image, do)
    else:
        yield Check(what, OK, image)


def boot_guard(found: Found) -> Iterator[Check]:
    """Every instance starts as a replica."""
    what, path = "boot guard", flags(found).get("init-file", "")
    do = (
        f"mount the ConfigMap {found.release}-hooks at /hooks and add "
        "--init-file=/hooks/boot-guard.cypherl: without it a restarted main is writable at once"
    )
    if not path:
        yield Check(what, MISSING, "no --init-file", do)
        return
    volume = _mount_of(database(found), path)
    if not volume:
        saw = f"{path} is in no volume"
        yield Check(what, MISSING, saw, do)
        return
    yield _guard_in(found, what, path, volume, do)


def _guard_in(found: Found, what: str, path: str, volume: str, do: str) -> Check:
    volumes: list[Json] = _pod(found).get("volumes") or []
    source = next((v.get("configMap") for v in volumes if v.get("name") == volume), None) or {}
    name = str(source.get("name") or "")
    if name not in found.config_maps:
        return Check(what, ADVICE, f"{path} was not read", "look into it yourself")
    data = (found.config_maps[name] or {}).get("data") or {}
    text = str(data.get(path.rsplit("/", 1)[-1]) or "")
    guard = BOOT_GUARD.search(text)
    if guard is None:
        return Check(what, MISSING, f"ConfigMap {name} does not hold it", do)
    if int(guard[1]) != found.replication_port:
        saw = f"port {guard[1]}"
        return Check(what, MISSING, saw, f"the controllers expect {found.replication_port}")
    return Check(what, OK, f"{path}, from ConfigMap {name}")


def durable(found: Found) -> Iterator[Check]:
    """What an acknowledgement is worth."""
    given = flags(found)
    for name in MUST_BE_TRUE:
        if given.get(name, "true").lower() in ("false", "0", "f", "no"):
            yield Check(f"--{name}", MISSING, given[name], f"--{name}=true")
        else:
            yield Check(f"--{name}", OK, given.get(name, "the image's default, true"))
    every = given.get("storage-wal-file-flush-every-n-tx", "")
    what = "each commit is on the disk"
    if every == "1":
        yield Check(what, OK, "--storage-wal-file-flush-every-n-tx=1")
    else:
        saw = every or "the default, 100000"
        yield Check(what, MISSING, saw, "--storage-wal-file-flush-every-n-tx=1")
    mode = given.get("storage-mode", "IN_MEMORY_TRANSACTIONAL")
    what = "a storage mode that replicates"
    if mode == "IN_MEMORY_TRANSACTIONAL":
        yield Check(what, OK, mode)
    else:
        yield Check(what, MISSING, mode, "--storage-mode=IN_MEMORY_TRANSACTIONAL")


def volumes(found: Found) -> Iterator[Check]:
    """Each instance has a volume of its own."""
    where = flags(found).get("data-directory", "/var/lib/memgraph")
    volume = _mount_of(database(found), where)
    templates: list[Json] = _spec(found).get("volumeClaimTemplates") or []
    own = [str((t.get("metadata") or {}).get("name")) for t in templates]
    what = "a volume for each instance"
    if volume in own:
        yield Check(what, OK, f"{where} in {volume}")
    else:
        do = "a volumeClaimTemplate: instances must not share a directory, and keep it"
        yield Check(what, MISSING, f"{where} in {volume or 'the container'}", do)


def leaving(found: Found) -> Iterator[Check]:
    """A pod that stops hands over first."""
    hook = ((database(found).get("lifecycle") or {}).get("preStop") or {}).get("exec") or {}
    what = "preStop hook"
    if "prestop" in " ".join(map(str, hook.get("command") or [])):
        yield Check(what, OK, "there")
    else:
        do = "run /hooks/prestop.sh: without it a rolling restart may stop two copies at once"
        yield Check(what, ADVICE, "none that waits for the controllers", do)
    grace = _pod(found).get("terminationGracePeriodSeconds", 30)
    what = "time to stop"
    if grace < GRACE_LEAST_S:
        yield Check(what, ADVICE, f"{grace} s", "terminationGracePeriodSeconds: 660")
    else:
        yield Check(what, OK, f"{grace} s")


def setting_aside(found: Found) -> Iterator[Check]:
    """Data that the main refuses are set aside by an init container."""
    reset = f"{found.release}-reset"
    what = "init container that sets data aside"
    if reset in mounted_config_maps(found):
        yield Check(what, OK, f"mounts {reset}")
    else:
        do = f"add it, or set autoReset: off and rebuild replicas by hand ({reset})"
        yield Check(what, ADVICE, "none", do)


def names(found: Found) -> Iterator[Check]:
    """The headless Service finds pods that are not ready."""
    if found.service is None:
        yield Check("addresses", OK, "no Service named: replicas are registered by pod IP")
        return
    spec: Json = found.service.get("spec") or {}
    what = "the Service is headless"
    if spec.get("clusterIP") == "None":
        yield Check(what, OK, "clusterIP: None")
    else:
        do = "name a headless one, or none: then replicas are registered by pod IP"
        yield Check(what, MISSING, f"clusterIP: {spec.get('clusterIP')}", do)
    what = "it finds pods that are not ready"
    if spec.get("publishNotReadyAddresses"):
        yield Check(what, OK, "publishNotReadyAddresses")
    else:
        yield Check(what, MISSING, "it does not", "publishNotReadyAddresses: true")
    service = found.statefulset.get("spec", {}).get("serviceName")
    name = (found.service.get("metadata") or {}).get("name")
    what = "the pods' names resolve in it"
    if service == name:
        yield Check(what, OK, f"serviceName: {service}")
    else:
        yield Check(what, MISSING, f"serviceName: {service}", f"the StatefulSet's is {service}")


EACH: tuple[Callable[[Found], Iterator[Check]], ...] = (
    selected,
    enough,
    version,
    boot_guard,
    durable,
    volumes,
    names,
    leaving,
    setting_aside,
)
