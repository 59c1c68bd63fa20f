/** Whether cameras are what they are to be like: histograms of the card or of the first values, and of those of late. */

import { call, withQuery } from "./api.js";
import { el, svg } from "./dom.js";
import { isLeft, problem } from "./problems.js";
import { mark } from "./scores.js";
import { count, when } from "./words.js";

const NAMES = { score: "Best score of a query", height: "Height in pixels", brightness: "Brightness", contrast: "Contrast", sharpness: "Sharpness" };
const KINDS = { "like the reference": "match", moved: "unknown", "far off": "bad", unknown: "uncalibrated" };
const WORDS = { unknown: "too few yet" };
const WITH = { card: "in the model's card", first: "at first" };

/** Fill a section with the drift of the gallery in use. */
export async function showDrift(place, scope) {
  try {
    const drift = await call("GET", withQuery("/drift"), { signal: scope.signal });
    place.replaceChildren(el("h2", {}, "Cameras"), ...contents(drift));
  } catch (error) {
    if (!isLeft(error)) place.replaceChildren(el("h2", {}, "Cameras"), problem(error, () => showDrift(place, scope)));
  }
}

function contents(drift) {
  const beside = drift.card_reference ? "the reference in the model's card, and where it has none of a measure beside the first 500 of each camera" : "the first 500 of each camera, for the model's card has no reference";
  const since = `What queries scored and what enrolled pictures were like of late, beside ${beside}. Counted since ${when(drift.since)}, scores of ${drift.model_version}.`;
  const card = drift.card_reference ? el("p", { class: "quiet small" }, `The card's: ${drift.card_reference}.`) : null;
  const cameras = drift.cameras.map(each => el("details", { class: "panel", open: each.measures.some(measure => KINDS[measure.state] === "bad") },
    el("summary", {}, el("span", { class: "name" }, each.camera), " ", worst(each.measures)),
    el("div", { class: "charts" }, each.measures.map(histogram))));
  return [el("p", { class: "quiet small" }, drift.cameras.length ? since : "Nothing was queried or enrolled in this gallery since the service began to count."), drift.cameras.length ? card : null, ...cameras].filter(Boolean);
}

function worst(measures) {
  const order = ["far off", "moved", "like the reference", "unknown"];
  const state = order.find(each => measures.some(measure => measure.state === each));
  return mark(KINDS[state], WORDS[state] ?? state);
}

function histogram(measure) {
  const sums = [measure.reference, measure.recent].map(counts => counts.reduce((sum, each) => sum + each, 0));
  const shares = [measure.reference, measure.recent].map((counts, at) => counts.map(each => (sums[at] ? each / sums[at] : 0)));
  const most = Math.max(...shares.flat(), 1e-9);
  const psi = measure.psi === null ? "" : `, PSI ${measure.psi.toFixed(2)}`;
  const own = measure.compared_with === "card" && measure.psi_first !== null ? `, ${measure.psi_first.toFixed(2)} to its own first` : "";
  const words = `${NAMES[measure.measure]}: ${WORDS[measure.state] ?? measure.state}, beside those ${WITH[measure.compared_with]}${psi}${own}`;
  const bars = (of, kind) => of.map((share, at) => svg("rect", { class: kind, x: at * 10 + (kind === "late" ? 3 : 0), width: kind === "late" ? 4 : 10, y: 80 - (80 * share) / most, height: (80 * share) / most }));
  return el("figure", {}, el("figcaption", {}, NAMES[measure.measure], " ", mark(KINDS[measure.state], WORDS[measure.state] ?? measure.state)),
    svg("svg", { class: "chart histogram", viewBox: `0 0 ${10 * measure.reference.length} 80`, role: "img", "aria-label": words }, ...bars(shares[0], "first"), ...bars(shares[1], "late")),
    el("p", { class: "quiet small" }, `${measure.low} to ${measure.high} · ${count(measure.counted, "value")}${psi}${own} · wide: ${WITH[measure.compared_with]}, narrow: of late`));
}
