/**
 * What a schedule means, and when it would run next, as it is being filled in: drawn by the server,
 * in [data-schedule-preview] of its fieldset. Without this module it is said once it is saved.
 */

const preview = document.querySelector("[data-schedule-preview]");
const form = preview?.closest("form");
const TYPING_MS = 400;
let typing = 0;
let turn = 0;

/** The one of its fields that counts, as a query. */
function schedule() {
  const { recurs, cron, interval_minutes: minutes } = form.elements;
  const field = { cron, interval: minutes }[recurs.value];
  return new URLSearchParams(field ? { [field.name]: field.value } : {});
}

async function show() {
  turn += 1;
  const mine = turn;
  try {
    const response = await fetch(`${preview.dataset.schedulePreview}?${schedule()}`);
    if (!response.ok || response.redirected) throw new Error(response.statusText);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    // An earlier answer may come late.
    if (mine === turn) preview.replaceChildren(...fresh.body.childNodes);
  } catch {
    if (mine === turn) preview.replaceChildren();
  }
}

function showSoon() {
  clearTimeout(typing);
  typing = setTimeout(show, TYPING_MS);
}

form?.querySelector(".schedule").addEventListener("input", showSoon);
