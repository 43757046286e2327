// What the model says of one row.

const SHOWN_CLASSES = 8;
const LONG_LABEL = 20;

/** Nodes that show the outputs of a row; `answers` are its values, output by output. */
function resultNodes(page, answers) {
  const outputs = page.outputs.map((output, i) => ({ ...output, values: Array.from(answers[i]) }));
  const of = (name) => outputs.find((output) => output.name === name);
  const nodes = page.classes.length > 0 ? classNodes(page, of) : numberNodes(page, of);
  const main = ["label", "probabilities", "prediction", "lower", "upper", "std", "quantiles", "set"];
  const further = outputs.filter(({ name }) => !main.includes(name));
  if (further.length > 0) nodes.push(furtherNode(further));
  return nodes;
}

function classNodes(page, of) {
  const raw = of("label").values[0];
  const label = page.label === "class" ? String(raw) : page.classes[Number(raw)];
  const shares = page.classes.map((name, i) => ({ name, share: of("probabilities").values[i] }));
  shares.sort((a, b) => b.share - a.share);
  const bars = shares.map(({ name, share }) => bar(name, share, shownShare(share), name === label));
  const answer = make("p", { className: label.length > LONG_LABEL ? "answer long" : "answer", dir: "auto" }, visible(label));
  answer.dataset.value = label;
  const nodes = [make("p", { className: "of" }, page.targets[0]), answer, make("ol", { className: "bars", "aria-label": "Probabilities" }, ...bars.slice(0, SHOWN_CLASSES))];
  if (bars.length > SHOWN_CLASSES) {
    const rest = make("ol", { className: "bars", start: SHOWN_CLASSES + 1 }, ...bars.slice(SHOWN_CLASSES));
    nodes.push(make("details", {}, make("summary", {}, `${counted(bars.length - SHOWN_CLASSES, "class").replace("classs", "classes")} more`), rest));
  }
  if (of("set")) {
    const inside = page.classes.filter((_, i) => of("set").values[i]);
    const share = page.coverage === null ? "" : ` in at least ${Number((page.coverage * 100).toPrecision(4))} of 100 rows`;
    nodes.push(make("p", { className: "set" }, `The true class is among these${share}: `, make("strong", {}, inside.map(visible).join(", ") || "none")));
  }
  return nodes;
}

function numberNodes(page, of) {
  return page.targets.flatMap((target, t) => {
    const value = of("prediction").values[t];
    const told = ["lower", "upper", "std"].map((name) => of(name)?.values[t]);
    const [shown, lower, upper, std] = shownNumbers([value, ...told]);
    const answer = make("p", { className: "answer" }, shown);
    answer.dataset.value = String(value);
    const nodes = [make("p", { className: "of", dir: "auto" }, target), answer];
    if (of("lower")) nodes.push(intervalNode(page, told[0], value, told[1], [lower, "to", upper]));
    if (of("std")) nodes.push(make("p", { className: "std" }, `± ${std} (standard deviation)`));
    if (of("quantiles")) nodes.push(quantilesNode(of("quantiles"), t, page.targets.length));
    return nodes;
  });
}

function intervalNode(page, lower, value, upper, texts) {
  const share = page.coverage === null ? "" : ` in at least ${Number((page.coverage * 100).toPrecision(4))} of 100 rows`;
  const mark = make("span", { className: "mark" });
  mark.style.insetInlineStart = `${upper > lower ? Math.max(0, Math.min(1, (value - lower) / (upper - lower))) * 100 : 50}%`;
  const node = make(
    "div",
    { className: "interval" },
    make("p", {}, `The true value is between these${share}:`),
    make("span", { className: "span", "aria-hidden": "true" }, mark),
    make("p", { className: "ends" }, ...texts.flatMap((text) => [make("span", {}, text), " "])),
  );
  node.dataset.lower = String(lower);
  node.dataset.upper = String(upper);
  return node;
}

function quantilesNode(output, t, nTargets) {
  const levels = output.axis;
  const values = output.values.slice((t * output.values.length) / nTargets, ((t + 1) * output.values.length) / nTargets);
  const texts = shownNumbers(values);
  const rows = levels.map((level, i) => make("tr", {}, make("th", { scope: "row" }, `${Number((Number(level) * 100).toPrecision(6))} %`), make("td", { className: "number" }, texts[i])));
  return make("details", {}, make("summary", {}, "Quantiles"), make("table", {}, make("tbody", {}, ...rows)));
}

function furtherNode(outputs) {
  const rows = outputs.flatMap((output) =>
    output.values.map((value, i) =>
      make("tr", {}, make("th", { scope: "row", dir: "auto" }, output.csv[i]), make("td", {}, output.type === "BOOL" ? (value ? "yes" : "no") : shownNumber(Number(value)))),
    ),
  );
  return make("details", {}, make("summary", {}, "Further outputs"), make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Further outputs" }, make("table", {}, make("tbody", {}, ...rows))));
}
