/** The model versions with their cards, and changes from one to another. */

import { call, path } from "./api.js";
import { cardParts } from "./card.js";
import { confirm } from "./dialogs.js";
import { button, el } from "./dom.js";
import { migrations } from "./migrations.js";
import { isLeft, problem } from "./problems.js";
import { Scope } from "./scope.js";
import { mark } from "./scores.js";
import { when } from "./words.js";

export const title = "Models";

/** Show the view; `held`: what had the focus before is gone with the last drawing. */
export async function show(stage, view, held = false) {
  const scope = new Scope(view); // of this drawing, so that nothing of it goes on beside the next one
  const again = () => {
    if (scope.closed) return;
    scope.close();
    const held = stage.contains(document.activeElement);
    stage.replaceChildren();
    show(stage, view, held);
  };
  const changes = el("section", { "aria-label": "Changes of version", tabindex: "-1" });
  const versions = el("div", { class: "versions" });
  stage.append(changes, versions);
  migrations(changes, scope, again).then(() => {
    if (held && document.activeElement === document.body) changes.focus();
  });
  try {
    const { items } = await call("GET", "/models", { signal: scope.signal });
    const sorted = [...items].sort((a, b) => b.active - a.active || b.card.created.localeCompare(a.card.created));
    versions.append(...sorted.map(item => version(item, again)));
  } catch (error) {
    if (!isLeft(error)) versions.replaceChildren(problem(error, again));
  }
}

function version(item, again) {
  const { card, active } = item;
  const summary = el("summary", {}, el("h2", { class: "name" }, item.version), active ? mark("match", "Active") : null, el("span", { class: "quiet small" }, headline(card)));
  const act = active ? null : el("p", {}, button("Activate", () => activate(item.version, again), { kind: "primary" }));
  return el("details", { class: "panel version", open: active }, summary, act, ...cardParts(card));
}

function headline(card) {
  const row = card.metrics.findLast(each => /test/.test(each.protocol)) ?? card.metrics[0];
  return row ? `rank-1 ${row.rank1.toFixed(1)} · mAP ${row.mAP.toFixed(1)} · ${card.output.dim} dimensions` : when(card.created);
}

async function activate(name, again) {
  const leaveOut = el("input", { type: "checkbox" });
  const force = el("input", { type: "checkbox" });
  const asked = () => new URLSearchParams({ force: force.checked, leave_out: leaveOut.checked });
  const started = await confirm(`Activate ${name}?`, {
    contents: [
      el("p", {}, "Embeddings of two versions cannot be compared, so every enrolled picture is embedded again in the background, if nothing speaks against the version. The present one answers until that is done and checked; then the service switches at once."),
      el("p", {}, "Samples whose pictures are not kept cannot be embedded again. Thresholds change with the version: look at your own."),
      el("p", {}, el("label", { class: "check" }, leaveOut, " Leave such samples out: hidden after the switch, erased once it is made final")),
      el("p", {}, el("label", { class: "check" }, force, " Whatever speaks against the version: the reasons are recorded"))],
    action: "Activate", kind: "primary", act: () => call("POST", `${path`/models/${name}/activate`}?${asked()}`),
  });
  if (started) again();
}
