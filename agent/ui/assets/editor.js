// The merge editor. It takes the place of the text field of the form, and the form works without it.
import { Annotation, Compartment, EditorState, Prec, StateField, Text } from "@codemirror/state";
import {
  Decoration, EditorView, WidgetType, drawSelection, highlightActiveLine, highlightWhitespace, keymap, lineNumbers,
} from "@codemirror/view";
import { defaultKeymap, history, historyKeymap, indentWithTab, isolateHistory } from "@codemirror/commands";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { markdown } from "@codemirror/lang-markdown";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { tags } from "@lezer/highlight";
import { presentableDiff } from "@codemirror/merge";
import { Drafts } from "./drafts.js";

const OPEN = "<<<<<<< ";
const MIDDLE = "=======";
const CLOSE = ">>>>>>> ";
const NAMES = { local: "Mine", raven: "Server", draft: "Your merge" };
const LONGEST_WORD_DIFF = 20_000;

const decided = Annotation.define();

/** The conflicts between markers. A marker without its counterpart is text. */
function findBlocks(doc, hunks) {
  const blocks = [];
  let open = null;
  let middles = [];
  let position = 0;
  for (const text of doc.iterLines()) {
    const at = position;
    position += text.length + 1;
    const first = text.charCodeAt(0);
    if (first !== 60 && first !== 61 && first !== 62) continue;
    const plain = text.endsWith("\r") ? text.slice(0, -1) : text;
    if (text.startsWith(OPEN)) {
      open = doc.lineAt(at);
      middles = [];
    } else if (open && plain === MIDDLE) {
      middles.push(doc.lineAt(at));
    } else if (open && middles.length && text.startsWith(CLOSE)) {
      blocks.push(makeBlock(doc, open, middles, doc.lineAt(at), hunks));
      open = null;
    }
  }
  return blocks;
}

/** A line of equal signs can be a heading of the text: the one that splits the block into known sides is the marker. */
function makeBlock(doc, open, middles, close, hunks) {
  const sides = (middle) => [doc.sliceString(open.to + 1, middle.from), doc.sliceString(middle.to + 1, close.from)];
  const same = (one, other) => one === other || one === `${other}\n` || one === "" && other === "";
  const known = (middle) => {
    const [left, right] = sides(middle);
    return hunks.find((hunk) => same(left, hunk.local) && same(right, hunk.remote));
  };
  const middle = middles.find(known) ?? middles[0];
  const [left, right] = sides(middle);
  const hunk = known(middle)
    ?? hunks.find((one) => same(left, one.local) && left || same(right, one.remote) && right);
  return {
    from: open.from, to: close.to, open, middle, close, left, right, hunk,
    leftName: NAMES[open.text.slice(OPEN.length).trim()] ?? "Mine",
    rightName: NAMES[close.text.slice(CLOSE.length).trim()] ?? "Server",
  };
}

class Heading extends WidgetType {
  constructor(block, place) {
    super();
    this.block = block;
    this.place = place;
    this.key = [place, block.leftName, block.rightName, block.number, block.hunk?.base].join("\0");
  }

  eq(other) {
    return this.key === other.key;
  }

  toDOM(view) {
    const line = document.createElement("div");
    line.className = `cm-conflict cm-conflict-${this.place}`;
    const { block } = this;
    if (this.place === "close") return line;
    const name = document.createElement("span");
    name.className = "cm-conflict-name";
    name.textContent = this.place === "open" ? block.leftName : block.rightName;
    line.append(name);
    if (this.place !== "open") return line;
    const choices = [["mine", `Take ${block.leftName.toLowerCase()}`], ["server", `Take ${block.rightName.toLowerCase()}`],
      ["both", "Take both"]];
    if (block.hunk?.base != null) choices.push(["base", "Take base"]);
    for (const [choice, label] of choices) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "small";
      button.textContent = label;
      button.setAttribute("aria-label", `${label}, conflict ${block.number}`);
      button.addEventListener("mousedown", (event) => event.preventDefault());
      button.addEventListener("click", () => take(view, choice, blockAt(view, view.posAtDOM(line))));
      line.append(button);
    }
    if (block.hunk?.base != null) {
      const details = document.createElement("details");
      const summary = document.createElement("summary");
      summary.textContent = "Show base";
      const text = document.createElement("pre");
      text.textContent = block.hunk.base || "(no lines)";
      details.append(summary, text);
      details.addEventListener("toggle", () => view.requestMeasure());
      line.append(details);
    }
    return line;
  }

  ignoreEvent() {
    return true;
  }
}

