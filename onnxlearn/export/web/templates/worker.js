// Beside the page, so that it never stands still: runs the model on one row, or on a file in chunks.

const TENSORS = {
  DOUBLE: ["float64", (values) => Float64Array.from(values)],
  FLOAT: ["float32", (values) => Float32Array.from(values)],
  INT64: ["int64", (values) => BigInt64Array.from(values)],
  BOOL: ["bool", (values) => Uint8Array.from(values)],
  STRING: ["string", (values) => values],
};
// Bytes of a file that are looked at in one go.
const PIECE = 65_536;
const PREVIEW_ROWS = 20;
const SHOWN_PROBLEMS = 8;

let session = null;
let page = null;
let cancelled = false;
let previous = Promise.resolve();

self.onmessage = ({ data }) => {
  if (data.kind === "cancel") {
    cancelled = true;
    return;
  }
  HANDLERS[data.kind](data).then(
    ({ transfer = [], ...answer }) => self.postMessage({ ...answer, kind: data.kind, id: data.id }, transfer),
    (error) => self.postMessage({ kind: data.kind, id: data.id, problems: error.problems ?? [error.message], isOurs: !(error instanceof Refused) }),
  );
};

const HANDLERS = {
  async start({ wasm, model, description }) {
    page = description;
    ort.env.wasm.wasmBinary = wasm;
    // More threads need headers that a file or a plain server does not send, and are no quicker for a small network.
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    session = await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"], logSeverityLevel: 3 });
    return { difference: await checkDifference() };
  },
  async row({ values }) {
    return { outputs: await run(values.map((value) => [value]), 1) };
  },
  async file({ name, content, id }) {
    cancelled = false;
    return new FileRun(name, new Uint8Array(content), id).score();
  },
};

/** The outputs of n rows, given by column: for each the values of all rows in one array. Calls take turns. */
function run(columns, n) {
  const done = previous.then(() => runNow(columns, n));
  previous = done.catch(() => {});
  return done;
}

async function runNow(columns, n) {
  const feeds = Object.create(null);
  page.columns.forEach((column, i) => {
    const [type, array] = TENSORS[column.type];
    feeds[column.name] = new ort.Tensor(type, array(columns[i]), [n, 1]);
  });
  const outputs = await session.run(feeds);
  return page.outputs.map(({ name }) => outputs[name].data);
}

/** The largest difference from what the model gave where this page was made, |a - b| / (1 + |b|), over a few rows. */
async function checkDifference() {
  const { inputs, outputs } = page.check;
  const columns = page.columns.map((column, i) => inputs[i].map((value) => ofJson(column, value)));
  const got = await run(columns, columns[0].length);
  let largest = 0;
  outputs.forEach((expected, i) => {
    expected.forEach((value, j) => {
      const actual = Number(got[i][j]);
      if (value !== null) largest = Math.max(largest, Math.abs(actual - value) / (1 + Math.abs(value)));
      else if (!Number.isNaN(actual)) largest = Infinity;
    });
  });
  return largest;
}

function ofJson(column, value) {
  return column.type === "INT64" ? BigInt(value) : value === null ? NaN : value;
}

/** Problems with a file, each a line of text. */
class FileProblems extends Refused {
  constructor(problems) {
    super(problems[0]);
    this.problems = problems;
  }
}

/** One file on its way through the model. */
class FileRun {
  constructor(name, content, id) {
    this.name = name;
    this.content = content;
    this.id = id;
    this.encoder = new TextEncoder();
    this.na = new Set(page.na);
    this.parts = [];
    this.nRows = 0;
    this.preview = [];
    this.problems = [];
    this.nProblems = 0;
    this.counts = new Map();
    this.numbers = page.targets.map(() => ({ least: Infinity, most: -Infinity, sum: 0 }));
    this.pending = [];
  }

  async score() {
    try {
      await this.scoreAll();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // What stands before a line that ends the reading.
      if (this.columns !== undefined) this.read(this.pending);
      throw new FileProblems([...this.toldProblems(), ...(error.problems ?? [error.message])]);
    }
    if (this.nProblems > 0) throw new FileProblems(this.toldProblems());
    return this.result();
  }

