/** Fields for a point in time. */

import { el } from "./dom.js";
import { toInstant, toLocal } from "./words.js";

/**
 * Return `{input, read()}`. Until another time is given, `read` returns the very text that the field was made from: it
 * has no fractions of a second, and in the hour that is there twice, in autumn, not which of the two.
 */
export function timeInput(text, onchange = () => {}) {
  const input = el("input", { type: "datetime-local", step: "1", value: toLocal(text), onchange });
  const shown = input.value; // browsers shorten what they are given
  return { input, read: () => (input.value === shown ? text : toInstant(input.value)) };
}
