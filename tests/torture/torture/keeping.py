"""Keeps what people need to understand a failure: every log, the clients' history, the ledger."""

import json
import shutil
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from controller.sandbox.world import Sandbox
from torture.watching import LedgerBook

HTTP_S = 5.0
KEPT = ("history.jsonl", "node/logs")


def keep(sandbox: Sandbox, seed: int, ledger: LedgerBook, problems: Sequence[str]) -> Path:
    """A fresh directory with everything in it."""
    place = Path(tempfile.mkdtemp(prefix=f"torture-{seed}-"))
    (place / "problems.txt").write_text("\n".join(problems) + "\n")
    lines = (ledger.lines[key].rstrip("\n") for key in sorted(ledger.lines))
    (place / "ledger.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (place / "ledger-stored.json").write_text(json.dumps(dict(sandbox.ledger()), indent=1))
    for name in KEPT:
        source = sandbox.block.directory / name
        if source.is_dir():
            shutil.copytree(source, place / source.name, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy2(source, place / source.name)
    urls = sandbox.card()["http"]
    assert isinstance(urls, dict)
    for pod, url in urls.items():
        (place / f"{pod}.status.json").write_text(_status(url))
    for log in (sandbox.block.directory / "node/volumes").glob("*/*/memgraph.log"):
        shutil.copy2(log, place / f"{log.parent.name}.memgraph.log")
    return place


def _status(url: str) -> str:
    """What a controller pod says of the cluster now; why it says nothing."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/status", timeout=HTTP_S) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError) as error:
        return f"{error}\n"
