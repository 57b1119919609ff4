/**
 * Asks before a page with a form that isn't saved is left: #editor, [data-unsaved] where the
 * server has drawn what it didn't keep.
 */

const form = document.getElementById("editor");
let isUnsaved = "unsaved" in form.dataset;

form.addEventListener("input", () => {
  isUnsaved = true;
});
form.addEventListener("submit", () => {
  isUnsaved = false;
});
addEventListener("beforeunload", (leaving) => {
  if (isUnsaved) leaving.preventDefault();
});
