/** A model version's card: figures, thresholds and curves. */

import { chart } from "./charts.js";
import { el, table } from "./dom.js";
import { cosine, count, percent, rate, whole } from "./words.js";

/** Return the parts of the card that people ask for. */
export function cardParts(card) {
  return [figures(card.metrics), decisions(card.calibration), charts(card), openSet(card.open_set), origin(card)].filter(Boolean);
}

/** What follows a protocol's first part tells rows apart; the first is the same for all. */
const short = row => `${row.protocol.split("; ").slice(1).join(", ")}, ${row.precision}`;

function figures(rows) {
  if (!rows.length) return el("p", { class: "quiet" }, "The card has no figures.");
  const protocols = [...new Set(rows.map(row => row.protocol.split(";")[0]))];
  return el("section", {}, el("h3", {}, "Figures, in percent"),
    table("Figures", ["measured on", "rank-1", "rank-5", "rank-10", "mAP", "mINP", "queries", "gallery"],
      rows.map(row => [short(row), ...[row.rank1, row.rank5, row.rank10, row.mAP, row.mINP].map(value => el("span", { class: "number" }, value.toFixed(1))), el("span", { class: "number" }, whole(row.queries)), el("span", { class: "number" }, whole(row.gallery))])),
    el("p", { class: "quiet small" }, protocols.join("; ")));
}

function decisions(calibration) {
  if (!calibration) return el("p", { class: "notice" }, "This version has no calibration: it ranks, and decides nothing unless a threshold is given.");
  return el("section", {}, el("h3", {}, "Thresholds"),
    table("Thresholds", ["false matches", "threshold", "95 % interval", "true matches"],
      calibration.thresholds.map(each => [rate(each.false_match_rate), el("span", { class: "number" }, cosine(each.threshold)), el("span", { class: "number" }, `${cosine(each.low)} to ${cosine(each.high)}`), el("span", { class: "number" }, percent(each.true_match_rate))])),
    el("p", { class: "quiet small" }, `${calibration.protocol} · ${whole(calibration.identities)} identities, ${whole(calibration.positive_pairs)} pairs of the same, ${whole(calibration.negative_pairs)} of others · equal error rate ${percent(calibration.equal_error_rate)}`));
}

function charts({ metrics, calibration }) {
  const drawn = [metrics.length ? cmc(metrics) : null, ...(calibration ? [roc(calibration), thresholds(calibration)] : [])].filter(Boolean);
  return drawn.length ? el("div", { class: "charts" }, drawn) : null;
}

function cmc(rows) {
  const served = rows.some(row => row.precision === "int8") ? rows.filter(row => row.precision === "int8") : rows;
  const lines = served.map(row => ({ name: short(row), points: [[1, row.rank1], [5, row.rank5], [10, row.rank10]] }));
  const least = Math.min(...lines.map(line => line.points[0][1]));
  const from = Math.max(0, Math.floor(least / 10 - 1) * 10);
  const ticks = [0, 1, 2, 3, 4].map(step => from + (step * (100 - from)) / 4);
  return chart({
    title: "CMC: found among the first", lines,
    x: { name: "rank", from: 1, to: 10, ticks: [1, 5, 10], text: String },
    y: { from, to: 100, ticks, text: value => `${Number(value.toFixed(1))} %` },
  });
}

const exponent = share => `10${[...String(Math.round(Math.log10(share)))].map(sign => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻").join("")}`;

function axis(points) {
  const rates = points.map(each => each.false_match_rate);
  const [low, high] = [Math.min(...rates), Math.max(...rates)].map(Math.log10);
  const [from, to] = low === high ? [low - 1, high + 1] : [Math.floor(low), Math.ceil(high)];
  const ticks = Array.from({ length: to - from + 1 }, (_, step) => 10 ** (from + step));
  return { name: "false match rate", from: 10 ** from, to: 10 ** to, log: true, ticks, text: exponent };
}

const byRate = points => [...points].sort((a, b) => a.false_match_rate - b.false_match_rate);

function roc({ thresholds: points }) {
  return chart({
    title: "ROC at the calibrated points", x: axis(points),
    y: { from: 0, to: 1, ticks: [0, 0.25, 0.5, 0.75, 1], text: value => percent(value, 0) },
    lines: [{ name: "true match rate", points: byRate(points).map(each => [each.false_match_rate, each.true_match_rate]) }],
  });
}

function thresholds({ thresholds: points }) {
  const from = Math.floor(Math.min(0, ...points.map(each => each.low)) * 4) / 4;
  const ticks = Array.from({ length: Math.round((1 - from) / 0.25) + 1 }, (_, step) => from + step * 0.25);
  return chart({
    title: "Threshold, with its 95 % interval", x: axis(points),
    y: { from, to: 1, ticks, text: value => String(Number(value.toFixed(3))) },
    lines: [{ name: "threshold", points: byRate(points).map(each => [each.false_match_rate, each.threshold]), spans: points.map(each => [each.false_match_rate, each.low, each.high]) }],
  });
}

function openSet(found) {
  if (!found) return null;
  return el("section", {}, el("h3", {}, "People who are not enrolled"),
    table("Open-set identification", ["strangers taken for somebody", "known people found", "threshold"],
      found.rates.map(each => [percent(each.false_alarm_rate, 0), el("span", { class: "number" }, `${percent(each.detection_rate)} ± ${percent(each.deviation)}`), el("span", { class: "number" }, cosine(each.threshold))])),
    el("p", { class: "quiet small" }, `with ${count(found.enrolled, "person", "people")} enrolled, by ${found.protocol}`));
}

function origin(card) {
  const { data, input, output } = card;
  const facts = [
    ["Made", new Date(card.created).toLocaleDateString(undefined, { dateStyle: "medium" })],
    ["Trained on", `${data.name}: ${whole(data.images)} pictures of ${whole(data.identities)} people${data.cameras ? ` by ${count(data.cameras, "camera")}` : ""}`],
    ["Takes", `${input.color} pictures of ${input.height}×${input.width}, ${input.dtype}`], ["Gives", `${output.dim} dimensions`],
    ["Terms", card.terms.includes(data.terms) ? card.terms : `${card.terms} ${data.terms}`],
    ...Object.entries(card.files).map(([name, hash]) => [name, `SHA-256 ${hash}`]),
  ];
  return el("section", {}, el("h3", {}, "Origin and terms"), el("dl", { class: "facts" }, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { class: "name" }, value)])));
}
