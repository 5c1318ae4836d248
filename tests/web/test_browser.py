"""The live page in a real headless Chromium: on hand-made pictures, and on a running sandbox whose
main is killed (controllers are real; Kubernetes and Memgraph are stand-ins there)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Any

import pytest
import trio
import web_picture as p
from attrs import evolve
from test_live_page import HOSTILE
from test_openapi import bare, full, healthy
from test_web_server import Where
from test_web_streams import Switch
from web_driver import MISSING, Browser, browsing

from controller.sandbox.apiserver import EVENTS
from controller.sandbox.world import SandboxOptions, open_sandbox
from controller.web import Snapshot, serve
from statemachine.ids import Phase

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(MISSING), reason="needs Debian's chromium and chromium-driver"),
]
PATIENCE_S = 120.0
LIMIT_S = 280.0
PATIENT = {  # for a machine that is busy with a browser; a killed main refuses, and needs no grace
    "LEASE_DURATION": "20s",
    "LEASE_RENEW_DEADLINE": "15s",
    "LEASE_RETRY": "2s",
    "PROBE_TIMEOUT": "4s",
    "MAIN_GRACE": "12s",
    "SYNC_GRACE": "15s",
    "GATEWAY_SELF_FENCE": "10s",
    "GATEWAY_BARRIER": "12s",
}
AXE = (files("axe_core_python") / "axe.min.js").read_text()
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ['violations']}).then(
  (found) => done(found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes[0].html}`)),
  (error) => done([String(error)]));
"""


@asynccontextmanager
async def serving(source: Callable[[], Snapshot]) -> AsyncIterator[str]:
    """A server for as long as the test likes; its address."""
    async with trio.open_nursery() as nursery:
        address = await nursery.start(partial(serve, Where(), source))
        yield f"http://{address.host}:{address.port}/"
        nursery.cancel_scope.cancel()


@pytest.fixture
async def browser() -> Any:
    """A window."""
    async with browsing() as window:
        yield window


async def look(browser: Browser, scheme: str, width: int) -> None:
    """As a person with these wishes sees it."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    await browser.devtools("Emulation.setEmulatedMedia", features=features)
    await browser.devtools(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=1200, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip


async def violations(browser: Browser) -> list[str]:
    """What axe-core finds, contrast included."""
    await browser.run(AXE + "; window.axe = axe;")
    found: list[str] = await browser.run_async(RUN_AXE)
    return found


def degraded() -> Snapshot:
    """One copy, one refused instance."""
    cluster = p.cluster(
        phase=Phase.DEGRADED,
        sync=frozenset({p.M1}),
        refused=(p.REFUSED,),
        verdict="at most 1 transaction a writer: memgraph-0 may hold what memgraph-1 does not",
    )
    return evolve(healthy(), cluster=cluster)


async def test_everybody_can_read_it(browser: Browser) -> None:
    """axe-core finds nothing to object to, in light and dark, wide and narrow, in every phase; no
    page is wider than its window; and the browser refused nothing, so nothing was asked for."""
    pictures = {"full": full, "bare": bare, "healthy": healthy, "degraded": degraded}
    with trio.fail_after(LIMIT_S):
        source = Switch(healthy())
        async with serving(source) as url:
            for number, (name, picture) in enumerate(pictures.items()):
                source.snapshot = picture()
                scheme, width = ("light", "dark")[number % 2], (1280, 400)[number // 2]
                await look(browser, scheme, width)
                await browser.open(url)
                phase = picture().cluster.phase.value
                await browser.wait("phase", lambda text, phase=phase: text == phase, PATIENCE_S)
                assert (name, await violations(browser)) == (name, [])
                wide = "return document.documentElement.scrollWidth <= window.innerWidth"
                assert await browser.run(wide), f"{name} is wider than {width}"
            assert [line for line in await browser.log() if "favicon" not in line] == []


async def test_the_keyboard_reaches_everything(browser: Browser) -> None:
    """The first stop is the way past the navigation; every link, every table that scrolls and every
    entry's evidence can be focused, and the focus can be seen."""
    with trio.fail_after(LIMIT_S):
        async with serving(healthy) as url:
            await browser.open(url)
            focusable = "a[href], summary, [tabindex='0']"
            stops = await browser.run(
                f"""const all = [...document.querySelectorAll("{focusable}")];
                return all.map((e) => {{ e.focus({{focusVisible: true}});
                  return [e.tagName, document.activeElement === e,
                          getComputedStyle(e).outlineStyle]; }});"""
            )
            assert stops[0][0] == "A"
            assert {tag for tag, _, _ in stops} == {"A", "DIV", "SUMMARY"}
            assert all(focused and outline != "none" for _, focused, outline in stops)


