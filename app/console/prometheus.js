/** Prometheus' text format, as much of it as the service writes. */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Return `[{name, labels, value}]`. */
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : LINE.exec(line);
    if (match) samples.push({ name: match[1], labels: labels(match[2] ?? ""), value: number(match[3]) });
  }
  return samples;
}

function labels(text) {
  const unescape = value => value.replace(/\\(.)/g, (_, sign) => (sign === "n" ? "\n" : sign));
  return Object.fromEntries([...text.matchAll(LABEL)].map(([, name, value]) => [name, unescape(value)]));
}

function number(text) {
  if (text === "+Inf") return Infinity;
  return text === "-Inf" ? -Infinity : Number(text);
}

/** The samples of one name. */
export const named = (samples, name) => samples.filter(sample => sample.name === name);

/** The value of a name without labels, or null. */
export const single = (samples, name) => named(samples, name)[0]?.value ?? null;

/** Sum values by the text that `by(labels)` gives. */
export function sums(samples, by) {
  const found = new Map();
  for (const { labels: given, value } of samples) found.set(by(given), (found.get(by(given)) ?? 0) + value);
  return found;
}
