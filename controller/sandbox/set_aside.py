"""Init container of a Memgraph pod: sets the instance's data aside if a reset token says so.

Promise (S12): the data are moved beside their directory, and a copy is removed only if it was
released by name and an earlier run has made it. It acts only on a
token that is greater than the last one carried out, which it keeps next to the data, so that a
token that was read late or twice does nothing. When the API server cannot be asked it fails, and
the kubelet tries again: an instance never starts on data that were ordered away.

What a newcomer gets wrong: the move comes before the note. Killed in between, the next run finds
nothing to move and notes the token.
"""

import argparse
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

REQUEST_S = 5.0
LISTED_MAX = 50  # a termination message has 4096 bytes
NOTE = "last-reset-token"  # in the volume, beside the data


def ordered(url: str, instance: str, bearer: str = "") -> tuple[int, tuple[int, ...]]:
    """The token that waits for the instance, 0 when there is none; and the copies that it may
    remove.

    Raises urllib.error.URLError: the API server could not be asked.
    """
    request = urllib.request.Request(url)
    if bearer:
        request.add_header("Authorization", f"Bearer {bearer}")
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return 0, ()
        raise
    data = found.get("data") or {}
    released = str(data.get(f"{instance}.released", "")).split()
    return int(data.get(instance, 0)), tuple(int(token) for token in released)


def remove(data: Path, released: Sequence[int]) -> None:
    """Remove the released copies that an earlier run has made."""
    note = data.parent / NOTE
    last = int(note.read_text()) if note.exists() else 0
    for token in released:
        kept = data.with_name(f"{data.name}.set-aside-{token}")
        if token <= last and kept.is_dir():
            shutil.rmtree(kept, ignore_errors=True)


def set_aside(data: Path, token: int) -> Path | None:
    """Carry the token out if it is a new one; returns where the data are now, None if nothing was
    moved."""
    note = data.parent / NOTE
    last = int(note.read_text()) if note.exists() else 0
    if token <= last:
        return None
    kept = data.with_name(f"{data.name}.set-aside-{token}")
    moved = data.exists()
    if moved:
        data.rename(kept)
        kept.touch()
    note.write_text(str(token))
    return kept if moved else None


def listed(data: Path) -> str:
    """What has been set aside, one line each: "set-aside TOKEN BYTES SECONDS_SINCE_1970"."""
    found = []
    for kept in data.parent.glob(f"{data.name}.set-aside-*"):
        token = kept.name.rpartition("-")[2]
        size = sum(file.stat().st_size for file in kept.rglob("*") if file.is_file())
        found.append((int(token), f"set-aside {token} {size} {kept.stat().st_mtime:.0f}\n"))
    return "".join(line for _, line in sorted(found)[-LISTED_MAX:])


def main(words: Sequence[str] | None = None) -> int:
    """Exit code: 0 done or nothing to do, 1 the API server could not be asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--url", required=True, help="of the ConfigMap with the reset tokens")
    parser.add_argument("--instance", required=True)
    parser.add_argument("--data-directory", required=True, type=Path)
    parser.add_argument("--token-for-api", default="", help="bearer token")
    options = parser.parse_args(words)
    try:
        token, released = ordered(options.url, options.instance, options.token_for_api)
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        print(f"cannot read the reset tokens: {error}", file=sys.stderr)
        return 1
    remove(options.data_directory, released)
    kept = set_aside(options.data_directory, token)
    if where := os.environ.get("TERMINATION_LOG"):
        Path(where).write_text(listed(options.data_directory))
    print(f"token {token}: " + (f"data set aside in {kept.name}" if kept else "nothing to do"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
