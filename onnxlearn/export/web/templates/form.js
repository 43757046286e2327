// The form: one field a column, each of which gives the text that a cell of a table would have.

const SELECT_LEVELS = 60;
const FILTER_FROM = 12;
// From here on fields out of sight are laid out when they come into it.
const MANY = 60;
const OTHER = "other";
const NOTHING_MISSING = new Set([""]);

const KINDS = {
  number: "Number",
  number32: "Number",
  text: "Category",
  whole: "Category, a whole number",
  flag: "Yes or no",
  strict_flag: "Yes or no",
  wall_time: "Date and time",
  instant: "Date and time, UTC",
};

function hintOf(column) {
  if (column.seconds) return column.range ? `Seconds, usually ${column.range.join(" to ")}` : `Duration in seconds, such as ${column.example}`;
  if (!column.range && column.role.startsWith("number")) return `${KINDS[column.role]}, such as ${column.example}`;
  if (column.range) return `${KINDS[column.role]}, usually ${column.range.map((cell) => cell.replace("T", " ")).join(" to ")}`;
  if (column.levels.length === 0) return KINDS[column.role];
  return `One of ${column.levels.length}${column.ordered ? ", in order" : ""}${column.role === "whole" ? ", a whole number" : ""}`;
}

/** A field of the form: its element, and how to get and set its cell. */
class Field {
  constructor(column, number) {
    this.column = column;
    this.id = `field-${number}`;
    this.error = make("p", { className: "error", id: `${this.id}-error`, hidden: true });
    this.hint = make("p", { className: "hint", id: `${this.id}-hint` }, hintOf(column));
    this.described = `${this.id}-hint ${this.id}-error`;
    this.element = this.build();
    this.element.classList.add("field");
  }

  build() {
    const { column } = this;
    if (column.role === "flag" || column.role === "strict_flag") return this.buildFlag();
    const useSelect = column.levels.length > 0 && (column.levels.length <= SELECT_LEVELS || column.levels.some((level) => /[\r\n]/.test(level)));
    const input = useSelect ? this.buildSelect() : this.buildInput();
    const label = make("label", { for: this.id, className: "label", dir: "auto" }, column.name);
    return make("div", {}, label, make("div", {}, input, this.other ?? null, this.list ?? null, this.hint, this.error));
  }

  buildInput() {
    const { column } = this;
    const isDate = column.role === "wall_time" || column.role === "instant";
    const isNumber = column.role.startsWith("number");
    this.control = make("input", {
      id: this.id, type: isDate ? "datetime-local" : "text", autocomplete: "off", spellcheck: false,
      inputMode: isNumber ? "decimal" : "text", "aria-describedby": this.described,
    });
    if (isDate) this.control.step = "1";
    if (column.levels.length > 0) {
      this.control.setAttribute("list", `${this.id}-list`);
      this.list = make("datalist", { id: `${this.id}-list` }, ...column.levels.map((value) => make("option", { value })));
    }
    return this.control;
  }

  buildSelect() {
    const { levels, name } = this.column;
    this.control = make(
      "select",
      { id: this.id, "aria-describedby": this.described },
      make("option", { value: "" }, "(missing)"),
      ...levels.map((level, i) => make("option", { value: String(i) }, visible(level))),
      make("option", { value: OTHER }, "Another value…"),
    );
    this.other = make("input", {
      type: "text", hidden: true, autocomplete: "off", spellcheck: false, className: "other",
      "aria-label": `Another value of ${name}`, "aria-describedby": this.described,
    });
    this.control.addEventListener("change", () => {
      this.other.hidden = this.control.value !== OTHER;
      if (!this.other.hidden) this.other.focus();
    });
    return this.control;
  }

  buildFlag() {
    const [yes, no] = this.column.bits ? ["1", "0"] : ["true", "false"];
    const choices = [[yes, "Yes"], [no, "No"], ["", "Missing"]].slice(0, this.column.role === "strict_flag" ? 2 : 3);
    this.radios = choices.map(([value, text], i) => {
      const radio = make("input", { type: "radio", name: this.id, value, id: `${this.id}-${i}` });
      return { radio, label: make("label", { for: `${this.id}-${i}` }, text) };
    });
    if (choices.length === 3) this.radios[2].radio.checked = true;
    return make(
      "div",
      { role: "radiogroup", "aria-labelledby": `${this.id}-label`, "aria-describedby": this.described },
      make("span", { id: `${this.id}-label`, className: "label", dir: "auto" }, this.column.name),
      make("div", {}, make("div", { className: "segments" }, ...this.radios.flatMap(({ radio, label }) => [radio, label])), this.hint, this.error),
    );
  }

  /** The text that a cell would have. */
  get cell() {
    if (this.radios) return this.radios.find(({ radio }) => radio.checked)?.radio.value ?? "";
    if (!this.other) return this.control.value && this.column.role === "instant" ? `${this.control.value}Z` : this.control.value;
    if (this.control.value === OTHER) return this.other.value;
    return this.control.value === "" ? "" : this.column.levels[Number(this.control.value)];
  }