function linesOf(doc, from, to, decoration, found) {
  for (let at = from; at < to;) {
    const line = doc.lineAt(at);
    found.push(decoration.range(line.from));
    at = line.to + 1;
  }
}

const mineLine = Decoration.line({ class: "cm-mine" });
const serverLine = Decoration.line({ class: "cm-server" });
const mineWord = Decoration.mark({ class: "cm-mine-word" });
const serverWord = Decoration.mark({ class: "cm-server-word" });

function decorate(doc, blocks) {
  const found = [];
  for (const block of blocks) {
    const heading = (place, line) => found.push(
      Decoration.replace({ widget: new Heading(block, place), block: true }).range(line.from, line.to),
    );
    heading("open", block.open);
    heading("middle", block.middle);
    heading("close", block.close);
    const start = block.open.to + 1;
    const other = block.middle.to + 1;
    linesOf(doc, start, block.middle.from, mineLine, found);
    linesOf(doc, other, block.close.from, serverLine, found);
    if (block.left.length + block.right.length > LONGEST_WORD_DIFF) continue;
    for (const change of presentableDiff(block.left, block.right)) {
      if (change.toA > change.fromA) found.push(mineWord.range(start + change.fromA, start + change.toA));
      if (change.toB > change.fromB) found.push(serverWord.range(other + change.fromB, other + change.toB));
    }
  }
  return Decoration.set(found, true);
}

function conflictField(hunks) {
  const make = (state) => {
    const blocks = findBlocks(state.doc, hunks);
    blocks.forEach((block, index) => { block.number = index + 1; });
    return { blocks, decorations: decorate(state.doc, blocks) };
  };
  return StateField.define({
    create: make,
    update: (value, transaction) => (transaction.docChanged ? make(transaction.state) : value),
    provide: (field) => [
      EditorView.decorations.from(field, (value) => value.decorations),
      EditorView.atomicRanges.of((view) => markers(view.state.field(field).blocks)),
    ],
  });
}

const opaque = Decoration.mark({});

function markers(blocks) {
  return Decoration.set(
    blocks.flatMap((block) => [block.open, block.middle, block.close].map((line) => opaque.range(line.from, line.to))),
  );
}

let field;
let hunksOfPage = [];

/** Markers are changed only as a whole: with the buttons, by undo, or by a change that takes the whole block. */
const protect = EditorState.changeFilter.of((transaction) => {
  if (transaction.annotation(decided) || transaction.isUserEvent("undo") || transaction.isUserEvent("redo")) return true;
  const ranges = [];
  for (const block of transaction.startState.field(field).blocks) {
    let whole = false;
    transaction.changes.iterChangedRanges((from, to) => { whole ||= from <= block.from && to >= block.to; });
    if (whole) continue;
    for (const line of [block.open, block.middle, block.close]) {
      ranges.push(Math.max(0, line.from - 1), Math.min(transaction.startState.doc.length, line.to + 1));
    }
  }
  return merged(ranges);
});

function merged(ranges) {
  const found = [];
  for (let at = 0; at < ranges.length; at += 2) {
    if (found.length && ranges[at] <= found[found.length - 1]) found[found.length - 1] = ranges[at + 1];
    else found.push(ranges[at], ranges[at + 1]);
  }
  return found;
}

function blockAt(view, position) {
  const { blocks } = view.state.field(field);
  return blocks.find((block) => position <= block.to) ?? blocks[blocks.length - 1];
}

function current(view) {
  return blockAt(view, view.state.selection.main.head);
}

