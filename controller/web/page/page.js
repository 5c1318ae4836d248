// Replaces parts of the page by parts that the server has rendered, as they change.
// It knows nothing of the data. When nothing is heard for a while the page says that it is old.
"use strict";
(() => {
  const SILENCE_MS = 8000; // a beat comes every 2 s
  const $ = (id) => document.getElementById(id);
  let heardAt = Date.now();

  const setText = (element, text) => {
    if (element && element.textContent !== text) element.textContent = text;
  };

  const show = (id, html) => {
    const element = $(id);
    if (!element) return;
    const open = [...element.querySelectorAll("details[open][id]")].map((each) => each.id);
    const focused = document.activeElement;
    const focusedIn = focused && element.contains(focused) ? focused.closest("[id]") : null;
    const wasSummary = focusedIn && focused.tagName === "SUMMARY";
    const scrolled = [...element.querySelectorAll(".scrolls")].map((each) => each.scrollLeft);
    element.innerHTML = html;
    for (const each of open) if ($(each)) $(each).open = true;
    element.querySelectorAll(".scrolls").forEach((each, i) => { each.scrollLeft = scrolled[i] || 0; });
    if (wasSummary && $(focusedIn.id)) $(focusedIn.id).querySelector("summary").focus();
  };

  const heard = (text) => {
    heardAt = Date.now();
    document.documentElement.classList.remove("stale");
    setText($("link-state"), "Live, as of");
    if (text) setText($("at"), text);
  };

  const stale = () => {
    document.documentElement.classList.add("stale");
    setText($("link-state"), "Connection lost; last seen");
  };

  const stream = new EventSource("/api/v1/page/stream");
  stream.addEventListener("part", (event) => {
    const part = JSON.parse(event.data);
    show(part.id, part.html);
  });
  stream.addEventListener("said", (event) => {
    const text = JSON.parse(event.data);
    setText($("said"), text);
    document.title = `${text.split(":")[0]} – memgraph-controller`;
  });
  stream.addEventListener("beat", (event) => heard(JSON.parse(event.data)));
  stream.onerror = stale;
  setInterval(() => { if (Date.now() - heardAt > SILENCE_MS) stale(); }, 1000);
})();
