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

/** A number for people: six digits, and two behind the point; very large and very small ones with an exponent. */
function shownNumber(value, digits = 6) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e12 || size < 1e-4)) return value.toExponential(3);
  const before = size < 1 ? 1 : Math.floor(Math.log10(size)) + 1;
  return value.toLocaleString("en", { maximumSignificantDigits: Math.max(digits, before + 2) });
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
