// The pages work without this file. It fills in the one-time code, copies commands, and listens to single keys.
"use strict";

(() => {
  const signIn = document.getElementById("login");
  if (signIn && location.hash.length > 1) {
    document.getElementById("code").value = decodeURIComponent(location.hash.slice(1));
    // The code must not stay in the history of the browser.
    history.replaceState(null, "", location.pathname);
    signIn.requestSubmit();
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    });
  }

  const keys = document.getElementById("keys");
  const list = document.getElementById("show-keys");
  if (list && keys) {
    list.hidden = false;
    list.addEventListener("click", () => keys.showModal());
  }

  // The undo is offered for a while. The countdown stops under the pointer and the focus, so that there is no hurry.
  const bar = document.getElementById("undo-bar");
  if (bar) {
    const left = document.getElementById("undo-left");
    let seconds = Number(bar.dataset.seconds);
    const show = () => { left.textContent = `${seconds} s`; };
    left.hidden = false;
    show();
    const timer = setInterval(() => {
      if (bar.matches(":hover") || bar.contains(document.activeElement)) return;
      seconds -= 1;
      if (seconds > 0) return show();
      clearInterval(timer);
      bar.remove();
    }, 1000);
  }

  if (!document.body || document.body.dataset.keys !== "on") return;

  let prefix = "";
  const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);

  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.classList.contains("current"));
    const next = all[Math.min(all.length - 1, Math.max(0, now + step))];
    for (const row of all) row.classList.toggle("current", row === next);
    const link = next.querySelector("a[href]");
    if (link) link.focus();
    next.scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (at.closest && at.closest("input, textarea, select, [contenteditable], dialog, .cm-editor")) return;
    if (prefix === "g") {
      prefix = "";
      const link = [...document.querySelectorAll("nav [data-key]")].find((one) => one.dataset.key === event.key);
      if (link) { event.preventDefault(); location.assign(link.href); }
      return;
    }
    if (event.key === "g") prefix = "g";
    else if (event.key === "?" && keys) keys.showModal();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
    }
  });
})();
