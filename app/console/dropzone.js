/** A place for pictures: drop, paste or choose. Folders are walked through. */

import { el, icon } from "./dom.js";

/**
 * Return the zone; `take(files)` gets files, each with its `path` from the folder that was dropped, and `missed(number)`
 * hears of what could not be read of it.
 */
export function dropzone(scope, { title, hint, take, missed, multiple = true, folder = false, paste = true, name = "Choose pictures" }) {
  const input = picker(take, { multiple, "aria-label": name });
  const tree = folder ? picker(take, { multiple: true, webkitdirectory: true, "aria-label": "Choose a folder" }) : null;
  const buttons = [label(input, multiple ? "Choose pictures" : "Choose a picture"), tree && label(tree, "Choose a folder")];
  const zone = el("div", { class: "dropzone" }, icon("picture"), el("p", {}, el("strong", {}, title)), hint && el("p", { class: "quiet small" }, hint), el("div", { class: "buttons" }, buttons));
  droppable(zone, take, missed);
  if (paste) onPaste(scope, take);
  return zone;
}

/** Let files be dropped on an element. */
export function droppable(zone, take, missed = () => {}) {
  const over = on => event => { event.preventDefault(); zone.classList.toggle("over", on); };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", async event => {
    over(false)(event);
    const { found, lost } = await dropped(event.dataTransfer);
    if (lost) missed(lost);
    if (found.length) take(found);
  });
}

/** A drop beside the zone must not make the browser leave the page. */
export function guardDrops(scope) {
  for (const type of ["dragover", "drop"]) scope.listen(window, type, event => event.preventDefault());
}

function onPaste(scope, take) {
  scope.listen(window, "paste", event => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    take(files.map(withPath));
  });
}

/** A button-like label with a file input inside. */
export function label(input, text) {
  return el("label", { class: "button" }, input, el("span", {}, text));
}

/** A file input that hands over what was chosen, and can be used for the same file again. */
export function picker(take, attributes) {
  const input = el("input", {
    type: "file", class: "unseen", accept: attributes.webkitdirectory ? null : "image/jpeg,image/png,image/webp,image/bmp", ...attributes,
    onchange: () => {
      const files = [...input.files].map(withPath);
      input.value = "";
      if (files.length) take(files);
    },
  });
  return input;
}

const withPath = file => ({ file, path: file.webkitRelativePath || file.name });

async function dropped(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return { found: [...transfer.files].map(withPath), lost: 0 };
  return all(entries);
}

/** What lies in all of the entries, and how many cannot be read. */
async function all(entries) {
  const walks = await Promise.allSettled(entries.map(walk));
  const parts = walks.map(({ value }) => value ?? { found: [], lost: 1 });
  return { found: parts.flatMap(part => part.found), lost: parts.reduce((sum, part) => sum + part.lost, 0) };
}

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return { found: [{ file, path: entry.fullPath.replace(/^\//, "") }], lost: 0 };
  }
  const inside = [];
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 at a time
    if (!some.length) break;
    inside.push(...some);
  }
  return all(inside);
}
