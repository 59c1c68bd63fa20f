/** Likely wrong labels: each with the samples that say so, and what can be done about it. */

import { call, path, withQuery } from "./api.js";
import { confirm } from "./dialogs.js";
import { button, el, renew } from "./dom.js";
import { enrolled } from "./pictures.js";
import { isLeft, problem } from "./problems.js";
import { link } from "./route.js";
import { remove } from "./samples.js";
import { Scope } from "./scope.js";
import { cosine, count, when, whereAndWhen } from "./words.js";

const EVERY = 700;
const MOST = 50;

/** Show a gallery's latest audit, and start one. */
export function showSuspects(stage, scope) {
  const head = el("section", { class: "panel", "aria-label": "Audit", tabindex: "-1" }, said("Loading…"));
  const look = () => attempt(() => call("GET", withQuery("/suspects", { limit: MOST }), { signal: scope.signal }));
  const samples = new Shelf(scope, "Samples", "Samples that look like somebody else", (within, item) => suspect(within, item, look));
  const people = new Shelf(scope, "Identities", "Identities that may be one person", (within, merge) => twins(within, merge, look));
  const nothing = el("div", { class: "empty", hidden: true }, el("h2", {}, "Nothing is left to look at"));
  const findings = el("div", { class: "findings" }, samples.node, people.node, nothing);
  const next = (cards, at) => cards.slice(at).find(each => each.isConnected) ?? cards.findLast(each => each.isConnected) ?? head;
  stage.append(el("p", {}, el("a", { href: link("identities") }, "All identities")), head, findings);

  async function attempt(act) {
    try {
      draw(await act());
    } catch (error) {
      if (!isLeft(error)) head.replaceChildren(problem(error, look));
    }
  }
  const start = () => attempt(() => call("POST", withQuery("/suspects"), { signal: scope.signal }));
  const again = () => attempt(async () => {
    await call("DELETE", withQuery("/suspects/answers"), { signal: scope.signal });
    return call("POST", withQuery("/suspects"), { signal: scope.signal });
  });

  function draw(audit) {
    const asked = head.contains(document.activeElement);
    renew(head, ...told(audit, start, again));
    if (asked && !head.contains(document.activeElement)) head.focus();
    if (audit.state === "running") scope.later(EVERY, look);
    const { items, merges } = audit.state === "done" ? audit : { items: [], merges: [] };
    const before = [...findings.querySelectorAll(".card")];
    const at = before.findIndex(card => card.contains(document.activeElement));
    samples.show(items);
    people.show(merges);
    nothing.hidden = audit.state !== "done" || items.length + merges.length > 0;
    if (at >= 0 && !before[at].isConnected) next(before, at).focus();
  }
  return look();
}

/** The words that a screen reader is told when they change. */
const said = words => el("div", { role: "status" }, el("h2", {}, words));

function told(audit, start, again) {
  const intro = el("p", {}, "Every sample is compared with the means of all identities. What looks more like another one is listed, and so are identities that may be one person. Nothing changes by itself.");
  if (audit.state === "running") {
    const bar = el("progress", { max: audit.total || 1, value: audit.done, "aria-label": "Progress" });
    return [said("Looking for wrong labels"), bar, el("p", { class: "quiet" }, audit.total ? `${Math.round((100 * audit.done) / audit.total)} %` : "Reading the list of samples")];
  }
  const ask = audit.answered ? button(`Ask again about ${count(audit.answered, "answer")}`, again) : null;
  const act = button(audit.state === "none" ? "Look for wrong labels" : "Look again", start, { kind: audit.state === "none" ? "primary" : "" });
  if (audit.state === "failed") return [said("The audit failed"), el("p", {}, audit.detail ?? ""), el("div", { class: "buttons" }, act, ask)];
  if (audit.state === "none") return [said("Likely wrong labels"), intro, el("div", { class: "buttons" }, act, ask)];
  const facts = `${count(audit.samples, "sample")} of ${count(audit.identities, "identity", "identities")}, looked at ${when(audit.finished)} with ${audit.model_version}`;
  const judged = audit.alone < audit.samples || !audit.samples;
  const found = judged ? `${count(audit.found, "sample")} may have a wrong label` : "No label could be judged";
  return [said(found), el("p", { class: "quiet" }, [`${facts}.`, ...limits(audit)].join(" ")), el("div", { class: "buttons" }, act, ask)];
}

