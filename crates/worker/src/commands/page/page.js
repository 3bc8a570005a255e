"use strict";
// Adds the reader's local time to the times of a page, and brings its live part up to date when the worker sends
// another one. Without the script, the page is as it was loaded, with times in UTC.
(() => {
  const day = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short" });
  const clock = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" });
  const zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });
  const zoneName = (at) => zone.formatToParts(at).find((part) => part.type === "timeZoneName").value;
  const addLocalTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime()) || at.getTimezoneOffset() === 0) continue;
      const date = day.format(at) === time.dateTime.slice(0, 10) ? "" : day.format(at) + " ";
      const local = document.createElement("span");
      local.className = "local";
      local.textContent = " (" + date + clock.format(at) + " " + zoneName(at) + ")";
      time.after(local);
    }
  };
  addLocalTimes(document);

  const live = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (!live || !window.EventSource) return;
  let heard = Date.now();
  const say = (text) => {
    state.hidden = false;
    if (state.textContent !== text) state.textContent = text;
  };
  // Changes only the nodes that differ, so that focus, selected text, a click under way, a form that is being filled
  // in, an opened list and the scroll of a table stay.
  const update = (old, next) => {
    const fresh = Array.from(next.childNodes);
    fresh.forEach((node, index) => {
      const is = old.childNodes[index];
      if (!is) old.append(node);
      else if (is.nodeName !== node.nodeName || is.id !== node.id) is.replaceWith(node);
      else if (node.nodeType === Node.TEXT_NODE) { if (is.data !== node.data) is.data = node.data; }
      else if (node.nodeType === Node.ELEMENT_NODE) {
        for (const { name } of Array.from(is.attributes)) {
          if (name !== "open" && !node.hasAttribute(name)) is.removeAttribute(name);
        }
        for (const { name, value } of Array.from(node.attributes)) {
          if (name !== "open" && is.getAttribute(name) !== value) is.setAttribute(name, value);
        }
        update(is, node);
      }
    });
    while (old.childNodes.length > fresh.length) old.lastChild.remove();
  };
  // The title of a tab in the background says that something needs attention.
  const title = document.title.replace(/^\(\d+\) /, "");
  const show = (html) => {
    const next = document.createElement("template");
    next.innerHTML = html;
    addLocalTimes(next.content);
    update(live, next.content);
    const attention = live.querySelector("[data-attention]");
    document.title = attention ? "(" + attention.dataset.attention + ") " + title : title;
  };
  const open = () => {
    const source = new EventSource("/live/" + live.dataset.live);
    source.addEventListener("live", (event) => {
      heard = Date.now();
      show(event.data);
      say("Live");
    });
    source.addEventListener("open", () => { heard = Date.now(); say("Live"); });
    source.addEventListener("error", () => {
      // The browser opens a stream that has ended again by itself, but not one that was refused.
      if (source.readyState === EventSource.CLOSED) window.setTimeout(open, 10000);
    });
  };
  window.setInterval(() => {
    const seconds = Math.round((Date.now() - heard) / 1000);
    if (seconds > 40) say("Not live: no answer of the worker for " + seconds + " s");
  }, 5000);
  open();
})();
