// How amounts, times and names are written.
//
// The page is in English, as all that the server says; a moment is written as its reader is used to.

const DAY = { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" };
const moments = [DAY, { ...DAY, year: "numeric" }].map((shape) => new Intl.DateTimeFormat(navigator.languages, shape));
const amount = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

const TURNS = /[\u0590-\u08ff\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufefc]|[\ud802-\ud803\ud83a-\ud83b]/;

/**
 * A name for places that take plain text only, between U+2068 and U+2069 (first strong isolate) where something in it
 * runs from right to left: elsewhere they would be in the way of whoever chooses by typing.
 */
export function isolated(name) {
  return TURNS.test(name) ? `\u2068${name.replace(/[\u2066-\u2069]/g, "")}\u2069` : name;
}

/** Make sentences of what the server says, which is often the middle of one. */
export function sentences(...parts) {
  const made = parts.filter(Boolean).map((part) => part[0].toUpperCase() + part.slice(1).replace(/[.\s]+$/, ""));
  return made.map((part) => `${part}.`).join(" ");
}

export function counted(count, noun) {
  return `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** Return an element for a moment, with the year where it is another one than this. */
export function moment(date) {
  const format = moments[Number(date.getFullYear() !== new Date().getFullYear())];
  const element = document.createElement("time");
  const { locale } = format.resolvedOptions();
  return Object.assign(element, { dateTime: date.toISOString(), lang: locale, dir: "auto", textContent: format.format(date) });
}

export function lengthOf(seconds) {
  return seconds < 9.5 ? `${number.format(Math.max(seconds, 0.1))} s` : roughly(seconds);
}

/** The time that is left: a guess has no decimals. */
export function roughly(seconds) {
  if (seconds < 99.5) return `${Math.max(Math.round(seconds), 1)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${number.format(seconds / 3600)} h`;
}

export function sizeOf(bytes) {
  const unit = ["B", "kB", "MB", "GB", "TB"];
  const step = bytes < 1000 ? 0 : Math.min(unit.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${amount.format(bytes / 1000 ** step)} ${unit[step]}`;
}
