/** Questions: a modal dialog keeps the focus inside, Escape closes it unless it is at work, and the focus goes back. */

import { button, el, field } from "./dom.js";
import { problem } from "./problems.js";

let dialogs = 0; // one may open over another

/**
 * Open a dialog and return the value it is closed with, or null.
 * `build(close, box)` returns the contents; `submit` is called by the form, and an error of it is told inside.
 */
export function open(title, build) {
  const heading = el("h2", { id: `dialog-${++dialogs}` }, title);
  const box = el("dialog", { "aria-labelledby": heading.id });
  const before = document.activeElement;
  return new Promise(resolve => {
    let value = null;
    const close = result => { value = result; box.close(); };
    box.append(heading, ...build(close, box));
    let pressed = false; // on the backdrop, and not in a field from which a selection is drawn out of the dialog
    box.addEventListener("pointerdown", event => { pressed = isOutside(box, event); });
    box.addEventListener("click", event => { if (pressed && isOutside(box, event) && box.closedBy !== "none") box.close(); });
    box.addEventListener("cancel", event => { if (box.closedBy === "none") event.preventDefault(); }); // where browsers do not know it
    box.addEventListener("close", () => { box.remove(); if (before?.isConnected) before.focus(); resolve(value); });
    document.body.append(box);
    box.showModal();
  });
}

/** Whether an event is on the backdrop: that and the dialog's own padding are one target. */
function isOutside(box, { target, clientX: x, clientY: y }) {
  const { left, right, top, bottom } = box.getBoundingClientRect();
  return target === box && (x < left || x > right || y < top || y > bottom); // a click by a key is at 0, 0
}

/** A dialog with fields; `save` does the work and its value closes the dialog. */
export function edit(title, { contents, action, save, kind = "primary" }) {
  return open(title, (close, box) => {
    const told = el("div");
    const submit = el("button", { type: "submit", class: kind }, action);
    const fields = el("fieldset", {}, ...contents, told, buttons(close, submit));
    const working = on => { fields.disabled = on; box.closedBy = on ? "none" : "closerequest"; }; // what was sent cannot be called back
    const attempt = async () => {
      const before = document.activeElement;
      working(true);
      try {
        close(await save());
      } catch (error) {
        working(false);
        told.replaceChildren(problem(error));
        before.focus();
      }
    };
    return [el("form", { onsubmit: event => { event.preventDefault(); attempt(); } }, fields)];
  });
}

/** Ask before something that cannot be undone; with `typed`, that very text must be typed first. */
export function confirm(title, { contents, action, act, typed = null, kind = "danger" }) {
  const input = el("input", { type: "text", autocomplete: "off", spellcheck: "false", required: true });
  const asked = typed === null ? null : field("Type the name to confirm", input);
  const promise = edit(title, {
    contents: [...contents, typed === null ? null : el("p", {}, el("code", { class: "name" }, typed)), asked].filter(Boolean),
    action, kind, save: act,
  });
  if (asked) {
    const submit = asked.closest("form").querySelector("[type=submit]");
    submit.disabled = true;
    input.addEventListener("input", () => { submit.disabled = input.value !== typed; });
  }
  return promise;
}

/** Tell something that is to be read before going on. */
export function tell(title, contents) {
  return open(title, close => [...contents, el("div", { class: "buttons" }, button("Close", () => close(true), { kind: "primary" }))]);
}

function buttons(close, submit) {
  return el("div", { class: "buttons" }, button("Cancel", () => close(null)), submit);
}

/** Ask for the key; `detail` says why the one before was refused, `why` why one is needed. */
export function askKey(detail, why = "This service answers only those who have a key.") {
  const input = el("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
  return edit("Enter a key", {
    contents: [el("p", {}, detail ? `The key was refused: ${detail}` : why), field("Key", input, "Kept in this tab's memory until you reload or close it, nowhere else.")],
    action: "Use this key", save: async () => input.value.trim(),
  });
}
