/** Scores and verdicts: in a word, an icon and a colour, and a bar with the threshold's line on it. */

import { el, icon } from "./dom.js";
import { cosine, percent, rate } from "./words.js";

export const VERDICTS = {
  match: { word: "Match", means: "The best score reaches the threshold." },
  unknown: { word: "Unknown", means: "No score reaches the threshold." },
  uncalibrated: { word: "Uncalibrated", means: "The model has no threshold at this rate: scores can be ranked, not decided. Choose another rate of false matches, or a threshold of your own." },
};

/** A verdict as a mark. */
export function mark(kind, word) {
  return el("span", { class: `mark ${kind}` }, icon(kind), el("span", {}, word));
}

/** The mark of one score: true, false, or null where nothing is decided. */
export function decided(match) {
  if (match === null) return mark("uncalibrated", "Not decided");
  return match ? mark("match", "Match") : mark("unknown", "Below threshold");
}

/** A bar from 0 to 1; a negative cosine leaves it empty, the number stands beside it. */
export function bar(score, threshold, match) {
  const filled = el("span", { class: "filled" });
  filled.style.width = place(score);
  const words = `score ${cosine(score)}${threshold === null ? "" : `, threshold ${cosine(threshold)}`}`;
  const node = el("span", { class: `bar ${match ? "match" : match === null ? "uncalibrated" : "unknown"}`, role: "img", "aria-label": words }, filled);
  if (threshold !== null) {
    const line = el("span", { class: "line", title: `threshold ${cosine(threshold)}` });
    line.style.left = place(threshold);
    node.append(line);
  }
  return node;
}

const place = value => `${Math.max(0, Math.min(1, value)) * 100}%`;

/** Where the line is drawn, in words. */
export function lineInWords({ threshold, false_match_rate: share, false_alarm_rate: alarms = null }) {
  if (threshold === null) return "no threshold";
  const why = [share !== null && `${rate(share)} comparisons with somebody else reach it`, alarms !== null && `${percent(alarms)} of strangers reach it in this gallery`];
  return `threshold ${cosine(threshold)} · ${why.filter(Boolean).join(" · ") || "your own"}`;
}
