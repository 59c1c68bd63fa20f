/** What the service is set to: no addresses, folders or secrets are told. */

import { call } from "./api.js";
import { el, table } from "./dom.js";
import { isLeft, problem } from "./problems.js";
import { whole } from "./words.js";

/** Fill a section with the settings in effect. */
export async function showSettings(place, scope) {
  const head = el("h2", {}, "Settings");
  try {
    place.replaceChildren(head, ...contents(await call("GET", "/settings", { signal: scope.signal })));
  } catch (error) {
    if (isLeft(error)) return;
    const refused = [401, 403].includes(error.status);
    place.replaceChildren(head, refused ? el("p", { class: "quiet" }, "An admin key of all galleries shows what the service is set to.") : problem(error, () => showSettings(place, scope)));
  }
}

function contents({ settings, limits }) {
  const rows = settings.map(({ name, value, expected }) => [el("code", {}, name), text(value), el("span", { class: "quiet small" }, expected)]);
  const fixed = Object.entries(limits).map(([name, value]) => [name.replaceAll("_", " "), whole(value)]);
  return [table("Settings in effect", ["variable", "value", "may be"], rows),
    el("h3", {}, "Limits of a request"), table("Limits of a request", ["limit", "value"], fixed),
    el("p", { class: "quiet small" }, "Addresses and folders are not shown here; the service's log has them from its start.")];
}

const text = value => (value === null ? el("span", { class: "quiet" }, "not set") : Array.isArray(value) ? value.join(", ") : String(value));