function take(view, choice, block = current(view)) {
  if (!block) return false;
  const { doc } = view.state;
  // A side that ends the file without a line end got one from the marker behind it.
  const isLast = block.to === doc.length || block.to + 1 === doc.length;
  const exact = (shown, known) => (isLast && known != null && shown === `${known}\n` ? known : shown);
  const left = exact(block.left, block.hunk?.local);
  const right = exact(block.right, block.hunk?.remote);
  const base = block.hunk?.base;
  if (choice === "base" && base == null) return false;
  const text = { mine: left, server: right, both: block.left + right, base }[choice];
  const to = Math.min(doc.length, block.to + 1);
  view.dispatch({
    changes: { from: block.from, to, insert: Text.of(text.split("\n")) },
    selection: { anchor: block.from },
    annotations: [decided.of(true), isolateHistory.of("full")],
    userEvent: "input.take",
  });
  const next = blockAt(view, block.from);
  if (next) show(view, next);
  view.focus();
  return true;
}

function show(view, block) {
  const position = Math.min(block.open.to + 1, view.state.doc.length);
  view.dispatch({ selection: { anchor: position }, effects: EditorView.scrollIntoView(block.from, { y: "center" }) });
}

function step(view, direction) {
  const { blocks } = view.state.field(field);
  if (!blocks.length) return true;
  const { head } = view.state.selection.main;
  const inside = blocks.findIndex((block) => head >= block.from && head <= block.to);
  let index;
  if (inside >= 0) index = (inside + direction + blocks.length) % blocks.length;
  else if (direction > 0) index = Math.max(0, blocks.findIndex((block) => block.from >= head));
  else index = blocks.findLastIndex((block) => block.to <= head);
  show(view, blocks[index < 0 ? blocks.length - 1 : index]);
  view.focus();
  return true;
}

const colours = HighlightStyle.define([
  { tag: tags.heading, fontWeight: "600" },
  { tag: tags.strong, fontWeight: "700" },
  { tag: tags.emphasis, fontStyle: "italic" },
  { tag: tags.link, color: "var(--accent)" },
  { tag: tags.url, color: "var(--accent)" },
]);

function theme() {
  return EditorView.theme({
    "&": { backgroundColor: "var(--surface)", color: "var(--text)", fontSize: "0.9rem" },
    "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
    ".cm-scroller": { fontFamily: "var(--mono)", minHeight: "14rem", maxHeight: "70vh", lineHeight: "1.55" },
    ".cm-content": { caretColor: "var(--text)" },
    ".cm-cursor": { borderLeftColor: "var(--text)", borderLeftWidth: "2px" },
    ".cm-gutters": { backgroundColor: "var(--raised)", color: "var(--muted)", border: "none" },
    ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "transparent" },
    "&.cm-focused .cm-activeLine": { boxShadow: "inset 2px 0 var(--accent)" },
    "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
      backgroundColor: "color-mix(in srgb, var(--accent) 30%, transparent)",
    },
    ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--text)" },
    ".cm-panels-bottom": { borderTop: "1px solid var(--line)" },
    ".cm-textfield": { width: "auto !important", backgroundColor: "var(--surface)", border: "1px solid var(--control)" },
    ".cm-button": { backgroundImage: "none", backgroundColor: "var(--surface)", border: "1px solid var(--control)" },
    ".cm-panel.cm-search label": { color: "var(--text)" },
  });
}

/** The kind of line ends. With mixed ones a carriage return is a character of its line, so that none is changed. */
function endsOf(marked) {
  // The agent ends its markers with a line feed in every file.
  const text = marked.replaceAll(/^(?:<<<<<<< .*|=======|>>>>>>> .*)\n/gm, "");
  const windows = text.split("\r\n").length - 1;
  if (!text.includes("\r")) return "unix";
  return windows === text.split("\n").length - 1 && windows === text.split("\r").length - 1 ? "windows" : "mixed";
}