async def test_an_update_leaves_the_reader_where_he_was(browser: Browser) -> None:
    """Evidence that is open stays open, and the focus stays on it, when a newer entry comes; the
    sentence for a reader's voice changes in an element that stays."""
    with trio.fail_after(LIMIT_S):
        history = p.history()
        source = Switch(evolve(healthy(), ledger_lines=history.lines[:5], ledger_head="five"))
        async with serving(source) as url:
            await browser.open(url)
            await browser.run(
                """const e = document.getElementById('entry-3');
                e.open = true; e.querySelector('summary').focus();
                window.voice = document.getElementById('said');"""
            )
            source.snapshot = evolve(degraded(), ledger_lines=history.lines, ledger_head="six")
            await browser.wait("timeline", lambda text: "#6" in text, PATIENCE_S)
            held = """const e = document.getElementById('entry-3');
                return [e.open, document.activeElement === e.querySelector('summary')];"""
            assert await browser.run(held) == [True, True]
            await browser.wait("phase", lambda text: text == "DEGRADED", PATIENCE_S)
            same = "return window.voice === document.getElementById('said') && voice.textContent"
            with trio.fail_after(PATIENCE_S):
                while not str(await browser.run(same)).startswith("DEGRADED"):
                    await trio.sleep(0.05)
            assert str(await browser.run("return document.title")).startswith("DEGRADED")


async def test_hostile_texts_do_nothing_in_a_real_browser(browser: Browser) -> None:
    """Nothing runs, also when the text comes with an update through the stream."""
    with trio.fail_after(LIMIT_S):
        source = Switch(healthy())
        async with serving(source) as url:
            await browser.open(url)
            await browser.run("window.alert = () => { window.wasHit = true; };")
            source.snapshot = evolve(
                healthy(), ledger_trouble=HOSTILE, kube_trouble={"pods": HOSTILE}
            )
            await browser.wait("problems", lambda text: "alert(1)" in text, PATIENCE_S)
            assert not await browser.run("return Boolean(window.wasHit)")
            assert await browser.run("return document.images.length") == 0


async def test_an_old_page_does_not_look_alive(browser: Browser) -> None:
    """When the pod is gone the page says since when it has heard nothing."""
    with trio.fail_after(LIMIT_S):
        async with serving(healthy) as url:
            await browser.open(url)
            await browser.wait("link-state", lambda text: text == "Live, as of", PATIENCE_S)
        await browser.wait("link-state", lambda text: "Connection lost" in text, PATIENCE_S)


async def test_the_page_shows_a_failover_while_it_happens(browser: Browser) -> None:
    """The sandbox's main is killed: without a reload the page shows the other instance as main, the
    failover with its proof in the timeline, and later OPERATIONAL again; every state on its way
    there is one that the ledger tells of. Kubernetes Events at ledger and pods say the same."""
    with trio.fail_after(LIMIT_S):
        async with open_sandbox(SandboxOptions(env=PATIENT)) as sandbox:
            await sandbox.wait_phase("OPERATIONAL", PATIENCE_S)
            url = f"http://{sandbox.address_of(sandbox.leader())}:8080/"
            await browser.open(url)
            await browser.wait("phase", lambda text: text == "OPERATIONAL", PATIENCE_S)
            old = sandbox.noted("main")
            assert await browser.text("main-name") == old
            await browser.run(
                """window.seen = []; const note = () => {
                  const p = document.getElementById('phase').innerText;
                  if (seen[seen.length - 1] !== p) seen.push(p); };
                new MutationObserver(note).observe(document.getElementById('headline'),
                  {childList: true, subtree: true}); note();"""
            )
            sandbox.kill("main")
            new = await browser.wait(
                "main-name", lambda text: text not in ("", old, "nobody"), PATIENCE_S
            )
            assert new == sandbox.noted("main")
            change = await browser.wait("last-change", lambda text: new in text, PATIENCE_S)
            assert f"{old} → {new}" in change
            await browser.wait("timeline", lambda text: "main lost" in text, PATIENCE_S)
            await sandbox.wait_phase("OPERATIONAL", PATIENCE_S)
            await browser.wait("phase", lambda text: text == "OPERATIONAL", PATIENCE_S)
            told, _ = sandbox._store.select(EVENTS)
            reasons = {(e["involvedObject"]["kind"], e["reason"]) for e in told}
            assert {("ConfigMap", "MainLost"), ("Pod", "MainPromoted")} <= reasons
            seen = await browser.run("return window.seen")
            assert seen[0] == seen[-1] == "OPERATIONAL"
            assert set(seen[1:-1]) & {"FAILOVER", "DEGRADED"}
            assert [line for line in await browser.log() if "favicon" not in line] == []
