/**
 * Words for numbers, times and events: those of operations/watching.py, which a test compares.
 */

const number = (value) => value.toLocaleString("en-US");
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const label = (name) => capitalized(name.replaceAll("_", " "));

/** In the server's time zone, as everything else on the page. */
function clock(moment) {
  const admin = document.body.dataset.adminUtcOffset;
  const offset = admin === undefined ? -60 * new Date(moment).getTimezoneOffset() : Number(admin);
  return new Date(new Date(moment).getTime() + offset * 1000).toISOString().slice(11, 19);
}

/** The two largest units: “3 min 20 s”, “2 h 5 min”. */
function duration(seconds) {
  if (seconds < 1) return "less than 1 s";
  const whole = Math.floor(seconds);
  const units = [[86_400, "d", 3_600, "h"], [3_600, "h", 60, "min"], [60, "min", 1, "s"]];
  for (const [size, unit, below, belowUnit] of units) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / below);
      return `${Math.floor(whole / size)} ${unit}` + (rest ? ` ${rest} ${belowUnit}` : "");
    }
  }
  return `${whole} s`;
}

/** The largest unit alone: “3 min ago”. */
function ago(moment) {
  const seconds = secondsBetween(moment, Date.now());
  return seconds < 10 ? "just now" : `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}

const secondsBetween = (start, end) => (new Date(end) - new Date(start)) / 1000;

/** An event's name without its kind. */
const shortName = (event) => event.name.slice(event.name.indexOf(".") + 1);

/** What an event's payload says, in one line. */
function message({ name, payload }) {
  if (name.endsWith(".progress")) {
    const ofTotal = payload.total === null ? "" : ` of ${number(payload.total)}`;
    const step = `(+${number(payload.amount)} in ${number(payload.elapsed_ms)} ms)`;
    return `${number(payload.done)}${ofTotal}${payload.amount ? ` ${step}` : ""}`;
  }
  let text = capitalized(payload.message ?? "");
  if (payload.by) return `${text}${text ? ", " : ""}by ${payload.by}`;
  if (typeof payload.amount === "number") {
    text += `: ${number(payload.amount)} ${payload.amount === 1 ? "row" : "rows"}`;
  }
  return text;
}

/** Untouched where nothing changes, so that a selection or a screen reader isn't disturbed. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export { ago, clock, duration, label, message, number, secondsBetween, setText, shortName };
