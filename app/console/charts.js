/** Small charts by hand; each says its numbers in words, and a table stands beside it. */

import { el, svg } from "./dom.js";

const [WIDTH, HEIGHT] = [320, 200];
const EDGE = { left: 44, right: 14, top: 12, bottom: 40 };

/** Draw lines of `[x, y]` points; `x.log` spaces x by its logarithm. Lines beyond the first are dashed, too. */
export function chart({ title, x, y, lines }) {
  const at = { x: scaled(x, EDGE.left, WIDTH - EDGE.right), y: scaled(y, HEIGHT - EDGE.bottom, EDGE.top) };
  const words = lines.map(line => `${line.name}: ${line.points.map(point => `${x.text(point[0])} → ${y.text(point[1])}`).join(", ")}`).join("; ");
  const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}. ${words}` },
    ...y.ticks.flatMap(tick => [svg("line", { class: "grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: at.y(tick), y2: at.y(tick) }), label(EDGE.left - 6, at.y(tick) + 4, "end", y.text(tick))]),
    ...x.ticks.map(tick => label(at.x(tick), HEIGHT - EDGE.bottom + 16, "middle", x.text(tick))),
    label((EDGE.left + WIDTH - EDGE.right) / 2, HEIGHT - 6, "middle", x.name),
    ...lines.flatMap((line, place) => curve(line, at, place)));
  const legend = lines.length > 1 ? el("ul", { class: "legend" }, lines.map((line, place) => el("li", {}, svg("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" }, svg("line", { class: `line line-${place}`, x1: 0, x2: 24, y1: 4, y2: 4 })), el("span", {}, line.name)))) : null;
  return el("figure", {}, el("figcaption", {}, title), drawing, legend);
}

function curve(line, at, place) {
  const path = line.points.map(([x, y], index) => `${index ? "L" : "M"}${at.x(x).toFixed(1)} ${at.y(y).toFixed(1)}`).join("");
  const dots = line.points.length > 12 ? [] : line.points.map(([x, y]) => svg("circle", { class: `dot dot-${place}`, cx: at.x(x), cy: at.y(y), r: 3.5 }));
  const spans = (line.spans ?? []).map(([x, low, high]) => svg("line", { class: "span", x1: at.x(x), x2: at.x(x), y1: at.y(low), y2: at.y(high) }));
  return [...spans, svg("path", { class: `line line-${place}`, d: path }), ...dots];
}

function scaled({ from, to, log = false }, start, end) {
  const turn = log ? Math.log10 : value => value;
  return value => start + ((turn(value) - turn(from)) / (turn(to) - turn(from))) * (end - start);
}

const label = (x, y, anchor, text) => svg("text", { x, y, "text-anchor": anchor }, text);
