// Live parts of a page. It is loaded before htmx, which puts the answers of this program into the page.
"use strict";

(() => {
  const SAY_EVERY = 5000;

  // The policy of the page asks for a named way from text to elements. Its only text is this program's own answers, in
  // which every value is escaped. There is no way from text to a script or to a script's address.
  if (window.trustedTypes) window.trustedTypes.createPolicy("default", { createHTML: (text) => text });

  // The extension asks for this before it connects; htmx is loaded by then.
  document.addEventListener("DOMContentLoaded", () => {
    if (window.htmx) window.htmx.createEventSource = (url) => new window.AgentEvents(url);
  });

  const part = () => document.getElementById("live");
  let waiting = null;
  let opened = [];
  let saidAt = 0;
  let timer = null;

  // A part that a person is using is not replaced under them: a paused list, ticked rows, and the focus.
  const pause = document.getElementById("live-pause");
  const inUse = (target) =>
    pause?.getAttribute("aria-pressed") === "true"
    || target.querySelector("input:checked") !== null
    || target.contains(document.activeElement) && document.activeElement.matches("a, button, input, select, textarea, summary");

  const say = () => {
    timer = null;
    saidAt = Date.now();
    const line = part()?.querySelector("[data-say]");
    const said = document.getElementById("live-said");
    if (line && said && said.textContent !== line.dataset.say) said.textContent = line.dataset.say;
  };

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, requestConfig } = event.detail;
    if (target?.id !== "live") return;
    opened = [...target.querySelectorAll("details[open] > summary")].map((one) => one.textContent);
    if (!inUse(target)) return;
    event.detail.shouldSwap = false;
    waiting = requestConfig.elt;
    const stale = document.getElementById("live-stale");
    if (stale && target.querySelector("input:checked")) stale.hidden = false;
  });

  document.addEventListener("htmx:afterSettle", () => {
    const stale = document.getElementById("live-stale");
    if (stale) stale.hidden = true;
    for (const summary of part()?.querySelectorAll("details > summary") ?? []) {
      if (opened.includes(summary.textContent)) summary.parentElement.open = true;
    }
    opened = [];
    if (timer === null) timer = setTimeout(say, Math.max(0, SAY_EVERY - (Date.now() - saidAt)));
    readyList();
  });

  const resume = () => {
    const target = part();
    if (!waiting || !target || inUse(target)) return;
    const source = waiting;
    waiting = null;
    const names = source.getAttribute("hx-trigger").split(",");
    window.htmx.trigger(source, names[0].trim());
  };
  document.addEventListener("focusout", () => setTimeout(resume));

  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      pause.setAttribute("aria-pressed", String(pause.getAttribute("aria-pressed") !== "true"));
      resume();
    });
  }

  const readyList = () => {
    const all = document.getElementById("tick-all");
    if (!all || !all.hidden) return;
    all.hidden = false;
    all.addEventListener("click", () => {
      const boxes = [...document.querySelectorAll('#inbox input[name="id"]')];
      const on = boxes.some((box) => !box.checked);
      for (const box of boxes) box.checked = on;
    });
  };
  readyList();
})();