  async scoreAll() {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    let head = "";
    for await (const bytes of this.bytes()) {
      if (cancelled) throw new FileProblems(["stopped before its end"]);
      const text = this.decode(() => decoder.decode(bytes, { stream: true }));
      if (this.parser) this.parser.push(text);
      else if (/[\r\n]/.test((head += text))) this.openTable(head);
      await this.scoreFull();
    }
    const rest = this.decode(() => decoder.decode());
    if (!this.parser) this.openTable(head + rest);
    else this.parser.push(rest);
    this.takeRows(this.parser.finish());
    if (this.columns === undefined) throw new FileProblems(["the file is empty; its first line has to name the columns"]);
    while (this.pending.length > 0) await this.scoreChunk();
  }

  async *bytes() {
    let at = 0;
    let stream = new ReadableStream({
      pull: (controller) => {
        if (at >= this.content.length) return controller.close();
        controller.enqueue(this.content.slice(at, (at += PIECE)));
        self.postMessage({ kind: "progress", id: this.id, share: Math.min(1, at / this.content.length), rows: this.nRows });
      },
    });
    if (/\.gz$/i.test(this.name)) stream = stream.pipeThrough(new DecompressionStream("gzip"));
    const reader = stream.getReader();
    let isFirst = true;
    for (;;) {
      let piece;
      try {
        piece = await reader.read();
      } catch (error) {
        throw new FileProblems([`the file cannot be read: ${error.message || "it is damaged"}`]);
      }
      if (piece.done) return;
      // What a spreadsheet marks as UTF-8 it wants marked when it comes back.
      if (isFirst && piece.value[0] === 0xef && piece.value[1] === 0xbb && piece.value[2] === 0xbf) this.write("\ufeff");
      isFirst = false;
      yield piece.value;
    }
  }

  write(text) {
    this.parts.push(this.encoder.encode(text));
  }

  decode(decoded) {
    try {
      return decoded();
    } catch {
      throw new FileProblems(["the file is not UTF-8: save it as “CSV UTF-8”"]);
    }
  }

  openTable(head) {
    const firstLine = head.split(/[\r\n]/, 1)[0];
    this.delimiter = delimiterOf(firstLine, page.columns.map(({ name }) => name));
    this.parser = new CsvParser(this.delimiter);
    this.parser.push(head);
  }

  takeRows(rows) {
    if (this.columns === undefined && rows.length > 0) this.readHeader(rows.shift().cells);
    if (rows.length > 0) for (const row of this.table.of(rows)) this.pending.push(row);
  }