/** What the audit cannot tell. */
function limits({ alone, threshold, by_chance: chance }) {
  return [
    alone && `${count(alone, "sample is its", "samples are their")} identity's only one: there is nothing to compare ${alone === 1 ? "it" : "them"} with.`,
    threshold === null && "Identities were not compared: the model has no threshold at 0.001.",
    chance >= 1 && `Among so many identities some ${count(Math.round(chance), "pair")} would reach the threshold by chance, had each one sample.`,
  ].filter(Boolean);
}

/** A list of cards. Those that are found again stay as they are, so that their pictures are not fetched again. */
class Shelf {
  constructor(scope, name, title, card) {
    this.scope = scope;
    this.card = card;
    this.shown = new Map(); // by the whole of what a card shows
    this.list = el("ul", { class: "suspects" });
    this.node = el("section", { "aria-label": name, hidden: true }, el("h2", {}, title), this.list);
  }

  show(items) {
    const wanted = items.map(item => JSON.stringify(item));
    for (const key of this.shown.keys()) if (!wanted.includes(key)) this.drop(key);
    items.forEach((item, at) => {
      const { node } = this.shown.get(wanted[at]) ?? this.make(wanted[at], item);
      const there = this.list.children[at] ?? null;
      if (node !== there) this.list.insertBefore(node, there);
    });
    this.node.hidden = !items.length;
  }

  make(key, item) {
    const scope = new Scope(this.scope);
    const made = { scope, node: this.card(scope, item) };
    this.shown.set(key, made);
    return made;
  }

  drop(key) {
    const { scope, node } = this.shown.get(key);
    scope.close();
    node.remove();
    this.shown.delete(key);
  }
}

const name = text => el("strong", { class: "name" }, text);
const person = identity => el("a", { class: "name", href: link("identities", { identity }) }, identity);

function strip(scope, title, samples) {
  return el("figure", {}, el("figcaption", {}, title), el("div", { class: "strip" }, samples.map(each => enrolled(scope, each.image_url, `${whereAndWhen(each)}`))));
}

function suspect(scope, item, look) {
  const { sample, suggested } = item;
  return el("li", { class: "card", tabindex: "-1" },
    el("p", {}, "Enrolled as ", person(sample.identity), ` (score ${cosine(item.own_score)}), looks like `, person(suggested), ` (${cosine(item.suggested_score)}). `, el("span", { class: "quiet" }, whereAndWhen(sample))),
    el("div", { class: "strips" }, strip(scope, "This sample", [sample]), strip(scope, sample.identity, item.own_samples), strip(scope, suggested, item.suggested_samples)),
    actions(node => [
      button(`Move to ${suggested}`, () => attempt(node, () => call("PATCH", withQuery(path`/gallery/${sample.sample_id}`), { json: { identity: suggested } }), look), { kind: "primary" }),
      button("Merge the two", async () => { if (await merge(sample.identity, suggested)) look(); }),
      button("Delete the sample", () => remove(scope, sample, look)),
      button("It is right", () => attempt(node, () => call("POST", withQuery("/suspects/right"), { json: { sample_id: sample.sample_id } }), look)),
    ]));
}

function twins(scope, found, look) {
  const [first, second] = found.identities;
  const [small, large] = first.count <= second.count ? [first, second] : [second, first];
  return el("li", { class: "card", tabindex: "-1" },
    el("p", {}, person(first.identity), " and ", person(second.identity), ` score ${cosine(found.score)} in the mean.`),
    el("div", { class: "strips" }, found.identities.map(each => strip(scope, `${each.identity}, ${count(each.count, "sample")}`, each.samples))),
    actions(node => [
      button(`Merge into ${large.identity}`, async () => { if (await merge(small.identity, large.identity)) look(); }, { kind: "primary" }),
      button("They are two", () => attempt(node, () => call("POST", withQuery("/suspects/apart"), { json: { identities: [first.identity, second.identity] } }), look)),
    ]));
}

function actions(make) {
  const node = el("div", { class: "acting" });
  node.append(el("div", { class: "buttons small" }, make(node)));
  return node;
}

async function attempt(node, act, look) {
  try {
    await act();
    look();
  } catch (error) {
    node.querySelector(".notice")?.remove();
    node.append(problem(error));
  }
}

function merge(identity, into) {
  return confirm("Merge two people?", {
    contents: [el("p", {}, "All samples of ", name(identity), " become those of ", name(into), ", and the name ", name(identity), " is gone."),
      el("p", {}, "This cannot be undone: afterwards nothing says which sample was whose.")],
    action: "Merge", act: async () => { await call("PATCH", withQuery(path`/identities/${identity}`), { json: { identity: into } }); return true; },
  });
}
