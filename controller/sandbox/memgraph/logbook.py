"""Lines for people, in Memgraph's form, to the log file and, without one, to standard error."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO


class Logbook:
    """Writes whole lines at once; a full disk is not a reason to stop a database."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = sys.stderr if path is None else path.open("a", buffering=1)

    def info(self, text: str) -> None:
        self._write("info", text)

    def warning(self, text: str) -> None:
        self._write("warning", text)

    def error(self, text: str) -> None:
        self._write("error", text)

    def close(self) -> None:
        if self._file is not sys.stderr:
            self._file.close()

    def _write(self, level: str, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        try:
            self._file.write(f"[{stamp}] [{level}] {text}\n")
        except OSError:
            return
