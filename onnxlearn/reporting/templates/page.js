
"use strict";
// Tables can be sorted by their headings, and the theme can be chosen; without this script the page is complete.
const themes = ["auto", "light", "dark"];
const store = {
  get() { try { return localStorage.getItem("onnxlearn-theme"); } catch { return null; } },
  set(theme) { try { localStorage.setItem("onnxlearn-theme", theme); } catch { /* a page opened from a file may not */ } },
};
const toggle = document.createElement("button");
toggle.id = "theme";
toggle.type = "button";
function choose(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  toggle.textContent = `Theme: ${theme}`;
  toggle.dataset.theme = theme;
}
toggle.addEventListener("click", () => {
  const next = themes[(themes.indexOf(toggle.dataset.theme) + 1) % themes.length];
  choose(next);
  store.set(next);
});
choose(themes.includes(store.get()) ? store.get() : "auto");
document.querySelector("header").prepend(toggle);

function key(row, column) {
  const number = row.cells[column].querySelector("data");
  if (!number) return row.cells[column].textContent.trim();
  return number.value === "" ? NaN : Number(number.value.replace("inf", "Infinity"));
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}
function sort(table, column, heading) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [key(row, column), row]);
  const missing = ([value]) => Number.isNaN(value);
  // What is undefined stays last, whichever way.
  rows.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : compare(a[0], b[0]) * (down ? -1 : 1)));
  body.append(...rows.map(([, row]) => row));
}
for (const table of document.querySelectorAll("table.sortable")) {
  for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, column, heading));
  }
}