function start(form) {
  const data = JSON.parse(document.getElementById("merge-data").textContent);
  const ends = endsOf(data.text);
  const unix = (text) => (text === null || ends === "mixed" ? text : text.replaceAll("\r\n", "\n"));
  hunksOfPage = data.hunks.map(({ base, local, remote }) => ({ base: unix(base), local: unix(local), remote: unix(remote) }));
  const exact = ({ doc }) => (ends === "windows" ? doc.toString().replaceAll("\n", "\r\n") : doc.toString());
  field = conflictField(hunksOfPage);
  const whitespace = new Compartment();
  const drafts = new Drafts(form, data, () => exact(view.state));
  const submit = (name) => form.querySelector(`button[name="do"][value="${name}"]`).click();
  const keys = [
    { key: "Alt-ArrowDown", run: (one) => step(one, 1) },
    { key: "Alt-ArrowUp", run: (one) => step(one, -1) },
    { key: "Alt-1", run: (one) => take(one, "mine") || true },
    { key: "Alt-2", run: (one) => take(one, "server") || true },
    { key: "Alt-3", run: (one) => take(one, "both") || true },
    { key: "Alt-4", run: (one) => take(one, "base") || true },
    { key: "Mod-s", run: () => { drafts.save(); return true; } },
    { key: "Mod-Enter", run: () => { submit("finish"); return true; } },
  ];
  const left = document.getElementById("merge-left");
  const count = (state) => {
    const { blocks } = state.field(field);
    drafts.total = Math.max(drafts.total ?? 0, blocks.length);
    left.textContent = blocks.length ? `${blocks.length} of ${drafts.total} left` : "No conflict left: ready to finish";
    for (const button of form.querySelectorAll("[data-take], [data-step]")) button.disabled = !blocks.length;
  };
  const view = new EditorView({
    state: EditorState.create({
      doc: data.text,
      extensions: [
        EditorView.cspNonce.of(form.dataset.nonce),
        ends === "mixed" ? EditorState.lineSeparator.of("\n") : [],
        Prec.highest(keymap.of(keys)),
        field, protect,
        lineNumbers(), history(), drawSelection(), highlightActiveLine(), search(), highlightSelectionMatches(),
        EditorView.lineWrapping,
        // Between markers, lines that look like these are none.
        data.path.match(/\.(md|markdown)$/i)
          ? markdown({ extensions: [{ remove: ["SetextHeading", "Blockquote", "HTMLBlock"] }] }) : [],
        syntaxHighlighting(colours),
        whitespace.of([]),
        keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
        EditorView.contentAttributes.of({
          "aria-label": "Merged text. Escape, then Tab leaves the editor.", "aria-describedby": "merge-left", spellcheck: "false",
        }),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          count(update.state);
          drafts.changed();
        }),
        EditorView.domEventHandlers({ blur: () => { drafts.save(); } }),
        theme(),
      ],
    }),
  });
  const plain = document.getElementById("merge-plain");
  plain.hidden = true;
  plain.querySelector("textarea").disabled = true;
  plain.before(view.dom);
  for (const part of form.querySelectorAll("[data-script]")) part.hidden = false;
  for (const button of form.querySelectorAll("[data-take]")) {
    button.addEventListener("click", () => take(view, button.dataset.take));
  }
  for (const button of form.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(view, Number(button.dataset.step)));
  }
  const toggle = document.getElementById("merge-whitespace");
  toggle.addEventListener("click", () => {
    const on = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", String(on));
    view.dispatch({ effects: whitespace.reconfigure(on ? highlightWhitespace() : []) });
  });
  form.addEventListener("submit", (event) => {
    // The form names the draft that it continues, so a save under way comes first.
    if (!drafts.busy) return;
    event.preventDefault();
    drafts.busy.finally(() => form.requestSubmit(event.submitter));
  });
  form.addEventListener("formdata", (event) => {
    // A form changes line ends; JSON keeps them.
    event.formData.set("exact", JSON.stringify(exact(view.state)));
    event.formData.set("replaces", drafts.kept ?? "");
    drafts.stop();
  });
  count(view.state);
  const first = view.state.field(field).blocks[0];
  if (first) show(view, first);
  view.focus();
  follow(form, data.id);
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

/** Show a banner once a side of this conflict has moved, or once it was solved elsewhere. */
function follow(form, id) {
  const [number] = id.split(".");
  const source = new window.AgentEvents(`/events?after=${encodeURIComponent(form.dataset.after)}`);
  source.addEventListener("conflicts", (event) => {
    const found = JSON.parse(event.data).conflicts.find((one) => one.split(".")[0] === number);
    document.getElementById("merge-moved").hidden = found === undefined || found === id;
    document.getElementById("merge-over").hidden = found !== undefined;
  });
}

const form = document.getElementById("merge");
if (form) start(form);
