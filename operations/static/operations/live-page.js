/**
 * Keeps a page true where its feeds can't: what only the server can draw.
 *
 * Inside [data-live-page] each [data-refresh] with an id is drawn anew from the page's own
 * URL: when an operation on it was steered or has ended, and every data-refresh-seconds for
 * as long as the page says so; with data-refresh-with-progress also, now and then, while the
 * operation moves. What is drawn anew is patched in by id, the smallest that differs; what
 * holds the focus, a selection or a pressed button is never replaced, nor a feed of the same
 * operation. If something had to stay, [data-stale] says that there is more to see, until the
 * focus has left it. The page is loaded anew when another run has other stages than it shows.
 *
 * Also the list of events: what happens comes on top of it if the filter lets it through.
 */

import { clock, label, message, setText, shortName } from "./words.js";

const page = document.querySelector("[data-live-page]");
const stale = page?.querySelector("[data-stale]");
const SOON_MS = 200;
const TYPING_MS = 300;
const WITH_PROGRESS_MS = 3_000;
// What the feeds show themselves.
const MOVES_ONLY = ["progress", "feedback", "exception", "started"];

async function fetchPage(url) {
  // The server leaves messages to the page that they are meant for, and takes an end that a
  // hidden page shows for one that nobody has seen.
  const headers = { "X-Live-Refresh": document.visibilityState };
  const response = await fetch(url, { headers, cache: "no-store" });
  if (response.redirected || !response.ok) throw new Refused();
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

class Refused extends Error {}

// --- patching by id ----------------------------------------------------------------------

/** True if `before` says now what `after` says. */
function patch(before, after) {
  if (isSame(before, after)) return true;
  if (isKeyed(before) && isKeyed(after)) return patchChildren(before, after);
  if (followsTheSame(before, after)) return true;
  if (isHeld(before)) return false;
  after.querySelectorAll("details").forEach((details, index) => {
    details.open = before.querySelectorAll("details")[index]?.open ?? details.open;
  });
  before.replaceWith(document.importNode(after, true));
  return true;
}

function patchChildren(before, after) {
  const wanted = new Map([...after.children].map((child) => [child.id, child]));
  let isComplete = true;
  for (const child of [...before.children]) {
    if (wanted.has(child.id)) continue;
    if (isHeld(child)) isComplete = false;
    else child.remove();
  }
  let place = before.firstElementChild;
  const skipLeftOver = () => {
    while (place && !wanted.has(place.id)) place = place.nextElementSibling;
  };
  for (const [id, child] of wanted) {
    skipLeftOver();
    const found = [...before.children].find((each) => each.id === id);
    if (!found) {
      before.insertBefore(document.importNode(child, true), place);
      continue;
    }
    if (found === place) place = place.nextElementSibling;
    else if (!isHeld(found)) before.insertBefore(found, place);
    isComplete = patch(found, child) && isComplete;
  }
  return isComplete;
}

/** But for what differs each time it is drawn, or moves with the clock. */
function isSame(before, after) {
  const [one, other] = [before, after].map((node) => {
    const copy = node.cloneNode(true);
    for (const token of copy.querySelectorAll("[name=csrfmiddlewaretoken]")) token.remove();
    for (const time of copy.querySelectorAll("[data-ago], [data-since]")) time.textContent = "";
    for (const button of copy.querySelectorAll("[data-offered]")) delete button.dataset.offered;
    return copy;
  });
  return one.isEqualNode(other);
}

function isKeyed(node) {
  if (node.children.length === 0) return node.textContent.trim() === "";
  return [...node.children].every((child) => child.id);
}

function followsTheSame(before, after) {
  const [one, other] = [before, after].map((node) => node.querySelector("progress-feed"));
  const name = (feed) => `${feed.getAttribute("kind")}/${feed.getAttribute("operation")}`;
  return one !== null && other !== null && name(one) === name(other);
}

function isHeld(node) {
  if (node.contains(document.activeElement) && document.activeElement !== document.body) return true;
  if (node.matches(":active")) return true;
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.containsNode(node, true);
}

function isInUse() {
  return document.activeElement !== document.body || !document.getSelection().isCollapsed;
}

// --- when --------------------------------------------------------------------------------

let isOutdated = false;
let isBusy = false;
let isWantedAgain = false;
let timer = 0;
let withProgress = 0;

function refreshIn(delay) {
  clearTimeout(timer);
  timer = setTimeout(refresh, delay);
}

async function refresh() {
  if (isBusy) {
    isWantedAgain = true;
    return;
  }
  isBusy = true;
  try {
    const fresh = await fetchPage(location.href);
    let isComplete = true;
    for (const region of page.querySelectorAll("[data-refresh]")) {
      const after = fresh.getElementById(region.id);
      if (after) isComplete = patch(region, after) && isComplete;
    }
    const freshPage = fresh.querySelector("[data-live-page]");
    page.dataset.refreshSeconds = freshPage.dataset.refreshSeconds ?? "";
    showStale(!isComplete || isOutdated);
    tell("live");
  } catch (error) {
    tell(error instanceof Refused ? "refused" : "lost");
  }
  isBusy = false;
  if (isWantedAgain) {
    isWantedAgain = false;
    refreshIn(SOON_MS);
  } else {
    refreshLater();
  }
}

/** At most so often, however many steps there are. */
function refreshWithProgress() {
  if (withProgress || document.visibilityState !== "visible") return;
  withProgress = setTimeout(() => {
    withProgress = 0;
    refresh();
  }, WITH_PROGRESS_MS);
}

function showStale(isStale) {
  if (stale && (isStale || !isHeld(stale))) stale.hidden = !isStale;
}

function refreshLater() {
  const seconds = Number(page.dataset.refreshSeconds);
  if (seconds && document.visibilityState === "visible") refreshIn(seconds * 1000);
}

// --- the page's own link -------------------------------------------------------------------

let heardAt = Date.now();
let link = "";

function tell(state) {
  const node = page.querySelector("[data-page-link]");
  if (state === "live") heardAt = Date.now();
  if (!node || state === link) return;
  const wasLost = link === "lost";
  link = state;
  const texts = {
    live: wasLost ? `Live again since ${clock(heardAt)}` : "Live",
    lost: `Connection lost – showing the state of ${clock(heardAt)}, trying again…`,
    refused: "You are logged out, or this page is no longer yours to see: reload it.",
  };
  node.dataset.linkState = state;
  setText(node, texts[state]);
  const spoken = page.querySelector("[data-page-announcement]");
  if (state !== "live") setText(spoken, texts[state]);
  else if (wasLost) setText(spoken, "Connected again");
}

// --- the list of events ----------------------------------------------------------------------

const filter = document.getElementById("event-filter");
const list = document.getElementById("event-list");
// Told while a list was on its way that doesn't hold them yet.
const lately = [];
const LATELY = 200;

function onEvent({ target: feed, detail: { event } }) {
  const told = { event, stage: feed.labelOf(event.stage) };
  lately.push(told);
  if (lately.length > LATELY) lately.shift();
  addRow(told);
}

function addRow({ event, stage }) {
  const rows = list.querySelector('[data-show="events"]');
  if (!rows) return; // an older page
  const row = document.querySelector('template[data-show="event-row"]').content.cloneNode(true);
  const cell = (name) => row.querySelector(`[data-cell="${name}"]`);
  const time = cell("time").querySelector("time");
  time.dateTime = time.title = event.created_at;
  time.textContent = clock(event.created_at);
  cell("name").textContent = label(shortName(event));
  cell("stage").textContent = stage;
  cell("message").textContent = message(event);
  row.firstElementChild.dataset.event = shortName(event);
  row.firstElementChild.dataset.sequence = event.sequence;
  if (!isLetThrough(row.firstElementChild)) return;
  rows.prepend(row);
  while (rows.rows.length > Number(rows.dataset.limit)) {
    rows.deleteRow(-1);
    list.querySelector("[data-older]").hidden = false;
  }
  showEmptiness();
}

function isLetThrough(row) {
  const { shows, hides } = filter.elements.events.selectedOptions[0].dataset;
  const name = row.dataset.event;
  if (shows && !shows.split(" ").includes(name)) return false;
  if (hides.split(" ").includes(name)) return false;
  const words = [...row.cells].slice(1).map((cell) => cell.textContent.toLowerCase());
  const text = filter.elements.text.value.trim().toLowerCase();
  return words.some((each) => each.includes(text));
}

function showEmptiness() {
  const isEmpty = list.querySelector("tbody").rows.length === 0;
  list.querySelector("table").hidden = isEmpty;
  list.querySelector("[data-empty]").hidden = !isEmpty;
}

async function loadList() {
  const url = filtered();
  const fresh = await loaded(url);
  if (!fresh) return;
  history.replaceState(null, "", url);
  list.replaceChildren(...document.importNode(fresh, true).childNodes);
  const sequence = Number(list.querySelector("tbody").dataset.sequence);
  for (const told of lately) if (told.event.sequence > sequence) addRow(told);
}

/** From the last row that is shown now: others may have been pushed out since. */
async function loadOlder(anchor) {
  const rows = list.querySelector("tbody");
  const url = filtered();
  url.searchParams.set("before", rows.lastElementChild.dataset.sequence);
  const fresh = await loaded(url);
  if (!fresh) return;
  const last = rows.lastElementChild;
  rows.append(...document.importNode(fresh.querySelector("tbody"), true).rows);
  // They were asked for: what comes on top doesn't push them out again.
  rows.dataset.limit = String(rows.rows.length);
  if (!fresh.querySelector("[data-older]").hidden) return;
  const hadFocus = anchor === document.activeElement;
  anchor.hidden = true;
  if (hadFocus) {
    last.tabIndex = -1;
    last.focus();
  }
}

function filtered() {
  const url = new URL(location.href);
  url.search = new URLSearchParams(new FormData(filter)).toString();
  url.hash = "";
  return url;
}

async function loaded(url) {
  try {
    return (await fetchPage(url)).getElementById("event-list");
  } catch {
    showStale(true);
    return null;
  }
}

function bindList() {
  let typing = 0;
  filter.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    loadList();
  });
  filter.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(loadList, TYPING_MS);
  });
  list.addEventListener("click", (click) => {
    const anchor = click.target.closest("[data-older]");
    if (!anchor) return;
    click.preventDefault();
    loadOlder(anchor);
  });
  document.addEventListener("operation-event", onEvent);
}

// --- binding -----------------------------------------------------------------------------------

if (page) {
  tell("live");
  refreshLater();
  document.addEventListener("operation-event", ({ detail: { event } }) => {
    if (!MOVES_ONLY.includes(shortName(event))) refreshIn(SOON_MS);
    else if ("refreshWithProgress" in page.dataset) refreshWithProgress();
  });
  document.addEventListener("operation-outdated", () => {
    isOutdated = true;
    // A page that is loaded counts as seen: a hidden one is loaded anew when somebody looks.
    if (isInUse()) showStale(true);
    else if (document.visibilityState === "visible") location.reload();
  });
  document.addEventListener("operation-link", ({ detail }) => {
    if (detail.link === "lost") tell("lost");
    else if (detail.link === "live" && link === "lost") refreshIn(SOON_MS);
  });
  // What had to stay for the focus goes when that has left.
  document.addEventListener("focusout", () => {
    if (stale && !stale.hidden) refreshIn(SOON_MS);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible") return;
    if (isOutdated && !isInUse()) location.reload();
    else refreshIn(0);
  });
}
if (filter && list) bindList();
