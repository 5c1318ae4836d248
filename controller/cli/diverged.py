"""`diverged`: data that the main did not accept: refused now, or set aside on their volume.

Promise: what is set aside is listed as the instance's own init container found it at its last
start; nothing is guessed. How long each is kept follows from the ledger and from the controllers'
own setting. What a newcomer gets wrong: a copy may hold the only trace of a write that nobody was
told about, so nothing here deletes one.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import click
from attrs import asdict, frozen
from attrs import evolve as change

from controller.cli import tables
from controller.cli.entry import output, targeted
from controller.cli.exits import FAILED, HELP, OK
from controller.cli.reading import Json, Target, setting_of
from statemachine.cluster import Cluster, Refused
from statemachine.ids import Instance

LINE = re.compile(r"^set-aside (\d{1,18}) (\d{1,18}) (\d{1,12})$")
COLUMNS = ("INSTANCE", "STATE", "ENTRY", "SIZE", "AGE", "KEPT", "WHY")
SETTING = "DIVERGED_KEEP"
BY_HAND = "until removed by hand"


@frozen
class Branch:
    """One branch of data that the main does not hold, or did not. `seq`: the entry that ordered it
    away (0: none did). `bytes` and `at` are None while it is where it was."""

    instance: str
    state: str  # "refused" | "reset ordered" | "set aside"
    seq: int
    why: str
    bytes: int | None = None
    at: str | None = None
    kept: str = "-"  # until when, in words


@click.command(epilog=HELP)
@output("table", "json", "yaml")
@targeted
def diverged(form: str, **target: str) -> None:
    """List data that the main did not accept: refused now, or set aside on their volume.

    \b
    A reset never deletes: the data are moved aside on the instance's own volume. A copy goes when
    it is older than DIVERGED_KEEP, every write has two other copies, and no acknowledged write can
    be missing (or somebody has said `acknowledge`): at the instance's next start after that.
    Exit code 1 while an instance is refused and waits.
    To see what a copy holds that the cluster has not, start a Memgraph on it and compare:
      memgraph-controller difference 127.0.0.1:7700 <read-only gateway>

    \b
    Examples:
      memgraph-controller diverged
      memgraph-controller diverged -o json | jq '.[] | select(.bytes > 1e9)'
    """
    from controller.cli.evidence import utc_now
    from controller.cli.pieces import chain_of
    from controller.cli.reading import find_release

    release = find_release(Target(**target))
    chain = chain_of(release)
    why = reasons([line for _, line in chain.entries()])
    waiting = list(waiting_of(chain.cluster.refused))
    pods = release.pods()
    aside = [b for pod in pods for b in set_aside_of(pod, why)]
    keep_s = keep_of(pods)
    branches = [*waiting, *(change(b, kept=kept_of(chain.cluster, b, keep_s)) for b in aside)]
    if form == "table":
        _print(branches, utc_now())
    else:
        tables.show([asdict(branch) for branch in branches], form)
    raise SystemExit(FAILED if waiting else OK)


def waiting_of(refused: Sequence[Refused]) -> Iterator[Branch]:
    """The instances that the main refuses now."""
    for each in refused:
        state = "reset ordered" if each.token else "refused"
        yield Branch(each.instance, state, each.token, each.text)


def reasons(lines: Sequence[str]) -> Mapping[int, str]:
    """Seq of each reset order in these lines -> why."""
    from statemachine.codec import decode

    entries = (decode(line) for line in lines if '"on":"reset_ordered"' in line)
    return {int(entry.seq): entry.event.why for entry in entries}


def set_aside_of(pod: Json, why: Mapping[int, str]) -> Iterator[Branch]:
    """What the pod's init container has listed; a pod that lists nothing has none."""
    name = str(pod.get("metadata", {}).get("name", ""))
    for status in pod.get("status", {}).get("initContainerStatuses") or []:
        for state in ("state", "lastState"):
            ended = (status.get(state) or {}).get("terminated") or {}
            found = list(map(LINE.match, str(ended.get("message", "")).splitlines()))
            for match in filter(None, found):
                seq, size, at_s = map(int, match.groups())
                reason = why.get(seq, "ordered by an entry that is not there any more")
                at = datetime.fromtimestamp(at_s, UTC).isoformat()
                yield Branch(name, "set aside", seq, reason, size, at)
            if found:
                break


def keep_of(pods: Sequence[Json]) -> float | None:
    """DIVERGED_KEEP of the controllers among these pods, seconds, infinity for "off"; None: no pod
    says it in a way that is understood here."""
    from environs import ValidationError

    from controller.setting_values import keeping_or_off_s

    try:
        return keeping_or_off_s(setting_of(pods, SETTING))
    except ValidationError:
        return None


def kept_of(cluster: Cluster, branch: Branch, keep_s: float | None) -> str:
    """Until when this copy is kept, as the leader would decide it now."""
    copy = cluster.copy_of(Instance(branch.instance), branch.seq)
    if copy is None:
        return BY_HAND  # its reset was never finished, or is older than the ledger's memory
    if copy.is_released:
        return "until the next start"
    if copy.needs_a_person:
        return "until `acknowledge`"
    if keep_s is None:
        return f"as {SETTING} says"
    if keep_s == math.inf:
        return BY_HAND
    until = datetime.fromtimestamp(copy.at_s + keep_s, UTC)
    return f"until {until.isoformat(timespec='minutes')}"


def _print(branches: Sequence[Branch], now: datetime) -> None:
    if not branches:
        tables.console().print("no data are refused or set aside")
        return
    rows = [_row(branch, now) for branch in branches]
    tables.console().print(tables.columns(COLUMNS, rows))


def _row(branch: Branch, now: datetime) -> tuple[str, ...]:
    age_s = (now - datetime.fromisoformat(branch.at)).total_seconds() if branch.at else None
    size = "-" if branch.bytes is None else _size_text(branch.bytes)
    seq = str(branch.seq or "-")
    age = tables.age_text(age_s)
    return branch.instance, branch.state, seq, size, age, branch.kept, branch.why


def _size_text(size: float) -> str:
    """ "512 B", "3.4 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
