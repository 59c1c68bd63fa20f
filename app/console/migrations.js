/** Changes of the model version: how far they are, and the way on and back. */

import { call } from "./api.js";
import { confirm } from "./dialogs.js";
import { button, el, renew } from "./dom.js";
import { isLeft, problem } from "./problems.js";
import { validation } from "./validation.js";
import { bytes, count, percent, when } from "./words.js";

const STATES = {
  planned: "Planned", running: "Embedding again", validating: "Checking", switched: "Switched; the way back is kept", finalized: "Done",
  cancelled: "Cancelled", rolled_back: "Switched back", failed: "Failed; the version before still answers",
};
const GOING = ["planned", "running", "validating"];
const STEPS = {
  planned: [["cancel", "Cancel"]], running: [["cancel", "Cancel"]], validating: [["cancel", "Cancel"]],
  switched: [["rollback", "Switch back"], ["finalize", "Make it final"]],
  failed: [["cancel", "Free what it embedded"]],
};

/** Show the changes in `place` and follow the one that goes on; a service without them leaves it empty. */
export async function migrations(place, scope, ended) {
  let going = false;
  let panel = null;
  let shown = ""; // the states on screen
  async function draw() {
    try {
      const { items } = await call("GET", "/migrations", { signal: scope.signal });
      show(items);
      const now = items.some(item => GOING.includes(item.state));
      const over = going && !now;
      going = now;
      if (over) ended();
      else if (now) scope.later(1500, draw);
    } catch (error) {
      if (isLeft(error)) return;
      shown = "";
      place.replaceChildren(...(error.status === 404 || error.status === 403 ? [] : [problem(error, draw)]));
    }
  }
  function show(items) {
    const states = items.map(item => `${item.migration_id} ${item.state}`).join();
    const fresh = items.length ? list(items, act) : "";
    if (states === shown && fresh) renew(panel, ...fresh.childNodes);
    else {
      const held = place.contains(document.activeElement);
      place.replaceChildren(fresh);
      if (held) place.focus();
      [panel, shown] = [fresh, states];
    }
  }
  async function act(item, step, steps) {
    const send = () => call("POST", `/migrations/${encodeURIComponent(item.migration_id)}/${step}`);
    if (step === "finalize") {
      if (await sure(item, send)) ended();
      return;
    }
    const before = document.activeElement;
    steps.disabled = true;
    const error = await send().then(() => null, failure => failure);
    steps.disabled = false;
    if (document.activeElement === document.body) before.focus(); // a button that is disabled loses it
    if (!error) return ended();
    place.querySelector(":scope > .notice")?.remove();
    place.prepend(problem(error));
  }
  await draw();
}

function sure(item, act) {
  const lost = item.left_out ? ` The ${count(item.left_out, "sample")} that could not be embedded again will be erased.` : "";
  return confirm(`Make ${item.target} final?`, {
    contents: [el("p", {}, `The vectors of ${item.source} are freed, and there is no way back to it but embedding every picture again.${lost}`)],
    action: "Make it final", act,
  });
}

function list(items, act) {
  const [latest, ...before] = items.map(item => entry(item, act));
  const older = before.length ? el("details", {}, el("summary", {}, count(before.length, "earlier change")), el("ul", { class: "changes" }, before)) : null;
  return el("div", { class: "panel" }, el("h2", {}, "Change of version"), el("ul", { class: "changes" }, latest), older);
}

function entry(item, act) {
  const share = item.total ? item.done / item.total : 0;
  const going = GOING.includes(item.state);
  const eta = going && item.eta_s ? `, about ${count(Math.ceil(item.eta_s / 60), "minute")} left` : "";
  const steps = el("fieldset", { class: "buttons" }, (STEPS[item.state] ?? []).map(([step, word]) => button(word, () => act(item, step, steps))));
  return el("li", {}, el("p", {}, el("strong", { class: "name" }, `${item.source} → ${item.target}`), ` · ${STATES[item.state] ?? item.state}`),
    going ? el("progress", { max: "1", value: String(share), "aria-label": "Embedded again" }) : null,
    el("p", { class: "quiet small" }, [going && item.disk_bytes ? `takes about ${bytes(item.disk_bytes)} of the disk` : "", item.total ? `${item.done} of ${count(item.total, "sample")} (${percent(share, 0)})${eta}` : "nothing was enrolled", when(item.created)].filter(Boolean).join(" · ")),
    item.error ? el("p", { class: "problems" }, item.error) : null, validation(item.validation, item.source, item.target), steps.children.length ? steps : null);
}
