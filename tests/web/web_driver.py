"""A headless Chromium, driven through chromedriver's own HTTP protocol: what a person would see.

The protocol is W3C WebDriver: JSON over HTTP. A library for it would bring more than it saves.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

START_S = 60.0
REQUEST_S = 60.0
LOOK_S = 0.05
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


class Browser:
    """One window."""

    def __init__(self, address: str, session: str) -> None:
        self._base = f"{address}/session/{session}"

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        call = partial(ask, method, f"{self._base}/{path}", body)
        return await trio.to_thread.run_sync(call)

    async def open(self, url: str) -> None:
        """Load a page."""
        await self._ask("POST", "url", {"url": url})

    async def run(self, script: str, *words: object) -> Any:
        """The value that the script returns; `arguments` are the words."""
        body = {"script": script, "args": list(words)}
        return await self._ask("POST", "execute/sync", body)

    async def run_async(self, script: str) -> Any:
        """The value that the script hands to its last argument, a function."""
        return await self._ask("POST", "execute/async", {"script": script, "args": []})

    async def devtools(self, command: str, **params: object) -> Any:
        """A command of Chromium's own."""
        return await self._ask("POST", "goog/cdp/execute", {"cmd": command, "params": params})

    async def text(self, element: str) -> str:
        """The visible text of the element with this id; "" while there is none."""
        script = "const e = document.getElementById(arguments[0]); return e ? e.innerText : ''"
        return str(await self.run(script, element))

    async def wait(self, element: str, holds: Callable[[str], bool], timeout_s: float) -> str:
        """The element's text, once it is so."""
        text = ""
        with trio.move_on_after(timeout_s):
            while True:
                text = await self.text(element)
                if holds(text):
                    return text
                await trio.sleep(LOOK_S)
        raise AssertionError(f"#{element} never showed it; last: {text!r}")

    async def log(self) -> list[str]:
        """What the page wrote to the console since the last call: also what was refused to it."""
        entries = await self._ask("POST", "se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    async def keep(self, path: Path) -> None:
        """A picture of the window, for who looks into a failed run."""
        path.write_bytes(base64.b64decode(await self._ask("GET", "screenshot")))


def ask(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    """One request; blocks."""
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
        return json.loads(answer.read())["value"]


@asynccontextmanager
async def browsing(width: int = 1280, height: int = 1500) -> AsyncIterator[Browser]:
    """A fresh browser with a fresh profile; both are gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        words = ["chromedriver", "--port=0", f"--log-path={directory}/driver.log"]
        out, nothing = subprocess.PIPE, subprocess.DEVNULL
        driver = subprocess.Popen(words, stdout=out, stderr=nothing)  # noqa: ASYNC220 - it forks
        try:
            address = f"http://127.0.0.1:{await _port_of(driver)}"
            flags = [*FLAGS, f"--user-data-dir={directory}/profile"]
            options = {"args": [*flags, f"--window-size={width},{height}"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            body = {"capabilities": {"alwaysMatch": wanted}}
            with trio.fail_after(START_S):
                made = await trio.to_thread.run_sync(ask, "POST", f"{address}/session", body)
            yield Browser(address, made["sessionId"])
            with trio.move_on_after(START_S, shield=True):
                end = partial(ask, "DELETE", f"{address}/session/{made['sessionId']}")
                await trio.to_thread.run_sync(end)
        finally:
            driver.kill()
            driver.communicate()


async def _port_of(driver: "subprocess.Popen[bytes]") -> int:
    """The port that chromedriver says it has taken."""
    out = driver.stdout
    assert out is not None
    with trio.fail_after(START_S):
        while True:
            line = (await trio.to_thread.run_sync(out.readline, abandon_on_cancel=True)).decode()
            assert line, "chromedriver ended"
            if "successfully on port " in line:
                return int(line.split("on port ")[1].split(".")[0].split()[0])
