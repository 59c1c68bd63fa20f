/** Fields for a point in time. */

import { ApiError } from "./api.js";
import { el, field } from "./dom.js";
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

/**
 * Return `{node, read(), isWhole()}`: a field that calls `ask` once it holds another time, or none. Browsers give a
 * date without a time of day as no time at all; a query by that would find what the field seems to leave out.
 */
export function timeField(label, text, ask) {
  const { input, read } = timeInput(text, ask);
  const node = field(label, input);
  const told = el("small", { role: "alert" }, "Give the time of day too, to the second.");
  const isWhole = () => {
    const { badInput } = input.validity;
    input.setAttribute("aria-invalid", String(badInput));
    if (badInput) node.append(told);
    else told.remove();
    return !badInput;
  };
  input.addEventListener("blur", () => { if (told.isConnected) ask(); else isWhole(); });
  return { node, isWhole, read: () => { if (isWhole()) return read(); throw half(label); } };
}

const half = label => new ApiError(0, { code: "invalid_parameter", detail: `“${label}” holds a date without a time of day; give both, or neither.` });
