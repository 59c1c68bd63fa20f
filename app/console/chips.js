/** An input for several names: Enter adds one, its button or Backspace takes it out again. */

import { el, field, icon } from "./dom.js";

/** Return `{node, read()}`; `suggest(names)` offers known ones. */
export function chips(label, hint, values, changed) {
  const chosen = [...values];
  const offered = el("datalist", { id: `names-${Math.random().toString(36).slice(2)}` });
  const list = el("ul", { class: "chips", "aria-label": `${label}: chosen` });
  const input = el("input", { type: "text", autocomplete: "off", list: offered.id, maxlength: "256" });

  function draw() {
    list.replaceChildren(...chosen.map((name, place) => el("li", {},
      el("span", { class: "name" }, name),
      el("button", { type: "button", "aria-label": `Remove ${name}`, onclick: () => remove(place) }, icon("close")))));
  }
  function remove(place) {
    chosen.splice(place, 1);
    draw();
    input.focus();
    changed();
  }
  function add() {
    const name = input.value;
    input.value = "";
    if (!name || chosen.includes(name)) return;
    chosen.push(name);
    draw();
    changed();
  }
  input.addEventListener("keydown", event => {
    if (event.key === "Enter") { event.preventDefault(); add(); }
    if (event.key === "Backspace" && !input.value && chosen.length) remove(chosen.length - 1);
  });
  input.addEventListener("change", add);
  draw();
  const node = field(label, input, hint);
  node.insertBefore(list, input);
  node.append(offered);
  return {
    node,
    read: () => [...chosen],
    suggest: names => offered.replaceChildren(...names.map(value => el("option", { value }))),
  };
}
