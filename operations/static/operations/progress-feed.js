/**
 * <progress-feed kind operation after label stages states final>: follows one operation live.
 *
 * Upgrades the native <progress> inside it. The server has rendered the page as it was at
 * event `after`; this opens the operation's websocket from there, moves the bar, and tells
 * the page with two bubbling events, `operation-snapshot` and `operation-event`, whose
 * `detail` holds the operation as it is now (and the event).
 *
 * The second half binds a page to these events. Below [data-operation="kind/id"]:
 *
 *   [data-show=state|question|…]         gets a text (inside [data-stage] of that stage)
 *   [data-when="active failed …"]        is shown while one of these holds
 *   [data-statuses="failed …"]           is shown in these display statuses: a button
 *   [data-link=key][data-href="…{}…"]    a link that appears once an event names its id
 *
 * Nothing is replaced and no HTML is parsed here: only texts and attributes (live-page.js does
 * the rest). An operation is followed on until its state is a `final` one: a failed one may be
 * retried, others run again and again. When it has other stages than the page shows, another run's
 * or one that came to be needed, `operation-outdated` says so. The arithmetic is that of operations/watching.py.
 */

import { ago, clock, duration, label, number, secondsBetween, setText, shortName } from "./words.js";

const SILENCE_MS = 40_000; // the server is heard of every 15 s
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
const ALMOST = 99;
const LATE_SECONDS = 10; // as on the server: operations/templatetags/watching.py
const REFUSED = {
  4400: "This page is out of date: reload it.",
  4401: "You are logged out: log in again to watch this.",
  4404: "It can no longer be watched: it is gone, or not yours to see.",
};

// --- the operation, event by event --------------------------------------------------

const ENDINGS = ["completed", "failed", "cancelled"];
// Any other tells something, and leaves the state as it is.
const CHANGING = [
  "started", "progress", "pause_requested", "cancel_requested", "paused", "resumed", "retried", ...ENDINGS,
];
// What was known before says nothing of what comes now: only a fresh snapshot does.
const ANEW = ["retried", "run_requested", "scheduled"];

/** What an event changes in a snapshot that was taken before it. */
function apply(operation, event) {
  const name = shortName(event);
  const asked = ["pausing", "cancelling"].includes(operation.display_status);
  operation.sequence = event.sequence;
  if (name === "waiting") {
    operation.waiting = { reason: event.payload.message, until: event.payload.until };
    if (!asked) operation.display_status = "waiting";
    return;
  }
  if (!CHANGING.includes(name)) return;
  operation.waiting = null;
  operation.question = (name === "paused" && event.payload.question) || "";
  if (name === "pause_requested") operation.display_status = "pausing";
  else if (name === "cancel_requested") operation.display_status = "cancelling";
  else if (name === "paused") operation.display_status = "paused";
  else if (["resumed", "retried"].includes(name)) goOn(operation);
  else if (ENDINGS.includes(name)) end(operation, event, name);
  else if (!asked) operation.display_status = "in_progress";
  if (name === "started") operation.started_at = event.payload.started_at;
  if (name === "progress") progress(operation, event);
}

/** When each stage was last told of. */
const movedAt = new WeakMap();

function stageOf(operation, event) {
  return operation.stages.find((stage) => stage.stage === event.stage);
}

function progress(operation, event) {
  const index = operation.stages.indexOf(stageOf(operation, event));
  if (index < 0) return;
  Object.assign(operation.weights, event.payload.weights);
  const stage = operation.stages[index];
  // A stage begins when the one before it has ended.
  for (const before of operation.stages.slice(0, index)) endStage(before, event.payload.started_at);
  for (const key of Object.keys(stage)) stage[key] = event.payload[key];
  movedAt.set(stage, event.created_at);
}

function end(operation, event, status) {
  operation.display_status = status;
  operation.is_active = false;
  operation.ended_at = event.created_at;
  if (status === "completed") {
    for (const stage of operation.stages) endStage(stage, event.created_at);
  } else if (status === "failed") {
    operation.error = { code: event.payload.error_code, message: event.payload.message };
  }
}

