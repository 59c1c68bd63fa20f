/** Numbers, times and counts as people read them. */

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const WHOLE = new Intl.NumberFormat();

/** `1 picture`, `1,204 pictures`. */
export function count(number, one, many = `${one}s`) {
  return `${WHOLE.format(number)} ${number === 1 ? one : many}`;
}

/** A number with separators. */
export const whole = number => WHOLE.format(number);

/** A cosine with as many digits as tell people apart. */
export const cosine = score => score.toFixed(3).replace("-", "−");

/** A share in percent. */
export const percent = (share, digits = 1) => `${(share * 100).toFixed(digits)} %`;

/** `1 in 1,000`. */
export const rate = share => `1 in ${WHOLE.format(Math.round(1 / share))}`;

/** Milliseconds without false precision. */
export const milliseconds = ms => `${ms < 10 ? ms.toFixed(1) : WHOLE.format(Math.round(ms))} ms`;

/** An RFC 3339 time as it is here. */
export const when = text => (text ? TIME.format(new Date(text)) : "");

/** What a `datetime-local` input holds, in RFC 3339; empty stays null. */
export const toInstant = local => (local ? new Date(local).toISOString() : null);

/** An RFC 3339 time as a `datetime-local` input holds it. */
export function toLocal(text) {
  if (!text) return "";
  const time = new Date(text);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** The day, with the year unless it is this one, and the time of day: for where there is little room. */
export function day(text) {
  const time = new Date(text);
  const year = time.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return time.toLocaleDateString(undefined, { month: "short", day: "numeric", year });
}
export const clock = text => toLocal(text).slice(11, 16);

/** Bytes as MB or kB; MB is 10^6 bytes, as in the limits. */
export const bytes = size => (size >= 1e6 ? `${(size / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(size / 1e3))} kB`);

/** `camera c1, May 1, 2026, 10:00 AM`, whatever of it is known. */
export function whereAndWhen(sample) {
  return [sample.camera === null ? "no camera" : sample.camera, when(sample.captured_at)].filter(Boolean).join(" · ");
}
