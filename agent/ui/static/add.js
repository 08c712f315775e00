// Folders of this machine under the typed path, as the browser's own list of suggestions. The page works without it.
"use strict";

(() => {
  const field = document.getElementById("folder");
  const list = document.getElementById("folder-names");
  if (!field || !list) return;

  let asked = null;
  let waiting = null;

  const ask = async () => {
    waiting = null;
    const typed = field.value;
    // Folders are offered for each part of a path; the browser itself chooses among those of one part.
    if (typed === asked || !/^[~/]/.test(typed)) return;
    asked = typed;
    const answer = await fetch(`/add/folders?typed=${encodeURIComponent(typed)}`, { headers: { accept: "application/json" } });
    if (!answer.ok || field.value !== typed) return;
    const { folders } = await answer.json();
    list.replaceChildren(...folders.map((path) => {
      const option = document.createElement("option");
      option.value = path;
      return option;
    }));
  };

  const soon = () => {
    if (waiting !== null) clearTimeout(waiting);
    waiting = setTimeout(ask, 120);
  };
  field.addEventListener("input", soon);
  field.addEventListener("focus", soon);
})();