function goOn(operation) {
  operation.display_status = "in_progress";
  operation.is_active = true;
  operation.error = operation.ended_at = null;
}

/** It ended with its last step: what comes after it may be long in coming. */
function endStage(stage, moment) {
  stage.started_at ??= moment; // too short for a progress event of its own
  stage.ended_at ??= movedAt.get(stage) ?? moment;
  stage.seconds_left = null;
}

const NOT_THERE = { done: 0, total: null, started_at: null, ended_at: null };

/** Rows done over rows to do, 0 to 100; null while what there is to do isn't known. */
function percent(operation, definitions) {
  // Completed, or waiting for its next run.
  if (!operation.is_active && !["failed", "cancelled"].includes(operation.display_status)) return 100;
  const entry = (name) => operation.stages.find((stage) => stage.stage === name) ?? NOT_THERE;
  if (definitions.some((each) => each.weight)) {
    return Math.min(weighted(definitions, entry), ALMOST);
  }
  const expected = (stage) => stage.total ?? (stage.ended_at ? stage.done : null);
  let toDo = 0;
  let done = 0;
  for (const { name } of definitions.filter((each) => each.rows === "own")) {
    const stage = entry(name);
    const total = expected(stage);
    if (total === null) return null;
    toDo += total;
    done += Math.min(stage.done, total);
  }
  const again = definitions.filter((each) => each.rows === "again");
  for (const { name } of again) done += Math.min(entry(name).done, toDo);
  toDo *= 1 + again.length;
  return toDo ? Math.min(Math.floor((done * 100) / toDo), ALMOST) : null;
}

function weighted(definitions, entry) {
  let reached = 0;
  let whole = 0;
  for (const { name, weight } of definitions) {
    const stage = entry(name);
    if (stage.ended_at) reached += weight;
    else if (stage.total) reached += (weight * Math.min(stage.done, stage.total)) / stage.total;
    whole += weight;
  }
  return Math.floor((reached * 100) / whole);
}

// --- the element ----------------------------------------------------------------------

/** Those that have lost their connection: with twenty on a page it is said once. */
const lostFeeds = new Set();

class ProgressFeed extends HTMLElement {
  #definitions = [];
  #states = {};
  #final = [];
  #operation = null;
  #sequence = 0;
  #percent = null;
  #told = { stage: null, quarter: 0 };
  #socket = null;
  #finished = false;
  #isAnew = false;
  #wasLost = false;
  #heardAt = Date.now(); // the page itself is the first that was heard
  #tries = 0;
  #retry = 0;
  #watch = 0;

