/** Elements from data. Text becomes text nodes only: a name such as "<img onerror=…>" is shown, never run. */

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element; `on…` takes a listener, false and null leave an attribute out, true sets it empty. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Make an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

/**
 * Give an element these children, and leave what is the same as before: the focus, what is open, where it was scrolled
 * to. Elements that stay keep the listeners they had.
 */
export function renew(place, ...children) {
  const before = [...place.childNodes];
  for (const node of before.slice(children.length)) node.remove();
  children.forEach((node, at) => { if (at < before.length) become(before[at], node); else place.append(node); });
}

function become(old, node) {
  if (old.isEqualNode(node)) return;
  const kind = each => `${each.nodeName} ${each.getAttribute?.("class")}`;
  if (kind(old) !== kind(node)) old.replaceWith(node);
  else if (node instanceof Text) old.data = node.data;
  else {
    for (const { name, value } of node.attributes) old.setAttribute(name, value);
    renew(old, ...node.childNodes);
  }
}

const DRAWINGS = {
  query: ["M11 4a7 7 0 1 0 0 14a7 7 0 0 0 0-14", "M16.2 16.2 21 21"],
  verify: ["M3 5h7v14H3z", "M14 5h7v14h-7z"],
  enrol: ["M12 5v14", "M5 12h14"],
  identities: ["M9 5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 0 0 0-7", "M2.5 20c0-3.6 2.9-5.5 6.5-5.5s6.5 1.9 6.5 5.5", "M16 5.5a3.3 3.3 0 0 1 0 6", "M18 15c2.2.7 3.5 2.4 3.5 5"],
  galleries: ["M4 4h7v7H4z", "M13 4h7v7h-7z", "M4 13h7v7H4z", "M13 13h7v7h-7z"],
  models: ["M12 3 21 8 12 13 3 8z", "M3 12l9 5 9-5", "M3 16l9 5 9-5"],
  system: ["M3 12h4l3-7 4 14 3-7h4"],
  match: ["M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18", "M8 12.3l2.8 2.8L16.2 9.5"],
  unknown: ["M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18", "M9.6 9.7a2.5 2.5 0 1 1 3.5 2.3c-.8.4-1.1.9-1.1 1.8", "M12 16.7v.1"],
  uncalibrated: ["M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18", "M8 12h8"],
  warning: ["M12 4 21.5 20h-19z", "M12 10v4.5", "M12 17.2v.1"],
  bad: ["M12 4 21.5 20h-19z", "M12 10v4.5", "M12 17.2v.1"],
  key: ["M8 11a4 4 0 1 0 0 8a4 4 0 0 0 0-8", "M11 12.5 20 4", "M16.5 7.3l3 3"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h16"],
  picture: ["M4 4h16v16H4z", "M4 16l5-5 4 4 3-3 4 4", "M15.5 8.5v.1"],
};

/** Draw an icon; it says nothing to a screen reader, so words stand beside it. */
export function icon(name) {
  const paths = DRAWINGS[name].map(d => svg("path", { d }));
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, ...paths);
}

/** A button that calls `act`. */
export function button(text, act, { kind = "", drawing = null, ...attributes } = {}) {
  return el("button", { type: "button", class: kind, onclick: act, ...attributes }, drawing && icon(drawing), text && el("span", {}, text));
}

let fields = 0;

/** A labelled input, select or text area, with a hint where one helps. */
export function field(label, input, hint = "") {
  const id = `field-${++fields}`;
  input.id = id;
  const told = hint ? el("small", { id: `${id}-hint` }, hint) : null;
  if (told) input.setAttribute("aria-describedby", told.id);
  return el("div", { class: "field" }, el("label", { for: id }, label), input, told);
}

/** A labelled check box. */
export function check(label, checked = false, onchange = () => {}) {
  const box = el("input", { type: "checkbox", checked, onchange });
  return { box, node: el("label", { class: "check" }, box, el("span", {}, label)) };
}

/** A select of `[value, text]` pairs. */
export function select(options, value, attributes = {}) {
  const node = el("select", attributes, options.map(([each, text]) => el("option", { value: each }, text)));
  node.value = value;
  return node;
}

/** A table that scrolls by itself where it is too wide. */
export function table(caption, head, rows) {
  const cells = row => row.map(cell => el("td", { class: typeof cell === "number" ? "number" : null }, typeof cell === "number" ? String(cell) : cell));
  const body = el("tbody", {}, rows.map(row => el("tr", {}, ...cells(row))));
  const top = el("thead", {}, el("tr", {}, head.map(name => el("th", { scope: "col" }, name))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, el("table", {}, el("caption", { class: "unseen" }, caption), top, body));
}