  set cell(cell) {
    if (this.radios) {
      for (const { radio } of this.radios) radio.checked = radio.value === cell;
    } else if (this.other) {
      const at = this.column.levels.indexOf(cell);
      this.control.value = cell === "" ? "" : at < 0 ? OTHER : String(at);
      this.other.value = cell !== "" && at < 0 ? cell : "";
      this.other.hidden = this.control.value !== OTHER;
    } else {
      this.control.value = this.column.role === "instant" ? cell.replace(/Z$/, "") : cell;
    }
  }

  /** The value for the model, or undefined with the reason beside the field. */
  read() {
    try {
      if (this.control?.validity.badInput) throw new Refused("the date is not complete");
      const value = readCell(this.column, this.cell, NOTHING_MISSING);
      this.tell("");
      return value;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.tell(error.message);
      return undefined;
    }
  }

  tell(text) {
    this.error.textContent = text === "" ? "" : text[0].toUpperCase() + text.slice(1);
    this.error.hidden = text === "";
    for (const control of this.radios ? [this.element] : this.controls) {
      if (text === "") control.removeAttribute("aria-invalid");
      else control.setAttribute("aria-invalid", "true");
    }
    this.element.classList.toggle("wrong", text !== "");
  }

  get controls() {
    return this.radios ? this.radios.map(({ radio }) => radio) : [this.control, ...(this.other ? [this.other] : [])];
  }

  /** What a reader of the prediction should know of this value. */
  remark(value) {
    const { column } = this;
    if (column.levels.length > 0 && this.cell !== "" && !column.levels.includes(String(value))) {
      return `${quoted(column.name)}: ${quoted(this.cell)} was not there in training`;
    }
    if (column.range && column.role.startsWith("number") && (value < Number(column.range[0]) || value > Number(column.range[1]))) {
      return `${quoted(column.name)}: ${this.cell} is outside of what is usual`;
    }
    return null;
  }

  focus() {
    this.element.hidden = false;
    this.controls[this.control?.value === OTHER ? 1 : 0].focus();
  }
}

/** The whole form. `onRow` gets the values and remarks of a row that fits. */
class Form {
  constructor(description, onRow) {
    this.fields = description.columns.map((column, i) => new Field(column, i));
    this.onRow = onRow;
    this.hasPredicted = false;
    byId("fields").classList.toggle("many", this.fields.length > MANY);
    byId("fields").append(...this.fields.map(({ element }) => element));
    byId("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    for (const field of this.fields) {
      // A little later, so that a message which comes or goes does not move a button away from under the pointer.
      field.element.addEventListener("change", () => setTimeout(() => this.changed(field), 200));
      field.element.addEventListener("input", () => field.element.classList.contains("wrong") && field.read());
    }
    byId("example").addEventListener("click", () => this.fill(description.columns.map(({ example }) => example), true));
    byId("clear").addEventListener("click", () => this.fill(description.columns.map(() => ""), false));
    this.setUpFilter();
  }

  fill(cells, isExample) {
    this.fields.forEach((field, i) => {
      field.cell = cells[i];
      field.tell("");
    });
    if (isExample) this.submit();
    else byId("form").dispatchEvent(new CustomEvent("cleared"));
    byId("stale").hidden = true;
    this.hasPredicted = isExample;
  }

  setUpFilter() {
    byId("filter-row").hidden = this.fields.length <= FILTER_FROM;
    byId("filter").addEventListener("input", (event) => {
      const wanted = event.target.value.trim().toLowerCase();
      for (const { element, column } of this.fields) element.hidden = !column.name.toLowerCase().includes(wanted);
      const shown = this.fields.filter(({ element }) => !element.hidden).length;
      byId("filter-count").textContent = wanted === "" ? "" : `${shown} of ${counted(this.fields.length, "field")}`;
    });
    // Return would send the form.
    byId("filter").addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
  }

  changed(field) {
    field.read();
    if (this.hasPredicted) this.submit({ quietly: true });
  }

  submit({ quietly = false } = {}) {
    const values = this.fields.map((field) => field.read());
    const wrong = this.fields.filter((_, i) => values[i] === undefined);
    // What stands there is of other values than those in the fields.
    byId("stale").hidden = !this.hasPredicted || wrong.length === 0;
    if (wrong.length > 0) {
      if (!quietly) wrong[0].focus();
      return;
    }
    this.hasPredicted = true;
    const remarks = this.fields.map((field, i) => field.remark(values[i])).filter((remark) => remark !== null);
    const empty = this.fields.filter(({ cell }) => cell === "").length;
    if (empty > 0) remarks.unshift(`${empty} of ${counted(this.fields.length, "field")} ${empty === 1 ? "counts" : "count"} as missing`);
    this.onRow(values, remarks, quietly);
  }
}
