/** What stands above every view: the gallery in use, and the key. */

import { call, hasKey, setKey } from "./api.js";
import { askKey, confirm } from "./dialogs.js";
import { button, el, select } from "./dom.js";
import { gallery, here } from "./route.js";

let choice = null; // the element that shows the gallery
let known = null; // the names, or null where the key may not list them

/** Fill the header's corner; `again` shows the view anew. */
export function header(corner, again) {
  choice = el("div", { class: "gallery-choice" });
  const key = button("Key", () => changeKey(key, again), { kind: "quiet-button", drawing: "key" });
  corner.replaceChildren(choice, key);
  drawChoice();
  refreshGalleries();
}

/** Ask which galleries there are. */
export async function refreshGalleries() {
  try {
    known = (await call("GET", "/galleries")).items.map(info => info.name);
  } catch {
    known = null; // such a key may name its gallery
  }
  drawChoice();
}

/** Whether a gallery is being chosen: by arrow keys that is one after the other. */
export const choosing = () => choice.contains(document.activeElement);

/** Show the gallery that the address names; who is choosing goes on. */
export function drawChoice() {
  const name = gallery();
  const label = el("label", { for: "gallery" }, "Gallery");
  const input = known ? listed(name) : el("input", { id: "gallery", type: "text", value: name ?? "", placeholder: "default", onchange: event => use(event.target.value || null) });
  const held = choosing();
  choice.replaceChildren(label, input);
  if (held) input.focus();
}

function listed(name) {
  const names = new Set([...known, ...(name ? [name] : [])]);
  const shown = name ?? (known.includes("default") ? "default" : known[0] ?? "");
  return select([...names].map(each => [each, each]), shown, { id: "gallery", onchange: event => use(event.target.value) });
}

/** Go on in another gallery: filters stay, what belongs to the other gallery does not. */
function use(name) {
  const { view, params } = here();
  for (const gone of ["identity", "cursor", "sample"]) params.delete(gone);
  if (name === null || name === "default") params.delete("gallery");
  else params.set("gallery", name);
  const query = params.toString();
  location.hash = `#/${view}${query ? `?${query}` : ""}`;
}

async function changeKey(node, again) {
  const given = hasKey() ? await forget() : await askKey("", "It is sent with every request from now on.");
  if (given === null) return;
  setKey(given);
  refreshGalleries();
  again();
}

function forget() {
  return confirm("Forget the key?", { contents: [el("p", {}, "This tab has a key in its memory. Without it the service may ask for one again.")], action: "Forget it", kind: "primary", act: async () => "" });
}