  connectedCallback() {
    this.#definitions = JSON.parse(this.getAttribute("stages"));
    this.#states = JSON.parse(this.getAttribute("states"));
    this.#final = this.getAttribute("final").split(" ");
    this.#sequence = Number(this.getAttribute("after"));
    const bar = this.querySelector("progress");
    this.#percent = this.#part("percent").textContent ? bar.value : null;
    this.#told = { stage: this.#part("stage").textContent, quarter: this.#quarter() };
    addEventListener("online", this.#wake);
    addEventListener("pageshow", this.#wake);
    addEventListener("pagehide", this.#sleep);
    document.addEventListener("visibilitychange", this.#wake);
    this.#connect();
  }

  disconnectedCallback() {
    removeEventListener("online", this.#wake);
    removeEventListener("pageshow", this.#wake);
    removeEventListener("pagehide", this.#sleep);
    document.removeEventListener("visibilitychange", this.#wake);
    this.#sleep();
    lostFeeds.delete(this);
  }

  labelOf(stage) {
    return this.#definitions.find((each) => each.name === stage)?.label ?? "";
  }

  /** A display status in its kind's words. */
  labelOfState(state) {
    return this.#states[state] ?? label(state);
  }

  // --- the link ---

  #connect() {
    this.#drop();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const path = `/ws/operations/${this.getAttribute("kind")}/${this.getAttribute("operation")}/`;
    const socket = new WebSocket(`${scheme}://${location.host}${path}?after=${this.#sequence}`);
    // A socket that was dropped may still have something to say: it isn't listened to.
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heard();
      this.#receive(JSON.parse(data));
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket !== this.#socket) return;
      if (code in REFUSED) this.#finish("refused", REFUSED[code]);
      else this.#lost();
    });
    this.#socket = socket;
    this.#listen();
  }

  /** A socket that died without a word is found out by its silence. */
  #listen() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(), SILENCE_MS);
  }

  #heard() {
    this.#heardAt = Date.now();
    this.#tries = 0;
    this.#listen();
  }

  #lost() {
    this.#drop();
    this.#wasLost = true;
    if (lostFeeds.size === 0) this.#speak("Connection lost, trying again");
    lostFeeds.add(this);
    this.#say("lost", `Connection lost – showing the state of ${clock(this.#heardAt)}, trying again…`);
    const delay = Math.min(FIRST_RETRY_MS * 2 ** this.#tries, LONGEST_RETRY_MS);
    this.#tries += 1;
    // Jitter: everybody was cut off at the same moment.
    this.#retry = setTimeout(() => this.#connect(), delay * (0.5 + Math.random() / 2));
  }

  #wake = () => {
    if (this.#finished || document.visibilityState === "hidden") return;
    // Timers of a hidden page run late: its silence may be found out here first.
    if (!this.#socket || Date.now() - this.#heardAt > SILENCE_MS) this.#connect();
  };

  #sleep = () => this.#drop();

  #drop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #finish(link, text) {
    this.#finished = true;
    this.#drop();
    this.#say(link, text);
  }

  // --- what comes over it ---

  #receive(told) {
    if (told.type === "snapshot") this.#onSnapshot(told.operation);
    else if (told.type === "event") this.#onEvent(told.event);
  }

  #onSnapshot(operation) {
    this.#operation = operation;
    if (lostFeeds.delete(this) && lostFeeds.size === 0) this.#speak("Connected again");
    this.#say("live", this.#wasLost ? `Live again since ${clock(Date.now())}` : "Live");
    this.#show();
    this.#emit("operation-snapshot", { operation });
    if (this.#isAnew && !this.#hasStagesOf(operation)) this.#emit("operation-outdated", { operation });
    this.#isAnew = false;
    this.#finishIfEnded();
  }

  #onEvent(event) {
    if (event.sequence <= this.#sequence) return;
    this.#sequence = event.sequence;
    // What the snapshot was taken after, it holds already.
    if (event.sequence > this.#operation.sequence) apply(this.#operation, event);
    if (shortName(event) === "progress" && !stageOf(this.#operation, event)) {
      this.#emit("operation-outdated", { operation: this.#operation });
    }
    this.#show();
    this.#emit("operation-event", { operation: this.#operation, event });
    if (ANEW.includes(shortName(event))) this.#startOver();
    else this.#finishIfEnded();
  }

  #finishIfEnded() {
    const { display_status: status, sequence } = this.#operation;
    if (this.#final.includes(status) && this.#sequence >= sequence) this.#finish("ended", "");
  }

  #startOver() {
    this.#isAnew = true;
    this.#percent = null;
    this.#told = { stage: null, quarter: 0 };
    this.#connect();
  }

  /** How much there is to do may have been found out since the page was drawn. */
  #weigh(weights) {
    for (const each of this.#definitions) each.weight = weights[each.name] ?? each.weight;
  }

  #hasStagesOf(operation) {
    const names = operation.stages.map((stage) => stage.stage);
    return names.join() === this.#definitions.map((each) => each.name).join();
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }

  // --- what it shows ---

  #show() {
    const operation = this.#operation;
    this.#weigh(operation.weights);
    const found = percent(operation, this.#definitions);
    if (found !== null) this.#percent = Math.max(this.#percent ?? 0, found);
    const bar = this.querySelector("progress");
    if (this.#percent !== null) bar.value = this.#percent;
    else if (operation.display_status === "in_progress") bar.removeAttribute("value");
    else bar.value = 0;
    setText(this.#part("percent"), this.#percent === null ? "" : `${this.#percent} %`);
    const running = operation.stages.findLast((stage) => stage.started_at && !stage.ended_at);
    const stage = operation.is_active && running ? this.labelOf(running.stage) : "";
    setText(this.#part("stage"), stage);
    this.#announce(stage);
  }

  /** Read aloud: another stage, every quarter, the end; not each step. */
  #announce(stage) {
    const before = this.#told;
    const now = { stage, quarter: this.#quarter() };
    const ended = !this.#operation.is_active;
    if (ended) now.stage = this.labelOfState(this.#operation.display_status);
    if (now.stage === before.stage && now.quarter === before.quarter) return;
    this.#told = now;
    const parts = [now.stage];
    if (this.#percent !== null) parts.push(`${this.#percent} %`);
    this.#speak(parts.filter(Boolean).join(", "));
  }

  #speak(text) {
    setText(this.#part("announcement"), `${this.getAttribute("label")}: ${text}`);
  }

  #quarter() {
    return Math.floor((this.#percent ?? 0) / 25);
  }

  #say(link, text) {
    this.dataset.linkState = link;
    setText(this.#part("link"), text);
    this.#emit("operation-link", { link });
  }

  #part(name) {
    return this.querySelector(`[data-feed="${name}"]`);
  }
}

// --- the page around it -----------------------------------------------------------------

const SHOW = {
  state(node, operation, feed) {
    node.dataset.state = operation.display_status;
    setText(node, feed.labelOfState(operation.display_status));
  },
  question: (node, operation) => setText(node, operation.question),
  "waiting-reason": (node, { waiting }) => waiting && setText(node, waiting.reason),
  "waiting-until": (node, { waiting }) => waiting?.until && setText(node, clock(waiting.until)),
  due(node, { waiting }) {
    if (!waiting) return;
    node.dataset.due = waiting.until ?? "";
    showDue(node);
  },
  "error-code": (node, { error }) => error && setText(node, error.code),
  "error-message": (node, { error }) => error && setText(node, error.message),
  started(node, operation) {
    if (!operation.started_at) {
      delete node.dataset.ago;
      setText(node, "not yet");
      return;
    }
    node.dateTime = operation.started_at;
    node.dataset.ago = "";
    setText(node, ago(operation.started_at));
  },
  lasted(node, { started_at: start, ended_at: end, is_active: isActive }) {
    if (start && isActive) node.dataset.since = start;
    else delete node.dataset.since;
    if (!start) setText(node, "–");
    else if (end && !isActive) setText(node, duration(secondsBetween(start, end)));
  },
};

const SHOW_OF_STAGE = {
  done: (node, stage) => setText(node, number(stage.done)),
  total: (node, stage) => setText(node, stage.total === null ? "–" : number(stage.total)),
  // The rate of a stage that has ended stays as it was last.
  rate(node, stage) {
    if (!stage.started_at) setText(node, "–");
    else if (stage.rows_per_second) setText(node, `${number(stage.rows_per_second)} ${node.dataset.unit}/s`);
  },
  left(node, stage) {
    if (stage.ended_at) setText(node, `took ${duration(secondsBetween(stage.started_at, stage.ended_at))}`);
    else setText(node, stage.seconds_left === null ? "–" : `${duration(stage.seconds_left)} left`);
  },
  bar(node, stage) {
    if (stage.ended_at) [node.max, node.value] = [1, 1];
    else if (stage.total) [node.max, node.value] = [stage.total, Math.min(stage.done, stage.total)];
    else if (stage.started_at) node.removeAttribute("value");
    else node.value = 0;
  },
  skipped(node, stage) {
    const isKnown = stage.ended_at && stage.total !== null;
    setText(node, isKnown ? number(Math.max(stage.total - stage.done, 0)) : "–");
  },
  span(node, stage, operation) {
    if (!stage.started_at || !operation.started_at) {
      node.setAttribute("width", "0");
      return;
    }
    const now = operation.ended_at ?? Date.now();
    const lifetime = Math.max(secondsBetween(operation.started_at, now), 0.001);
    const place = (seconds) => String(Math.min(Math.max((seconds / lifetime) * 100, 0), 100));
    node.setAttribute("x", place(secondsBetween(operation.started_at, stage.started_at)));
    node.setAttribute("width", place(secondsBetween(stage.started_at, stage.ended_at ?? now)));
  },
};

function holds(operation) {
  return {
    active: operation.is_active,
    ended: !operation.is_active,
    unfinished: operation.display_status !== "completed",
    begun: operation.started_at !== null,
    waiting: operation.display_status === "waiting" && operation.waiting !== null,
    failed: operation.display_status === "failed",
    asking: operation.question !== "",
  };
}

function regions(operation) {
  return document.querySelectorAll(`[data-operation="${operation.kind}/${operation.id}"]`);
}

/** What was told last of each operation that is under way, for what moves with the clock. */
const underWay = new Map();

function showOperation({ target: feed, detail: { operation } }) {
  const key = `${operation.kind}/${operation.id}`;
  if (operation.is_active) underWay.set(key, operation);
  else underWay.delete(key);
  const conditions = holds(operation);
  for (const region of regions(operation)) {
    for (const node of region.querySelectorAll("[data-show]")) showIn(node, operation, feed);
    for (const node of region.querySelectorAll("[data-when]")) {
      node.hidden = !node.dataset.when.split(" ").some((name) => conditions[name]);
    }
    for (const node of region.querySelectorAll("[data-statuses]")) {
      offer(node, node.dataset.statuses.split(" ").includes(operation.display_status));
    }
  }
}

function showIn(node, operation, feed) {
  const row = node.closest("[data-stage]");
  if (!row) {
    SHOW[node.dataset.show]?.(node, operation, feed);
    return;
  }
  const stage = operation.stages.find((each) => each.stage === row.dataset.stage);
  if (stage) SHOW_OF_STAGE[node.dataset.show]?.(node, stage, operation);
}

/** A button that has the focus stays until the focus has left; the server decides anyway. */
function offer(node, isOffered) {
  node.dataset.offered = isOffered;
  if (isOffered || !node.contains(document.activeElement)) node.hidden = !isOffered;
}

function withdraw({ target }) {
  const node = target.closest?.("[data-offered=false]");
  if (node) node.hidden = true;
}

function showLinks({ detail: { operation, event } }) {
  for (const region of regions(operation)) {
    for (const link of region.querySelectorAll("[data-link]")) {
      const id = event.payload[link.dataset.link];
      if (!["number", "string"].includes(typeof id)) continue;
      link.href = link.dataset.href.replace("{}", encodeURIComponent(id));
      link.hidden = false;
    }
  }
}

/**
 * Once the time is past that it was to be looked at again, the page doesn't say that it will. Who
 * waits for a free worker has no such time.
 */
function showDue(node) {
  const { due } = node.dataset;
  const isPast = due && secondsBetween(due, Date.now()) > LATE_SECONDS;
  const shown = due ? (isPast ? "past" : "ahead") : "none";
  for (const each of node.querySelectorAll("[data-due-is]")) {
    each.hidden = each.dataset.dueIs !== shown;
  }
}

function tick() {
  for (const node of document.querySelectorAll("[data-due]")) showDue(node);
  for (const node of document.querySelectorAll("time[data-ago]")) setText(node, ago(node.dateTime));
  for (const node of document.querySelectorAll("[data-since]")) {
    setText(node, duration(Math.max(0, secondsBetween(node.dataset.since, Date.now()))));
  }
  for (const operation of underWay.values()) {
    for (const region of regions(operation)) {
      for (const node of region.querySelectorAll('[data-show="span"]')) showIn(node, operation);
    }
  }
}

document.addEventListener("operation-snapshot", showOperation);
document.addEventListener("operation-event", showOperation);
document.addEventListener("operation-event", showLinks);
document.addEventListener("focusout", withdraw);
setInterval(tick, 1_000);
customElements.define("progress-feed", ProgressFeed);
