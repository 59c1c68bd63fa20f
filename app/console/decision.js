/** The choice of the line between a match and none: a rate that the model is calibrated for, or an own threshold. */

import { call } from "./api.js";
import { el, field, select } from "./dom.js";
import { rate } from "./words.js";

const USUAL = [0.01, 0.001, 0.0001];
const DEFAULT_RATE = 0.001;

/** Return `{node, read(), onChange}`; `read` gives `{false_match_rate, threshold}`, null where not chosen. */
export function decision(params, changed) {
  const own = el("input", { type: "number", min: "-1", max: "1", step: "0.01", inputmode: "decimal", onchange: changed });
  const other = el("input", { type: "number", min: "0", max: "1", step: "any", inputmode: "decimal", onchange: changed });
  const ownField = field("Threshold", own, "a cosine from −1 to 1");
  const otherField = field("Rate", other, "between the rates above, such as 0.0005");
  const choice = select([], "", { onchange: () => { show(); changed(); } });
  const show = () => { ownField.hidden = choice.value !== "own"; otherField.hidden = choice.value !== "other"; };

  function offer(rates) {
    const before = choice.value;
    const offered = rates.map(each => [String(each), `${rate(each)}${each === DEFAULT_RATE ? " (usual)" : ""}`]);
    choice.replaceChildren(...select([...offered, ["other", "Another rate…"], ["own", "A threshold of my own…"]], "").children);
    choice.value = before || String(DEFAULT_RATE);
  }

  offer(USUAL);
  start(params, choice, own, other);
  show();
  calibrated().then(rates => { if (rates.length) offer(rates); }, () => {}); // who may not see the models has the usual rates
  const node = el("div", { class: "fields" }, field("False matches", choice, "of comparisons with another person"), otherField, ownField);
  return { node, read: () => read(choice, own, other) };
}

function start(params, choice, own, other) {
  const share = params.get("false_match_rate");
  if (params.has("threshold")) {
    own.value = params.get("threshold");
    choice.value = "own";
  } else if (share !== null) {
    choice.value = share;
    if (choice.value !== share) {
      other.value = share;
      choice.value = "other";
    }
  }
}

function read(choice, own, other) {
  if (choice.value === "own") return { false_match_rate: null, threshold: own.value || null };
  const share = choice.value === "other" ? other.value : choice.value;
  return { false_match_rate: share && Number(share) !== DEFAULT_RATE ? share : null, threshold: null };
}

async function calibrated() {
  const { items } = await call("GET", "/models");
  const card = items.find(item => item.active)?.card;
  return (card?.calibration?.thresholds ?? []).map(each => each.false_match_rate).sort((a, b) => b - a);
}
