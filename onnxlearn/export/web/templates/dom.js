// Nodes of the page. Texts of the model and of files get in as text alone, never as markup.

/** A new element: properties (or attributes with "-"), then children or texts. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for" || name === "list") {
      if (value !== null && value !== undefined) element.setAttribute(name, value);
    } else {
      element[name] = value;
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

/** A text that shows where nothing, or nothing visible, would be. */
function visible(text) {
  return text.trim() === "" ? JSON.stringify(text) : text;
}

/** Numbers for people, all with as many digits behind the point: six digits of the largest, and two behind the point; very
 * large and very small ones with an exponent. Zeros that none of them needs are left out, unless they are `full`. What is no
 * number gives an empty text. */
function shownNumbers(values, { digits = 6, full = false } = {}) {
  const largest = values.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
  const shown = (format) => values.map((value) => (Number.isFinite(value) ? format(value) : Number.isNaN(value) || value === undefined ? "" : String(value)));
  if (largest !== 0 && (largest >= 1e12 || largest < 1e-4)) return shown((value) => value.toExponential(3));
  const before = largest < 1 ? 1 : Math.floor(Math.log10(largest)) + 1;
  const most = Math.max(digits - before, 2);
  const needed = shown((value) => value.toLocaleString("en", { maximumFractionDigits: most })).map((text) => (text.split(".")[1] ?? "").length);
  const behind = full ? most : Math.max(0, ...needed);
  return shown((value) => value.toLocaleString("en", { minimumFractionDigits: behind, maximumFractionDigits: behind }));
}

function shownNumber(value) {
  return shownNumbers([value])[0];
}

/** Brings an element into sight, unless the better part of the window has it already. */
function reveal(element) {
  const { top } = element.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) element.scrollIntoView({ block: "nearest" });
}

function shownShare(share) {
  const percent = share * 100;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  if (percent < 100 && percent > 99.9) return "> 99.9 %";
  return `${percent.toFixed(1)} %`;
}

function counted(n, what) {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}

/** One bar of a list: a name, a share from 0 to 1 and what it says. */
function bar(name, share, text, isFirst) {
  const fill = make("span", { className: "fill" });
  fill.style.inlineSize = `${Math.max(0, Math.min(1, share)) * 100}%`;
  const item = make(
    "li",
    { className: isFirst ? "bar first" : "bar" },
    make("span", { className: "name", dir: "auto" }, visible(name)),
    make("span", { className: "share" }, text),
    make("span", { className: "track", "aria-hidden": "true" }, fill),
  );
  item.dataset.name = name;
  item.dataset.value = String(share);
  return item;
}
