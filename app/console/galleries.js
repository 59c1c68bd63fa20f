/** The galleries: list, make, set, delete. */

import { ApiError, call, path } from "./api.js";
import { confirm, edit, tell } from "./dialogs.js";
import { button, check, el, field } from "./dom.js";
import { erasure } from "./person.js";
import { isLeft, problem } from "./problems.js";
import { refreshGalleries } from "./header.js";
import { gallery, go } from "./route.js";
import { count, whole } from "./words.js";

export const title = "Galleries";

/** Show the view. */
export async function show(stage, scope) {
  const list = el("ul", { class: "cards", "aria-label": "Galleries" });
  const again = deleted => {
    refreshGalleries();
    if (scope.closed) return;
    if (deleted && deleted === gallery()) {
      go("galleries", { gallery: null }); // or every view's link would lead into it
      return;
    }
    stage.replaceChildren();
    show(stage, scope);
  };
  stage.append(el("div", { class: "bar-top" }, el("p", { class: "quiet" }, "A gallery is a set of people of its own: a query looks into one."), button("Make a gallery", () => put(null, again), { kind: "primary", drawing: "enrol" })), list);
  try {
    const { items } = await call("GET", "/galleries", { signal: scope.signal });
    list.append(...items.map(info => card(info, again)));
  } catch (error) {
    if (!isLeft(error)) stage.append(problem(error, again));
  }
}

function card(info, again) {
  const facts = [
    ["People", whole(info.identities)], ["Samples", whole(info.samples)],
    ["Kept for", info.retention_days === null ? "ever" : count(info.retention_days, "day")], ["Pictures", info.store_images ? "kept" : "not kept"],
  ];
  return el("li", { class: "card" }, el("h2", {}, el("a", { class: "name", href: `#/identities?${new URLSearchParams({ gallery: info.name })}` }, info.name)),
    el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    el("div", { class: "buttons" }, button("Change", () => put(info, again), { "aria-label": `Change ${info.name}` }), button("Delete", () => remove(info, again), { kind: "danger", "aria-label": `Delete ${info.name}` })));
}

async function put(info, again) {
  const allowed = "letters, digits, dots, dashes and underscores";
  const name = el("input", { type: "text", required: true, maxlength: "64", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", title: allowed, autocomplete: "off" }); // browsers' own message covers the hint
  const days = el("input", { type: "number", min: "1", max: "36500", value: info?.retention_days ?? null });
  const pictures = check("Keep the pictures", info?.store_images ?? true);
  const done = await edit(info ? `Change ${info.name}` : "Make a gallery", {
    contents: [
      info ? null : field("Name", name, allowed),
      field("Days to keep", days, "Counted from enrolment; older samples are erased for good, at the next run of the expiry. Empty: keep them."),
      pictures.node, el("p", { class: "quiet small" }, "Without pictures only embeddings are kept: results cannot be looked at, and a change of the model version cannot re-embed them."),
    ].filter(Boolean),
    action: info ? "Save" : "Make",
    save: async () => {
      if (!info) await refuseTaken(name.value);
      return call("PUT", path`/galleries/${info?.name ?? name.value}`, { json: { retention_days: days.value ? Number(days.value) : null, store_images: pictures.box.checked } });
    },
  });
  if (done) again();
}

/** The service would replace the settings of a gallery that is there. */
async function refuseTaken(name) {
  const { items } = await call("GET", "/galleries");
  if (items.some(info => info.name === name)) throw new ApiError(0, { code: "gallery_exists", detail: `The gallery “${name}” is there already; “Change” sets it.` });
}

async function remove(info, again) {
  const erased = await confirm("Delete this gallery?", {
    contents: [el("p", {}, `${count(info.identities, "person", "people")} and ${count(info.samples, "sample")} in it are erased for good.`), info.name === "default" ? el("p", {}, "The gallery “default” itself is there again at once, empty.") : null].filter(Boolean),
    typed: info.name, action: "Delete", act: () => call("DELETE", path`/galleries/${info.name}`),
  });
  if (!erased) return;
  await tell("Deleted", erasure(erased));
  again(info.name);
}
