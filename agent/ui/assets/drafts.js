// Keeps the text of the editor on the agent: at most one second after a change, and when the editor is left.
const AFTER_CHANGE = 1000;
const AGAIN = 1000;
const LARGEST_LAST = 60_000;
const SAY_EVERY = 5000;

export class Drafts {
  constructor(form, data, text) {
    this.form = form;
    this.id = data.id;
    this.kept = data.kept;
    this.text = text;
    this.saved = data.text;
    this.said = document.getElementById("merge-kept");
    this.problem = document.getElementById("merge-problem");
    this.timer = null;
    this.busy = null;
    this.ended = false;
    this.lastSaid = 0;
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") this.last(); });
    window.addEventListener("pagehide", () => this.last());
  }

  changed() {
    if (this.timer === null && !this.ended) this.timer = setTimeout(() => this.save(), AFTER_CHANGE);
  }

  stop() {
    this.ended = true;
    clearTimeout(this.timer);
  }

  /** Save now; a save under way is followed by another one. */
  save() {
    clearTimeout(this.timer);
    this.timer = null;
    this.busy ??= this.send().finally(() => {
      this.busy = null;
      if (this.text() !== this.saved) this.changed();
    });
    return this.busy;
  }

  /** The page may end: send what is left, without waiting for an answer. */
  last() {
    const text = this.text();
    if (this.ended || text === this.saved) return;
    fetch(this.form.dataset.draft, {
      ...this.request(text, { checked: this.busy === null }), keepalive: text.length < LARGEST_LAST,
    }).catch(() => {});
  }

  request(text, { checked }) {
    const body = new URLSearchParams({ id: this.id, text });
    if (checked) body.set("replaces", this.kept ?? "");
    const token = this.form.querySelector('input[name="csrf"]').value;
    return { method: "POST", body, headers: { accept: "application/json", "x-csrf-token": token } };
  }

  async send() {
    const text = this.text();
    if (this.ended || text === this.saved) return;
    try {
      const answer = await fetch(this.form.dataset.draft, this.request(text, { checked: true }));
      const document_ = await answer.json();
      if (answer.ok) {
        this.kept = document_.hash;
        this.saved = text;
        this.say(`Draft kept ${new Date().toLocaleTimeString()}`, "");
        if (document_.moved) this.moved();
      } else {
        if (answer.status === 403) await this.renew();
        this.failed(`The draft is not kept: ${document_.error?.message ?? answer.statusText}.`, document_.error?.hint);
      }
    } catch {
      this.failed("The draft is not kept: the agent does not answer. The text stays in this page.", "raven-agent ui");
    }
  }

  /** After a restart of the agent and a new sign-in, in any window, this page continues with the new session. */
  async renew() {
    const answer = await fetch("/conflicts/session", { headers: { accept: "application/json" } });
    if (!answer.ok) return;
    const { csrf } = await answer.json();
    for (const field of document.querySelectorAll('input[name="csrf"]')) field.value = csrf;
  }

  failed(words, hint) {
    this.say("Draft not kept", hint ? `${words} What helps: ${hint}` : words);
    if (!this.ended && this.timer === null) this.timer = setTimeout(() => this.save(), AGAIN);
  }

  /** Say something at most every five seconds, but for a change between kept and not kept. */
  say(words, problem) {
    const now = Date.now();
    if (problem === this.problem.textContent && now - this.lastSaid < SAY_EVERY) return;
    this.lastSaid = now;
    this.said.textContent = words;
    this.problem.textContent = problem;
    this.problem.hidden = !problem;
  }

  moved() {
    const banner = document.getElementById("merge-moved");
    if (banner) banner.hidden = false;
  }
}
