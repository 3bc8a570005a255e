"use strict";
// Replaces the live part of the page when the worker sends another one. Without it, the page is as it was loaded.
(() => {
  const live = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (!live || !window.EventSource) return;
  let at = Date.now();
  const say = (text) => {
    state.hidden = false;
    if (state.textContent !== text) state.textContent = text;
  };
  const replace = (html) => {
    // A form that is being filled in, or a selected text, stays.
    const active = document.activeElement;
    const selection = window.getSelection();
    const busy = active && live.contains(active) && active.matches("input, select, textarea");
    const selected = selection && !selection.isCollapsed && live.contains(selection.anchorNode);
    if (busy || selected) return;
    const href = active && live.contains(active) ? active.getAttribute("href") : null;
    live.innerHTML = html;
    if (href) {
      const same = Array.from(live.querySelectorAll("a")).find((a) => a.getAttribute("href") === href);
      if (same) same.focus({ preventScroll: true });
    }
  };
  const open = () => {
    const source = new EventSource("/live/" + live.dataset.live);
    source.addEventListener("live", (event) => {
      at = Date.now();
      replace(event.data);
      say("Live");
    });
    source.addEventListener("open", () => { at = Date.now(); say("Live"); });
    source.addEventListener("error", () => {
      // The browser opens a stream that has ended again by itself; one that was refused it does not.
      if (source.readyState === EventSource.CLOSED) window.setTimeout(open, 10000);
    });
  };
  window.setInterval(() => {
    const seconds = Math.round((Date.now() - at) / 1000);
    if (seconds > 40) say("Not live: no answer of the worker for " + seconds + " s");
  }, 5000);
  open();
})();
