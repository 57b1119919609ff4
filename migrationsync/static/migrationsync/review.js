/**
 * The review by keys: what has [data-key] inside #review is pressed by that key, unless
 * something is being typed.
 *
 * Its forms and its steps ([data-step]) go on without loading the page: #review is drawn anew
 * from the answer, its heading gets the focus, and what there is to tell ([data-told]) is said
 * in the status line, which stays. A button with [data-asks] opens that dialog first. Nothing is
 * drawn anew unless somebody asked for it. Without this module all of it is plain links and forms.
 */

const review = document.getElementById("review");
const status = document.querySelector("[data-review-status]");
const FIELDS = "input, textarea, select, [contenteditable]";
let isBusy = false;

function say(text) {
  // The same words twice are two things to tell.
  status.textContent = "";
  requestAnimationFrame(() => {
    status.textContent = text.replace(/\s+/g, " ").trim();
  });
}

async function go(url, { body, isNew = true } = {}) {
  if (isBusy) return;
  isBusy = true;
  review.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(url, { method: body ? "POST" : "GET", body, cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const after = fresh.getElementById("review");
    if (after) show(fresh, after, response.url, isNew);
    else tellProblem("You are logged out, or this isn't yours to decide any more: reload the page.");
  } catch {
    tellProblem("The server doesn't answer. Nothing on this page is lost: try again.");
  }
  isBusy = false;
  review.removeAttribute("aria-busy");
}

function show(fresh, after, url, isNew) {
  review.replaceChildren(...document.importNode(after, true).childNodes);
  document.title = fresh.title;
  if (isNew) history.pushState(null, "", url);
  review.querySelector("[data-review-heading]").focus();
  const told = [...review.querySelectorAll("[data-told]")].map((each) => words(each));
  say(told.join(" "));
}

/** What is written in it, without its buttons. */
function words(node) {
  const copy = node.cloneNode(true);
  for (const form of copy.querySelectorAll("form")) form.remove();
  return copy.textContent;
}

function tellProblem(text) {
  let notice = review.querySelector("[data-problem]");
  if (!notice) {
    notice = document.createElement("p");
    notice.className = "notice";
    notice.dataset.tone = "bad";
    notice.dataset.problem = "";
    review.prepend(notice);
  }
  notice.textContent = text;
  say(text);
}

const isPlain = (event) => !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);

document.addEventListener("keydown", (pressed) => {
  // A key that is held down decides once.
  if (!isPlain(pressed) || pressed.repeat || pressed.isComposing) return;
  if (pressed.target.closest(FIELDS) || document.querySelector("dialog[open]")) return;
  const control = review.querySelector(`[data-key="${CSS.escape(pressed.key)}"]`);
  if (!control) return;
  pressed.preventDefault();
  if (control.disabled) say(document.getElementById(control.getAttribute("aria-describedby")).textContent);
  else control.click();
});

review.addEventListener("click", (click) => {
  const asks = click.target.closest("[data-asks]");
  if (asks) {
    click.preventDefault();
    if (!isBusy) document.getElementById(asks.dataset.asks).showModal();
    return;
  }
  const step = click.target.closest("a[data-step]");
  if (!step || !isPlain(click) || click.button !== 0) return;
  click.preventDefault();
  go(step.href);
});

review.addEventListener("submit", (submitted) => {
  const { target: form, submitter } = submitted;
  if (submitter.formMethod === "dialog") return;
  submitted.preventDefault();
  form.closest("dialog")?.close();
  // Its own name and value are the decision.
  go(form.action, { body: new URLSearchParams(new FormData(form, submitter)) });
});

addEventListener("popstate", () => go(location.href, { isNew: false }));
