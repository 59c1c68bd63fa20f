/** The filters and choices of a query; they live in the address, so that reload and back keep them. */

import { call, withQuery } from "./api.js";
import { chips } from "./chips.js";
import { decision } from "./decision.js";
import { check, el, field } from "./dom.js";
import { timeField } from "./times.js";

const DEFAULT_TOP = 10;

/** Return `{node, read()}`; `read` gives the query's fields, null where the service's default holds. */
export function filters(params, search) {
  const changed = () => { if ([after.isWhole(), before.isWhole()].every(Boolean)) search(); };
  const keep = chips("Only cameras", "Enter adds one", params.getAll("camera"), changed);
  const drop = chips("Without cameras", "", params.getAll("exclude_camera"), changed);
  const after = timeField("Taken from", timeIn(params.get("captured_after")), changed);
  const before = timeField("Taken before", timeIn(params.get("captured_before")), changed);
  const attributes = el("input", { type: "text", value: params.get("attributes") ?? "", placeholder: '{"bag": true}', spellcheck: "false", onchange: changed });
  const top = el("input", { type: "number", min: "1", max: "1000", value: params.get("top_k") ?? DEFAULT_TOP, onchange: changed });
  const rerank = check("Re-rank the shortlist", params.get("rerank") === "true", changed);
  const line = decision(params, changed, { strangers: true });
  suggestCameras(keep, drop);
  const node = el("div", { class: "filters" },
    line.node,
    el("div", { class: "fields" }, field("People shown", top), rerank.node),
    el("div", { class: "fields" }, keep.node, drop.node),
    el("div", { class: "fields" }, after.node, before.node),
    field("Attributes", attributes, "a JSON object that samples must equal"));
  const read = () => ({
    ...line.read(),
    camera: keep.read(), exclude_camera: drop.read(),
    captured_after: after.read(), captured_before: before.read(),
    attributes: attributes.value.trim() || null,
    top_k: Number(top.value) === DEFAULT_TOP ? null : top.value || null,
    rerank: rerank.box.checked ? "true" : null,
  });
  return { node, read };
}

/** How many of the fields differ from the defaults. */
export const inUse = fields => Object.values(fields).flat().filter(value => value !== null).length;

/** The time that an address gives, or null for none and for what is no time. A plus sign that was not escaped is a space. */
function timeIn(text) {
  const time = text?.replace(/ (?=\d\d:\d\d$)/, "+");
  if (!/^\d{4}-/.test(time) || Number.isNaN(Date.parse(time))) return null;
  return /(Z|[+-]\d\d:\d\d)$/i.test(time) ? time : new Date(time).toISOString(); // the service takes none without an offset
}

async function suggestCameras(...inputs) {
  try {
    const { items } = await call("GET", withQuery("/identities", { limit: 200 }));
    const cameras = [...new Set(items.flatMap(item => item.cameras))].sort();
    for (const input of inputs) input.suggest(cameras);
  } catch { /* suggestions are a help; the query itself will tell what is wrong */ }
}