  readHeader(names) {
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) throw new FileProblems([`the header names ${quoted(twice)} more than once; rename or drop all but one`]);
    if (names.length === 0) throw new FileProblems(["the first line is blank; it has to name the columns"]);
    const known = new Set(page.columns.map(({ name }) => name));
    const extra = names.filter((name) => !known.has(name));
    const problems = page.columns.filter(({ name }) => !names.includes(name)).map(({ name }) => missingColumn(name, extra));
    if (problems.length > 0) {
      const told = problems.slice(0, SHOWN_PROBLEMS);
      if (problems.length > SHOWN_PROBLEMS) told.push(`and ${problems.length - SHOWN_PROBLEMS} columns more`);
      throw new FileProblems([...told, `the file has the columns ${names.slice(0, 12).map(quoted).join(", ")}${names.length > 12 ? " and others" : ""}`]);
    }
    this.names = names;
    this.extra = extra;
    this.columns = page.columns.map((column) => ({ column, at: names.indexOf(column.name) }));
    this.table = new TableRows(names.length);
    this.added = page.outputs.flatMap((output) => output.csv).map((name) => freeName(name, names));
    this.write(csvLine([...names, ...this.added], this.delimiter));
  }

  async scoreFull() {
    if (!this.parser) return;
    this.takeRows(this.parser.take());
    while (this.pending.length >= page.chunk_rows) await this.scoreChunk();
  }

  async scoreChunk() {
    const rows = this.pending.splice(0, page.chunk_rows);
    const values = this.read(rows);
    this.nRows += rows.length;
    // Lets a wish to stop come in.
    await new Promise((resolve) => setTimeout(resolve));
    if (cancelled) throw new FileProblems(["stopped before its end"]);
    // What else is wrong is told at once, nothing more is predicted.
    if (this.nProblems > 0) return;
    const outputs = await run(values, rows.length);
    const texts = rows.map((_, row) => page.outputs.flatMap((output, i) => cellsOf(output, outputs[i], row)));
    this.write(rows.map(({ cells }, row) => csvLine([...cells, ...texts[row]], this.delimiter)).join(""));
    rows.forEach(({ cells }, row) => {
      if (this.preview.length < PREVIEW_ROWS) this.preview.push([...texts[row], ...cells]);
    });
    this.count(outputs, rows.length);
  }

  /** The values of some rows, column by column; cells that do not fit are kept in mind. */
  read(rows) {
    const problems = [];
    const values = this.columns.map(({ column, at }) =>
      rows.map(({ cells, line }) => {
        try {
          return readCell(column, cells[at], this.na);
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          problems.push([line, `line ${line}, ${quoted(column.name)}: ${error.message}`]);
          return null;
        }
      }),
    );
    problems.sort((a, b) => a[0] - b[0]);
    this.nProblems += problems.length;
    this.problems.push(...problems.slice(0, SHOWN_PROBLEMS - this.problems.length).map(([, text]) => text));
    return values;
  }

  toldProblems() {
    const more = this.nProblems - this.problems.length;
    return more > 0 ? [...this.problems, `and ${more.toLocaleString("en")} ${more === 1 ? "cell" : "cells"} more`] : this.problems;
  }

  count(outputs, n) {
    page.outputs.forEach((output, i) => {
      for (let row = 0; row < n; row += 1) {
        if (output.form === "label") {
          const label = labelText(outputs[i][row]);
          this.counts.set(label, (this.counts.get(label) ?? 0) + 1);
        } else if (output.name === "prediction") {
          this.numbers.forEach((about, t) => {
            const value = outputs[i][row * page.targets.length + t];
            about.least = Math.min(about.least, value);
            about.most = Math.max(about.most, value);
            about.sum += value;
          });
        }
      }
    });
  }

  result() {
    const hasLabel = page.outputs.some(({ form }) => form === "label");
    return {
      parts: this.parts,
      transfer: this.parts.map(({ buffer }) => buffer),
      nRows: this.nRows,
      extra: this.extra,
      counts: hasLabel ? page.classes.map((label) => this.counts.get(label) ?? 0) : [],
      numbers: hasLabel ? [] : this.numbers.map((about) => ({ ...about, mean: about.sum / this.nRows })),
      preview: { head: [...this.added, ...this.names], rows: this.preview, added: this.added.length, isNumber: this.areNumbers() },
    };
  }

  /** Which columns of the preview hold numbers: a label is none, whatever it looks like. */
  areNumbers() {
    const ofOutputs = page.outputs.flatMap(({ form, type, csv }) => csv.map(() => form !== "label" && (type === "FLOAT" || type === "DOUBLE")));
    const numeric = new Set(page.columns.filter(({ role }) => role.startsWith("number")).map(({ name }) => name));
    return [...ofOutputs, ...this.names.map((name) => numeric.has(name))];
  }
}

function missingColumn(name, extra) {
  const near = nearest(name, extra);
  return `there is no column ${quoted(name)}${near === null ? "" : `; rename ${quoted(near)} if that is it`}`;
}

function freeName(name, taken) {
  let free = name;
  while (taken.includes(free)) free = `predicted_${free}`;
  return free;
}

function labelText(value) {
  if (page.label === "index") return page.classes[Number(value)];
  if (page.label === "flag") return page.classes[Number(value)];
  return String(value);
}

/** The cells of a row of an output, as onnxlearn's own writer has them. */
function cellsOf(output, data, row) {
  if (output.form === "label") return [labelText(data[row])];
  const cells = [];
  for (let i = row * output.size; i < (row + 1) * output.size; i += 1) {
    const value = data[i];
    if (output.type === "BOOL") cells.push(value ? "True" : "False");
    else if (output.type === "FLOAT") cells.push(float32Text(value));
    else cells.push(Number.isNaN(value) ? "" : String(value));
  }
  return cells;
}

/** The fewest digits that read back as the same float32. */
function float32Text(value) {
  for (let digits = 1; digits < 9; digits += 1) {
    const text = value.toPrecision(digits);
    if (Math.fround(text) === value) return String(Number(text));
  }
  return Number.isNaN(value) ? "" : String(Number(value.toPrecision(9)));
}
