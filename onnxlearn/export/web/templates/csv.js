// Reading and writing CSV: RFC 4180, as strict as onnxlearn's own reader. What does not fit is an error with its line.

const DELIMITERS = [",", "\t", ";", "|"];
const LINE_BREAK = /\r\n|\r|\n/g;

/** Cuts text into rows, however it comes in pieces; a blank line is a row without cells. */
class CsvParser {
  constructor(delimiter) {
    this.delimiter = delimiter;
    this.rows = [];
    this.line = 1;
    this.begin();
    this.afterReturn = false;
  }

  begin() {
    this.row = [];
    this.field = "";
    // "start" of a field, "plain", in "quotes", or after a "quote" that may have ended them.
    this.state = "start";
    this.startLine = this.line;
    this.breaks = 0;
  }

  push(text) {
    let i = 0;
    while (i < text.length) {
      if (this.state === "quotes") i = this.inQuotes(text, i);
      else i = this.outside(text, i);
    }
  }

  inQuotes(text, i) {
    const end = text.indexOf('"', i);
    const stop = end < 0 ? text.length : end;
    this.field += text.slice(i, stop);
    if (end >= 0) this.state = "quote";
    return stop + 1;
  }

  outside(text, i) {
    const character = text[i];
    if (character === "\n" && this.afterReturn) {
      this.afterReturn = false;
      return i + 1;
    }
    this.afterReturn = false;
    if (character === this.delimiter) {
      this.endField();
    } else if (character === "\n" || character === "\r") {
      this.endRow();
      this.afterReturn = character === "\r";
    } else if (this.state === "quote") {
      if (character !== '"') throw new Refused(`line ${this.startLine}: there is text after a closing quote; mend the quoting there`);
      this.field += '"';
      this.state = "quotes";
    } else if (this.state === "start" && character === '"') {
      this.state = "quotes";
      this.isQuoted = true;
    } else {
      return this.plain(text, i);
    }
    return i + 1;
  }

  plain(text, i) {
    let end = i + 1;
    while (end < text.length && text[end] !== this.delimiter && text[end] !== "\n" && text[end] !== "\r") end += 1;
    this.field += text.slice(i, end);
    this.state = "plain";
    return end;
  }

  endField() {
    if (this.isQuoted) this.breaks += (this.field.match(LINE_BREAK) ?? []).length;
    this.row.push(this.field);
    this.field = "";
    this.state = "start";
    this.isQuoted = false;
    this.hasFields = true;
  }

  endRow() {
    const isBlank = this.row.length === 0 && this.state === "start";
    if (!isBlank) this.endField();
    this.rows.push({ cells: this.row, line: this.startLine });
    this.line += this.breaks + 1;
    this.begin();
  }

  finish() {
    if (this.state === "quotes") throw new Refused(`line ${this.startLine}: a quote is opened and never closed; mend the quoting there`);
    if (this.row.length > 0 || this.state !== "start") this.endRow();
    return this.take();
  }

  take() {
    const rows = this.rows;
    this.rows = [];
    return rows;
  }
}

/** What separates the fields: the first delimiter under which the header names most of these columns. */
function delimiterOf(header, names) {
  const known = new Set(names);
  let best = ",";
  let most = 0;
  for (const delimiter of DELIMITERS) {
    const parser = new CsvParser(delimiter);
    try {
      parser.push(header);
      const found = (parser.finish()[0]?.cells ?? []).filter((name) => known.has(name)).length;
      if (found > most) [best, most] = [delimiter, found];
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }
  return best;
}

/** Rows without blank lines: one before a row is an empty cell of a table of one column, or an error. */
class TableRows {
  constructor(nColumns) {
    this.nColumns = nColumns;
    this.blanks = [];
  }

  *of(rows) {
    for (const { cells, line } of rows) {
      if (cells.length === 0) {
        this.blanks.push(line);
        continue;
      }
      if (this.blanks.length > 0 && this.nColumns > 1) throw new Refused(`line ${this.blanks[0]} is blank, with rows after it; remove it`);
      if (cells.length !== this.nColumns) {
        throw new Refused(`line ${line} has ${cells.length} fields, the header names ${this.nColumns} columns; mend the line, or quote fields that hold the delimiter`);
      }
      for (const blank of this.blanks) yield { cells: [""], line: blank };
      this.blanks = [];
      yield { cells, line };
    }
  }
}

function csvLine(cells, delimiter) {
  return `${cells.map((cell) => csvCell(cell, delimiter)).join(delimiter)}\n`;
}

function csvCell(cell, delimiter) {
  return cell.includes(delimiter) || /["\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** The name that needs the fewest changes, if they are few. */
function nearest(name, names) {
  const scored = names.map((other) => [distance(name.toLowerCase(), other.toLowerCase()), other]);
  const [steps, found] = scored.reduce((a, b) => (b[0] < a[0] ? b : a), [Infinity, null]);
  return steps <= Math.max(1, Math.floor(name.length / 3)) ? found : null;
}

function distance(a, b) {
  if (Math.abs(a.length - b.length) > 20 || a.length > 200) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
