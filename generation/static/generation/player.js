/**
 * <episode-player page page-starts>: an <audio> with chapters and a transcript that follows.
 *
 * Upgrades what templates/generation/audio.html has drawn: links with [data-seek-ms] seek and
 * play instead of opening the file; the chapter and the segment that are heard are marked with
 * aria-current, and the transcript scrolls along unless somebody is reading elsewhere in it.
 *
 * The transcript is one page of many. `page-starts` says at which millisecond each begins; the
 * page that is heard is fetched from this page's own address and put in the place of the one
 * that is shown. In the transcript the arrow keys go from segment to segment, Enter plays it.
 */

const READING_MS = 6_000; // after a touch, the transcript isn't moved for so long
const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

class EpisodePlayer extends HTMLElement {
  #audio = null;
  #starts = [];
  #page = 1;
  #wanted = 0; // the page that is on its way
  #touchedAt = -Infinity;

  connectedCallback() {
    this.#audio = this.querySelector("audio");
    this.#starts = JSON.parse(this.getAttribute("page-starts"));
    this.#page = Number(this.getAttribute("page"));
    this.#audio.addEventListener("timeupdate", this.#follow);
    this.#audio.addEventListener("seeked", this.#follow);
    this.addEventListener("click", this.#onClick);
    this.addEventListener("keydown", this.#onKey);
    for (const name of ["wheel", "touchmove", "pointerdown", "keydown"]) {
      this.addEventListener(name, this.#onTouch, { passive: true });
    }
    this.#rove(this.#links()[0]);
  }

  // --- seeking ---

  #onClick = (click) => {
    const link = click.target.closest("[data-seek-ms]") ?? this.#linkOfWords(click.target);
    if (!link || click.ctrlKey || click.metaKey || click.shiftKey) return;
    click.preventDefault();
    this.#touchedAt = -Infinity;
    this.#audio.currentTime = Number(link.dataset.seekMs) / 1000;
    this.#mark(Number(link.dataset.seekMs));
    // Refused where a browser wants another gesture first: it has sought all the same.
    this.#audio.play().catch(() => {});
  };

  /** A click into the words plays them, unless it ends a selection. */
  #linkOfWords(target) {
    const words = target.closest(".transcript .words");
    if (!words || !document.getSelection().isCollapsed) return null;
    return words.closest("li").querySelector("[data-seek-ms]");
  }

  #onKey = (pressed) => {
    const link = pressed.target.closest(".transcript [data-seek-ms]");
    if (!link || !(pressed.key in MOVES) || pressed.altKey || pressed.ctrlKey || pressed.metaKey) return;
    pressed.preventDefault();
    const links = this.#links();
    const to = links.indexOf(link) + MOVES[pressed.key];
    const next = links[Math.min(Math.max(to, 0), links.length - 1)];
    this.#rove(next);
    next.focus();
  };

  #onTouch = (touch) => {
    if (touch.target.closest(".transcript")) this.#touchedAt = performance.now();
  };

  #links() {
    return [...this.querySelectorAll(".transcript [data-seek-ms]")];
  }

  /** One of the transcript's links is in the order of the Tab key, not two hundred. */
  #rove(link) {
    if (!link) return;
    for (const each of this.#links()) each.tabIndex = each === link ? 0 : -1;
  }

  // --- following ---

  #follow = () => {
    // Nothing was heard yet: what is shown may be a page that was asked for.
    if (this.#audio.paused && this.#audio.currentTime === 0) return;
    this.#mark(Math.round(this.#audio.currentTime * 1000));
  };

  async #mark(now) {
    this.#markChapter(now);
    const page = lastAt(this.#starts, now) + 1;
    if (page !== this.#page && page > 0) {
      await this.#turnTo(page);
      return;
    }
    const items = [...this.querySelectorAll(".transcript li")];
    const item = items[lastAt(items.map((each) => Number(each.dataset.startMs)), now)];
    if (!item || item.ariaCurrent === "true") return;
    this.querySelector(".transcript [aria-current]")?.removeAttribute("aria-current");
    item.setAttribute("aria-current", "true");
    if (!item.closest(".transcript").contains(document.activeElement)) {
      this.#rove(item.querySelector("[data-seek-ms]"));
    }
    this.#bring(item);
  }

  #markChapter(now) {
    const chapters = [...this.querySelectorAll(".audio-chapters li")];
    const heard = chapters[lastAt(chapters.map((each) => Number(each.dataset.startMs)), now)];
    for (const each of chapters) {
      if (each !== heard) each.removeAttribute("aria-current");
      else if (each.ariaCurrent !== "true") each.setAttribute("aria-current", "true");
    }
  }

  #bring(item) {
    if (performance.now() - this.#touchedAt < READING_MS) return;
    const box = item.closest(".transcript");
    const top = item.offsetTop - box.offsetTop - box.clientHeight / 3;
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    box.scrollTo({ top, behavior: isCalm ? "instant" : "smooth" });
  }

  async #turnTo(page) {
    if (this.#wanted === page) return;
    this.#wanted = page;
    try {
      const fresh = await fetchTranscript(page);
      if (this.#wanted !== page) return; // another one was wanted meanwhile
      this.querySelector("#transcript").replaceWith(fresh);
      this.#page = page;
      this.#rove(this.#links()[0]);
    } catch {
      return; // the next moment that is heard tries again
    } finally {
      if (this.#wanted === page) this.#wanted = 0;
    }
    this.#mark(Math.round(this.#audio.currentTime * 1000));
  }
}

async function fetchTranscript(page) {
  const url = new URL(location.href);
  url.search = new URLSearchParams({ transcript: page });
  const response = await fetch(url, { headers: { "X-Live-Refresh": document.visibilityState } });
  if (response.redirected || !response.ok) throw new Error(response.statusText);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  return document.importNode(fresh.getElementById("transcript"), true);
}

/** The index of the last of `starts` (rising) that isn't after `now`; -1 if all are. */
function lastAt(starts, now) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= now) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

customElements.define("episode-player", EpisodePlayer);
