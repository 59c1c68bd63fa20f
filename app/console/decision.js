/** The choice of the line between a match and none: a rate of the model's or of the gallery's, or an own threshold. */

import { call } from "./api.js";
import { el, field, select } from "./dom.js";
import { rate } from "./words.js";

const USUAL = [0.01, 0.001, 0.0001];
const DEFAULT_RATE = 0.001;
const ALARMS = ["0.1", "0.01"];
const OF_STRANGERS = "strangers-"; // before the share, in the choice's values

/** Return `{node, read()}`; `read` gives the fields, null where not chosen. `strangers`: a gallery is searched. */
export function decision(params, changed, { strangers = false } = {}) {
  const own = el("input", { type: "number", min: "-1", max: "1", step: "0.01", inputmode: "decimal", onchange: changed });
  const other = el("input", { type: "number", min: "0", max: "1", step: "any", inputmode: "decimal", onchange: changed });
  const ownField = field("Threshold", own, "a cosine from −1 to 1");
  const otherField = field("Rate", other, "between the rates above, such as 0.0005");
  const choice = select([], "", { onchange: () => { show(); changed(); } });
  const show = () => { ownField.hidden = choice.value !== "own"; otherField.hidden = choice.value !== "other"; };

  const asked = params.get("false_alarm_rate"); // an address may ask for any
  const shares = strangers ? [...new Set([...ALARMS, ...(asked ? [asked] : [])])].sort((a, b) => b - a) : [];

  function offer(rates) {
    const before = choice.value;
    const offered = rates.map(each => [String(each), `${rate(each)}${each === DEFAULT_RATE ? " (usual)" : ""}`]);
    const alarms = shares.map(share => [`${OF_STRANGERS}${share}`, `${rate(share)} strangers`]);
    choice.replaceChildren(...select([...offered, ...alarms, ["other", "Another rate…"], ["own", "A threshold of my own…"]], "").children);
    pick(choice, other, before || String(DEFAULT_RATE));
  }

  offer(USUAL);
  start(params, choice, own, other, shares);
  show();
  calibrated().then(rates => { if (rates.length) { offer(rates); show(); } }, () => {}); // who may not see the models has the usual rates
  const node = el("div", { class: "fields" }, field("False matches", choice, strangers ? "of comparisons with another person, or of people who are not in the gallery" : "of comparisons with another person"), otherField, ownField);
  return { node, read: () => read(choice, own, other) };
}

function start(params, choice, own, other, shares) {
  const share = params.get("false_match_rate");
  const alarms = params.get("false_alarm_rate");
  if (params.has("threshold")) {
    own.value = params.get("threshold");
    choice.value = "own";
  } else if (shares.includes(alarms)) {
    choice.value = `${OF_STRANGERS}${alarms}`;
  } else if (share !== null) {
    pick(choice, other, share);
  }
}

function pick(choice, other, wanted) {
  choice.value = wanted;
  if (choice.value === wanted) return;
  other.value = wanted;
  choice.value = "other";
}

function read(choice, own, other) {
  const none = { false_match_rate: null, false_alarm_rate: null, threshold: null };
  if (choice.value === "own") return { ...none, threshold: own.value || null };
  if (choice.value.startsWith(OF_STRANGERS)) return { ...none, false_alarm_rate: choice.value.slice(OF_STRANGERS.length) };
  const share = choice.value === "other" ? other.value : choice.value;
  return { ...none, false_match_rate: share && Number(share) !== DEFAULT_RATE ? share : null };
}

async function calibrated() {
  const { items } = await call("GET", "/models");
  const card = items.find(item => item.active)?.card;
  return (card?.calibration?.thresholds ?? []).map(each => each.false_match_rate).sort((a, b) => b - a);
}
