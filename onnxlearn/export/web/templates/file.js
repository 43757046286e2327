// A table of rows, dropped or chosen: scored beside the page, and given back as a file.

const PREVIEW_DIGITS = 5;

class FileCard {
  constructor(page, ask, cancel) {
    this.page = page;
    this.ask = ask;
    this.url = null;
    const zone = byId("drop");
    byId("file").addEventListener("change", ({ target }) => {
      if (target.files.length > 0) this.score(target.files[0]);
      // The same file can be chosen again, once it is mended.
      target.value = "";
    });
    byId("cancel").addEventListener("click", cancel);
    let depth = 0;
    const isFile = (event) => event.dataTransfer?.types.includes("Files");
    const mark = (isOver) => zone.classList.toggle("over", isOver);
    document.addEventListener("dragenter", (event) => isFile(event) && mark(++depth > 0));
    document.addEventListener("dragleave", (event) => isFile(event) && mark(--depth > 0));
    document.addEventListener("dragover", (event) => isFile(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      mark(((depth = 0), false));
      if (event.dataTransfer.files.length === 1) this.score(event.dataTransfer.files[0]);
      else this.show([problemsNode("Several files", ["drop one file at a time"])]);
    });
  }

  async score(file) {
    if (!byId("progress").hidden || byId("file").disabled) return;
    this.show([]);
    this.setProgress(0, 0);
    byId("progress").hidden = false;
    reveal(byId("file-card"));
    const answer = await this.answer(file);
    byId("progress").hidden = true;
    if (answer.problems) this.show([problemsNode(file.name, answer.problems, answer.isOurs)]);
    else this.show(this.answerNodes(file, answer));
  }

  /** What the worker makes of a file. It gets the bytes: of a page opened from a disk WebKit lets no worker read a file. */
  async answer(file) {
    let content;
    try {
      content = await file.arrayBuffer();
    } catch (error) {
      return { problems: [`the file cannot be read: ${error.message || "it has changed"}`] };
    }
    return this.ask({ kind: "file", name: file.name, content }, ({ share, rows }) => this.setProgress(share, rows), [content]);
  }

  setProgress(share, rows) {
    byId("progress-bar").value = share;
    byId("progress-text").textContent = rows > 0 ? `${counted(rows, "row")}…` : "Reading…";
  }

  show(nodes) {
    byId("file-result").replaceChildren(...nodes);
  }

  answerNodes(file, answer) {
    if (this.url !== null) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(new Blob(answer.parts, { type: "text/csv" }));
    const name = file.name.replace(/\.gz$/i, "").replace(/(\.[a-z]+)?$/i, "_predictions$1");
    const download = make("a", { href: this.url, download: name, className: "button" }, "Save the predictions");
    const head = make("p", { className: "done" }, make("strong", { dir: "auto" }, file.name), `: ${counted(answer.nRows, "row")} predicted. `);
    const kept = answer.extra.length > 0 ? make("p", { className: "hint" }, `${counted(answer.extra.length, "column")} that the model does not use ${answer.extra.length === 1 ? "is" : "are"} kept in the file.`) : null;
    return [head, kept, answer.nRows > 0 ? this.summaryNode(answer) : null, make("p", {}, download), answer.nRows > 0 ? previewNode(answer) : null].filter((node) => node !== null);
  }

  summaryNode({ counts, numbers, nRows }) {
    if (counts.length > 0) {
      const pairs = counts.map((n, i) => [this.page.classes[i], n]).sort((a, b) => b[1] - a[1]);
      const bars = pairs.slice(0, SHOWN_CLASSES).map(([name, n]) => bar(name, n / nRows, `${n.toLocaleString("en")} (${shownShare(n / nRows)})`, false));
      return make("ol", { className: "bars", "aria-label": "Predicted classes" }, ...bars);
    }
    const lines = numbers.map(({ least, mean, most }, t) => {
      const [from, to, average] = shownNumbers([least, most, mean]);
      return `${this.page.targets[t]}: ${from} to ${to}, ${average} on average`;
    });
    return make("ul", { className: "plain" }, ...lines.map((line) => make("li", { dir: "auto" }, line)));
  }
}

function problemsNode(name, problems, isOurs = false) {
  const title = isOurs ? " could not be predicted:" : " does not fit the model:";
  const items = problems.map((text) => make("li", {}, text[0].toUpperCase() + text.slice(1)));
  return make("div", { className: "problems", role: "alert" }, make("p", {}, make("strong", { dir: "auto" }, name), title), make("ul", {}, ...items));
}

function previewNode({ preview, nRows }) {
  const { head, added, isNumber, rows } = preview;
  const columns = head.map((_, i) => {
    const cells = rows.map((row) => row[i]);
    // What the file brought stays as it is.
    return i < added && isNumber[i] ? shownNumbers(cells.map(Number), { digits: PREVIEW_DIGITS, full: true }) : cells;
  });
  const kind = (i) => `${i < added ? "added" : ""} ${isNumber[i] ? "number" : ""}`.trim();
  const table = make(
    "table",
    {},
    make("caption", {}, nRows > rows.length ? `The first ${rows.length} rows` : "All rows"),
    make("thead", {}, make("tr", {}, ...head.map((text, i) => make("th", { scope: "col", className: kind(i), dir: "auto" }, text)))),
    make("tbody", {}, ...rows.map((_, row) => make("tr", {}, ...columns.map((cells, i) => make("td", { className: kind(i), dir: "auto" }, cells[row]))))),
  );
  return make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Predicted rows" }, table);
}
