// One stream of events for each visible page. A browser opens six connections to a program at most, and each hidden
// page would hold one of them: a hidden page closes its stream, and continues behind the last event when it is shown.
"use strict";

window.AgentEvents = class AgentEvents extends EventTarget {
  static kinds = ["status", "conflicts", "activity"];
  static again = 5000;

  constructor(url) {
    super();
    this.url = new URL(url, location.href);
    this.onopen = null;
    this.onerror = null;
    this.ended = false;
    this.source = null;
    document.addEventListener("visibilitychange", () => this.follow());
    this.follow();
  }

  get readyState() {
    return this.ended ? EventSource.CLOSED : this.source?.readyState ?? EventSource.CONNECTING;
  }

  follow() {
    if (this.ended || document.hidden) this.stop();
    else if (!this.source) this.connect();
  }

  connect() {
    const source = new EventSource(this.url);
    this.source = source;
    for (const kind of AgentEvents.kinds) {
      source.addEventListener(kind, (event) => {
        this.url.searchParams.set("after", event.lastEventId);
        this.dispatchEvent(new MessageEvent(kind, { data: event.data, lastEventId: event.lastEventId }));
      });
    }
    source.addEventListener("open", (event) => this.onopen?.(event));
    source.addEventListener("error", (event) => {
      this.onerror?.(event);
      // Refused, for instance after a restart of the agent: a sign-in in another window helps.
      if (source.readyState === EventSource.CLOSED && this.source === source) {
        this.source = null;
        setTimeout(() => this.follow(), AgentEvents.again);
      }
    });
  }

  stop() {
    this.source?.close();
    this.source = null;
  }

  close() {
    this.ended = true;
    this.stop();
  }
};
