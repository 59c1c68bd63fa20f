/** One enrolled sample: look, search on, correct, delete. */

import { call, withQuery } from "./api.js";
import { confirm, edit, open } from "./dialogs.js";
import { button, el, field } from "./dom.js";
import { enrolled } from "./pictures.js";
import { link } from "./route.js";
import { timeInput } from "./times.js";
import { when, whereAndWhen } from "./words.js";

const address = sample => withQuery(`/gallery/${encodeURIComponent(sample.sample_id)}`);

/** A sample in a grid; `changed` is called with the new sample, or with null once it is deleted. */
export function sampleCard(scope, sample, changed) {
  const look = el("button", { type: "button", class: "bare", onclick: () => details(scope, sample), "aria-label": `Details of the sample ${whereAndWhen(sample)}` }, enrolled(scope, sample.image_url, ""));
  return el("li", { class: "card", tabindex: "-1" }, look,
    el("p", { class: "small" }, el("span", { class: "name" }, sample.camera ?? "no camera"), el("br"), el("span", { class: "quiet" }, when(sample.captured_at) || "no time")),
    el("div", { class: "buttons small" },
      el("a", { class: "button", href: link("query", { sample: sample.sample_id }) }, "Search"),
      button("Correct", () => correct(sample, changed)),
      button("Delete", () => remove(scope, sample, changed))));
}

function details(scope, sample) {
  const facts = [
    ["Identity", sample.identity], ["Camera", sample.camera ?? "none"], ["Taken", when(sample.captured_at) || "not known"],
    ["Enrolled", when(sample.enrolled_at)], ["Attributes", JSON.stringify(sample.attributes)],
    ["External id", sample.external_id ?? "none"], ["Sample", sample.sample_id], ["SHA-256", sample.sha256],
  ];
  return open("Sample", close => [
    el("div", { class: "details" }, enrolled(scope, sample.image_url, `Sample of ${sample.identity}`),
      el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { class: "name" }, value)]))),
    el("div", { class: "buttons" }, button("Close", () => close(null), { kind: "primary" }))]);
}

async function correct(sample, changed) {
  const identity = el("input", { type: "text", value: sample.identity, required: true, maxlength: "256" });
  const camera = el("input", { type: "text", value: sample.camera ?? "", maxlength: "256" });
  const time = timeInput(sample.captured_at);
  const attributes = el("textarea", { rows: "3", spellcheck: "false" }, JSON.stringify(sample.attributes));
  const done = await edit("Correct this sample", {
    contents: [field("Identity", identity), field("Camera", camera, "empty: none"), field("Taken", time.input, "empty: not known"), field("Attributes", attributes, "a JSON object")],
    action: "Save",
    save: () => call("PATCH", address(sample), { json: differences(sample, identity.value, camera.value || null, time.read(), attributes.value) }),
  });
  if (done) changed(done);
}

/** Only what was changed is sent. */
function differences(sample, identity, camera, taken, attributes) {
  const changes = {};
  if (identity !== sample.identity) changes.identity = identity;
  if (camera !== sample.camera) changes.camera = camera;
  if (taken !== sample.captured_at) changes.captured_at = taken;
  if (attributes.trim() !== JSON.stringify(sample.attributes)) changes.attributes = parsed(attributes);
  return changes;
}

function parsed(text) {
  try {
    return text.trim() ? JSON.parse(text) : {};
  } catch (error) {
    throw Object.assign(error, { detail: `Expected attributes as a JSON object: ${error.message}`, code: "invalid_parameter", field: "attributes" });
  }
}

/** Delete a sample after a question; `changed` is called with null once it is gone. */
export async function remove(scope, sample, changed) {
  const done = await confirm("Delete this sample?", {
    contents: [el("div", { class: "details" }, enrolled(scope, sample.image_url, `Sample of ${sample.identity}`),
      el("p", {}, "The sample of ", el("strong", { class: "name" }, sample.identity), ", its picture and its embedding are deleted. No query finds it any more."))],
    action: "Delete", act: async () => { await call("DELETE", address(sample)); return true; },
  });
  if (done) changed(null);
}
