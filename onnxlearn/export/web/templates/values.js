// Cells as the model's values, by the rules of onnxlearn's own reader of text tables (onnxlearn/wire/cells.py).

const MISSING_INT64 = -(2n ** 63n);
const MAX_EXACT = 2 ** 53;
// Doubles from here on round to infinity in float32.
const FLOAT32_OVERFLOW = 3.4028235677973366e38;
const NUMBER = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const INTEGER = /^[+-]?[0-9]+$/;
const INFINITE = /^[+-]?inf(?:inity)?$/i;
const DECIMAL_COMMA = /^[+-]?[0-9.]*,[0-9]+$/;
const ISO_DATE =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$/;
const FLAGS = { true: 1, True: 1, TRUE: 1, false: 0, False: 0, FALSE: 0 };

/** A value that does not fit its column; the message says what would. */
class Refused extends Error {}

/** The value of a cell of this column; cells in `na` are missing. Throws Refused. */
function readCell(column, cell, na) {
  if (column.type === "STRING") return na.has(cell) ? "" : cell;
  const text = withoutSpaces(cell);
  if (na.has(cell) || na.has(text)) return missingValue(column);
  return READERS[column.role](text, column);
}

const READERS = {
  number: (text) => finite(text),
  number32: (text) => {
    const value = finite(text);
    if (Math.abs(value) >= FLOAT32_OVERFLOW) throw new Refused(`${shortened(text)} is beyond the range of float32`);
    return value;
  },
  whole: readWhole,
  flag: readFlag,
  strict_flag: readFlag,
  wall_time: (text) => readDate(text, false),
  instant: (text) => readDate(text, true),
};

function missingValue(column) {
  if (column.role === "strict_flag") throw new Refused("it may not be missing: choose one of the two values");
  return column.type === "STRING" ? "" : column.type === "INT64" ? MISSING_INT64 : NaN;
}

/** The number that a text writes: a bigint where it is an integer beyond 2^53; null where it is none. */
function parseNumber(text) {
  if (INTEGER.test(text) && text.length < 400) {
    const number = Number(text);
    return Math.abs(number) < MAX_EXACT ? number : BigInt(text);
  }
  if (NUMBER.test(text)) return Number(text);
  return INFINITE.test(text) ? Infinity : null;
}

function finite(text) {
  const number = parseNumber(text);
  if (number === null) throw new Refused(notA("number", text));
  if (typeof number === "bigint") {
    if (number <= 2n ** 53n && number >= -(2n ** 53n)) return Number(number);
    throw new Refused(`${shortened(text)} is beyond 2^53 and not exact as a number`);
  }
  if (!Number.isFinite(number)) throw new Refused(`${shortened(text)} is infinite: leave it empty for missing`);
  return number;
}

function readWhole(text) {
  const number = parseNumber(text);
  if (typeof number === "number" && Number.isInteger(number) && Math.abs(number) <= MAX_EXACT) return BigInt(number);
  if (typeof number !== "bigint") throw new Refused(notA("whole number", text));
  if (number > MISSING_INT64 && number < 2n ** 63n) return number;
  throw new Refused(`${shortened(text)} is beyond 64 bits`);
}

function readFlag(text, column) {
  if (!column.bits) {
    if (Object.hasOwn(FLAGS, text)) return FLAGS[text];
    throw new Refused(`expected true or false, not ${quoted(text)}`);
  }
  const number = parseNumber(text);
  if (number === 0 || number === 1) return Number(number);
  throw new Refused(`expected 0 or 1, not ${quoted(text)}`);
}

/** Microseconds since 1970. */
function readDate(text, zoned) {
  const match = ISO_DATE.exec(text);
  if (match === null) throw new Refused(`expected a date like 2024-02-29 or 2024-02-29T12:30:00${zoned ? "Z" : ""}, not ${quoted(text)}`);
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0));
  const offset = zoneSeconds(match[8]);
  const isDate = year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
  if (!isDate || hour > 23 || minute > 59 || second > 59 || offset === null) throw new Refused(`there is no date ${quoted(text)}`);
  if (zoned && match[8] === undefined) throw new Refused(`the time zone is missing: write ${quoted(`${match[0].replace(" ", "T")}${match[4] ? "" : "T00:00"}Z`)} for UTC`);
  if (!zoned && match[8] !== undefined) throw new Refused(`expected a date without time zone, not ${quoted(text)}`);
  const seconds = daysSince1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
  return BigInt(seconds) * 1000000n + BigInt((match[7] ?? "").slice(0, 6).padEnd(6, "0"));
}

function zoneSeconds(zone) {
  if (zone === undefined || zone === "Z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(-2));
  if (hours > 23 || minutes > 59) return null;
  return (hours * 3600 + minutes * 60) * (zone[0] === "-" ? -1 : 1);
}

function daysIn(year, month) {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** Days of the Gregorian calendar, from years that begin in March so that the leap day is the last. */
function daysSince1970(year, month, day) {
  const y = month > 2 ? year : year - 1;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return 365 * y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719468;
}

function notA(what, text) {
  const hint = DECIMAL_COMMA.test(text) ? ": write decimals with a point" : "";
  return `expected a ${what}, not ${quoted(text)}${hint}`;
}

function withoutSpaces(text) {
  return text.startsWith(" ") || text.endsWith(" ") ? text.replace(/^ +/, "").replace(/ +$/, "") : text;
}

function quoted(text) {
  return `“${shortened(text)}”`;
}

function shortened(text) {
  const characters = Array.from(text);
  return characters.length <= 40 ? text : `${characters.slice(0, 37).join("")}…`;
}
