/** The people of a gallery, page by page; one of them has a page of its own. */

import { call, patiently, withQuery } from "./api.js";
import { el, icon } from "./dom.js";
import { showPerson } from "./person.js";
import { enrolled, inTurn, onceSeen } from "./pictures.js";
import { isLeft, problem } from "./problems.js";
import { go, here, link } from "./route.js";
import { showSuspects } from "./suspects.js";
import { count, when } from "./words.js";

export const title = "Identities";
const PAGE = 48;

/** Show one person where the address names one, the likely wrong labels where it asks for them, else the list. */
export function show(stage, scope) {
  if (here().params.has("suspects")) return showSuspects(stage, scope);
  const identity = here().params.get("identity");
  return identity === null ? list(stage, scope) : showPerson(stage, scope, identity);
}

async function list(stage, scope) {
  const cursor = here().params.get("cursor");
  const people = el("section", { "aria-label": "People", "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading…"));
  const labels = el("p", {}, el("a", { href: link("identities", { suspects: "" }) }, "Likely wrong labels"));
  stage.append(el("div", { class: "bar-top" }, finder(), labels), people);
  try {
    const page = await call("GET", withQuery("/identities", { limit: PAGE, cursor }), { signal: scope.signal });
    people.replaceChildren(...contents(scope, page, cursor));
  } catch (error) {
    if (!isLeft(error)) people.replaceChildren(problem(error, () => { stage.replaceChildren(); list(stage, scope); }));
  }
  people.removeAttribute("aria-busy");
}

function finder() {
  const input = el("input", { type: "search", "aria-label": "Name", placeholder: "A name, exactly", autocomplete: "off", required: true, maxlength: "256" });
  const find = event => { event.preventDefault(); go("identities", { identity: input.value }); };
  return el("form", { class: "finder", role: "search", onsubmit: find }, input, el("button", { type: "submit" }, icon("query"), el("span", {}, "Open")));
}

function contents(scope, page, cursor) {
  if (!page.items.length && !cursor) return [el("div", { class: "empty" }, el("h2", {}, "Nobody is enrolled here"), el("p", {}, el("a", { href: link("enrol") }, "Enrol pictures"), " of the people who are to be found."))];
  return [el("ul", { class: "people" }, page.items.map(each => card(scope, each))), pages(page, cursor)];
}

function pages(page, cursor) {
  return el("nav", { class: "pages", "aria-label": "Pages" },
    cursor && el("a", { class: "button", href: link("identities") }, "First page"),
    page.next_cursor && el("a", { class: "button", href: link("identities", { cursor: page.next_cursor }) }, "Next page"));
}

function card(scope, person) {
  const frame = el("span", { class: "picture" });
  const seen = person.last_seen ? `last seen ${when(person.last_seen)}` : "";
  const node = el("li", {}, el("a", { class: "card", href: link("identities", { identity: person.identity }) }, frame,
    el("span", { class: "about" }, el("strong", { class: "name" }, person.identity), el("span", { class: "quiet small" }, count(person.samples, "sample")),
      el("span", { class: "quiet small name" }, person.cameras.join(", ") || "no camera"), seen && el("span", { class: "quiet small" }, seen))));
  onceSeen(scope, node, () => inTurn(scope, () => face(scope, person.identity, frame)));
  return node;
}

async function face(scope, identity, frame) {
  try {
    const { items } = await patiently(() => call("GET", withQuery("/gallery", { identity, limit: 1 }), { signal: scope.signal }), scope.signal);
    if (items.length) frame.replaceWith(enrolled(scope, items[0].image_url, ""));
  } catch { /* the name stands without a picture */ }
}
