"""The live page as text: what stands on it, and that nothing from outside becomes markup."""

from html.parser import HTMLParser

import pytest
import web_picture as p
from attrs import evolve
from test_openapi import bare, full, healthy
from test_web_server import get, serving

from controller.web import Snapshot
from controller.web.page import ASSETS, LivePage, asset
from controller.web.page import words as w
from controller.web.page.markup import escaped, tag
from controller.web.page.picture import edges
from controller.web.page.timeline import ENTRIES_SHOWN_MAX
from statemachine.ids import Instance, Phase
from statemachine.ledger import Ledger
from statemachine.observations import Failure
from statemachine.rules import RULES

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x1b[31m"
VOID = {"meta", "link", "br", "hr", "rect", "path"}


class Outline(HTMLParser):
    """Elements in order, with their attributes and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(snapshot: Snapshot) -> str:
    """The whole document."""
    return LivePage(lambda: snapshot).page()


def seen(snapshot: Snapshot) -> str:
    """All text of it."""
    return " ".join(" ".join(Outline(page_of(snapshot)).text).split())


@pytest.mark.parametrize("picture", [full, bare, healthy])
def test_the_document_is_whole(picture: object) -> None:
    """Every element is closed, every id is there once, every label and link points at one."""
    outline = Outline(page_of(picture()))  # type: ignore[operator]
    assert not outline.open
    ids = [attrs["id"] for _, attrs in outline.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in outline.elements:
        assert attrs.get("aria-labelledby") in {None, *ids}
        href = attrs.get("href") or ""
        assert not href.startswith("#") or href[1:] in ids


def test_what_matters_is_there_without_any_script() -> None:
    """Main, phase, writes, each instance with role, lag and age, gateways with sessions, ledger."""
    text = seen(healthy())
    for expected in (
        "OPERATIONAL",
        "Main: memgraph-1",
        "Writes are open",
        "memgraph-2 async replica async ready 2 behind now",
        "controller-a open 8 entry 41 3 now memgraph-1: ok",
        "read/write 0.0.0.0:7687 3 to memgraph-1",
        "main lost: memgraph-0 → memgraph-1",
        "May have lost: none.",
        "because of main_promoted",
        "Ways out of OPERATIONAL",
    ):
        assert expected in text
    assert "load it again" in text


def test_a_failover_is_told_in_words() -> None:
    """Who is replaced by whom, who does not answer since when, what waits, who has paused."""
    text = seen(full())
    for expected in (
        "memgraph-0 → memgraph-1",
        "Writes are closed",
        "memgraph-2 does not answer (silent for 3.0 s)",
        "no answer for 3 s",
        "main lost of memgraph-0 : vantages agree: 1 of 2 pods cannot reach it",
        "paused by alice",
        "switchover memgraph-0 by bob",
        "API server, pods: 403",
    ):
        assert expected in text


def test_a_standby_says_that_refusals_are_the_leaders() -> None:
    """A standby cannot know what the leader refuses, and does not say "nothing"."""
    assert "This pod does not lead" in seen(bare())


def hostile_ledger() -> Ledger:
    """Entries whose texts were made to do harm."""
    lines = tuple(
        line.replace("because of main_lost", HOSTILE.replace('"', '\\"').replace("\x1b", "\\u001b"))
        for line in p.history().lines
    )
    return Ledger(p.history().cluster, "h", lines)


def test_hostile_names_stay_text() -> None:
    """Names and texts from pods, requests, errors and the ledger cannot add an element or an
    attribute, nor reorder what is read."""
    name = Instance(HOSTILE)
    view = p.failing(p.view(), p.M2, Failure.ERROR, HOSTILE, 3.0)
    pods = tuple(
        evolve(i, instance=name, pod=evolve(i.pod, node=HOSTILE)) if i.instance == p.M0 else i
        for i in view.instances
        if i.pod is not None
    )
    gateways = tuple(
        evolve(g, facts=evolve(g.facts, pod=HOSTILE, vantage={name: HOSTILE}))
        for g in view.gateways
    )
    clean, ledger = healthy(), hostile_ledger()
    hostile = evolve(
        clean,
        cluster=p.cluster(main=name, leader=HOSTILE, verdict=HOSTILE, sync=frozenset({name})),
        view=evolve(view, instances=pods, gateways=gateways, me=HOSTILE),
        ledger_lines=ledger.lines,
        ledger_trouble=HOSTILE,
        kube_trouble={HOSTILE: HOSTILE},
        listening={"rw": HOSTILE},
        refusals=(evolve(p.REFUSAL, candidate=HOSTILE, saw=HOSTILE),),
    )
    page = page_of(hostile)
    outline = Outline(page)
    allowed = {tag for tag, _ in Outline(page_of(clean)).elements} | {"li", "ul", "span"}
    assert {tag for tag, _ in outline.elements} <= allowed
    assert [attrs for tag, attrs in outline.elements if tag == "script"] == [
        {"src": "/page/page.js", "defer": None}
    ]
    assert not any(key.startswith("on") for _, attrs in outline.elements for key in attrs)
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;") > 10


def test_markup_escapes_everything_but_markup() -> None:
    """Text, attributes, and what stands within a tag that stands within a tag."""
    made = tag("p", "<b>", tag("i", "a & b"), title='"<', hidden=True, class_=None, aria_label="x")
    expected = '<p title="&quot;&lt;" hidden aria-label="x">&lt;b&gt;<i>a &amp; b</i></p>'
    assert made == expected
    assert escaped(f"{made}") != made, "a string made from Markup is text again"


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    """What the policy forbids is not on the page: no style attribute, no inline script or style,
    no address of another host."""
    page = page_of(full())
    outline = Outline(page)
    assert "style" not in {key for _, attrs in outline.elements for key in attrs}
    assert "style" not in {tag for tag, _ in outline.elements}
    links = [attrs.get(key) for _, attrs in outline.elements for key in ("src", "href")]
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links if link)
    for name in ASSETS:
        text = asset(name).replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "http" not in text
        assert "@import" not in text


async def test_the_browser_is_told_to_load_nothing_else() -> None:
    """Every answer carries a policy; the page's own allows this origin alone, the API's nothing."""
    async with serving(healthy) as address:
        page = await get(address, "/")
        status = await get(address, "/api/v1/status")
        script = await get(address, "/page/page.js")
    assert "content-type: text/html" in page.headers
    policy = next(x for x in page.headers.splitlines() if x.startswith("content-security-policy"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "content-security-policy: default-src 'none'" in status.headers
    assert "content-type: text/javascript" in script.headers
    for answer in (page, status, script):
        assert "x-content-type-options: nosniff" in answer.headers


def test_the_diagram_has_the_edges_of_the_table_and_no_other() -> None:
    """Each way between two phases with every trigger that leads along it."""
    expected = {
        (source, rule.target(source), rule.trigger)
        for rule in RULES
        for source in rule.sources
        if rule.target(source) is not source
    }
    assert {(e.source, e.dest, t) for e in edges() for t in e.triggers} == expected


@pytest.mark.parametrize("phase", list(Phase))
def test_the_present_phase_is_lit(phase: Phase) -> None:
    """In shape, colour, and in words for who sees neither."""
    snapshot = evolve(healthy(), cluster=p.cluster(phase=phase))
    html = LivePage(lambda: snapshot).parts().html["diagram"]
    assert f'class="box lit {phase.value.lower()}"' in html
    assert html.count(" lit ") == 1
    assert f"State diagram: the phase is {phase.value}." in html


def test_parts_are_rendered_once_for_all_who_look() -> None:
    """Within the same moment the same parts are handed out; a moment later they are new."""
    pictures = iter((healthy(), evolve(healthy(), now_s=p.NOW_S + 0.1), bare(), full()))
    later = evolve(full(), now_s=p.NOW_S + 60)
    page = LivePage(lambda: next(pictures, later))
    assert page.parts() is page.parts()
    page.parts()
    assert page.parts() is not page.parts()


def test_a_long_ledger_shows_its_end() -> None:
    """The page stays small; what came before is one link away."""
    line = p.history().lines[-1]
    lines = tuple(line.replace('"seq":6', f'"seq":{n}') for n in range(1, 300))
    text = seen(evolve(healthy(), ledger_lines=lines, ledger_head="z"))
    assert f"The last {ENTRIES_SHOWN_MAX} entries" in text
    assert "#299" in text
    assert "#239 " not in text


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (w.age(None), "-"),
        (w.age(0.4), "now"),
        (w.age(90), "90 s"),
        (w.age(200), "3 min"),
        (w.age(9000), "2 h"),
        (w.age(300_000), "3 d"),
        (w.took(0.25), "250 ms"),
        (w.took(1.24), "1.2 s"),
        (w.size(999), "999 B"),
        (w.size(2048), "2.0 KiB"),
        (w.size(5 * 1024**4), "5.0 TiB"),
        (w.lag(-1200), "1,200 behind"),
        (w.lag(3), "3 ahead of the main"),
        (w.lag(0), "none"),
        (w.clock("2025-11-21T07:00:10.900+00:00"), "07:00:10.900"),
        (w.clock("2025-11-21T07:00:10.900Z"), "07:00:10.900"),
        (w.clock("tomorrow"), "tomorrow"),
    ],
)
def test_numbers_are_said_as_people_say_them(said: str, expected: str) -> None:
    """Coarse enough not to flicker, fine enough to tell fresh from old."""
    assert said == expected
