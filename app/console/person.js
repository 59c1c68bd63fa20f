/** One person: the samples, and what can be done with the whole of them. */

import { call, path, withQuery } from "./api.js";
import { confirm, edit, tell } from "./dialogs.js";
import { button, el, field, renew } from "./dom.js";
import { isLeft, problem } from "./problems.js";
import { go, link } from "./route.js";
import { sampleCard } from "./samples.js";
import { Scope } from "./scope.js";
import { count, when } from "./words.js";

const PAGE = 48;

/** Show a person's page. */
export async function showPerson(stage, view, identity) {
  const scope = new Scope(view); // of this drawing: the next one lets its pictures go
  const head = el("div", { class: "panel headline" });
  const again = () => {
    if (scope.closed) return;
    scope.close();
    stage.replaceChildren();
    showPerson(stage, view, identity);
  };
  const facts = async () => {
    try {
      renew(head, ...await about(scope, identity, again));
    } catch (error) {
      if (!isLeft(error)) head.replaceChildren(problem(error, again));
    }
  };
  const samples = new Samples(scope, identity, { changed: facts, empty: () => { again(); stage.querySelector("a").focus(); } });
  stage.append(el("p", {}, el("a", { href: link("identities") }, "All identities")), head, samples.grid, samples.pages);
  try {
    if (await samples.load(null)) await facts();
    else head.replaceChildren(nobody(identity));
  } catch (error) {
    if (!isLeft(error)) head.replaceChildren(problem(error, again));
  }
}

/** A person's samples, page by page. One that is changed or deleted leaves the others as they are. */
class Samples {
  constructor(scope, identity, { changed, empty }) {
    Object.assign(this, { scope, identity, changed, empty });
    this.grid = el("ul", { class: "samples", "aria-label": "Samples" });
    this.pages = el("div", { class: "pages" });
  }

  async load(cursor) {
    const page = await call("GET", withQuery("/gallery", { identity: this.identity, limit: PAGE, cursor }), { signal: this.scope.signal });
    this.grid.append(...page.items.map(each => this.card(each)));
    this.pages.replaceChildren();
    if (page.next_cursor) this.pages.append(this.more(page.next_cursor));
    return page.items.length;
  }

  more(cursor) {
    const node = button("More samples", async () => {
      const last = this.grid.lastElementChild;
      node.disabled = true;
      try {
        await this.load(cursor);
      } catch (error) {
        if (!isLeft(error)) this.pages.replaceChildren(problem(error), this.more(cursor));
      }
      if (document.activeElement === document.body) (last.nextElementSibling ?? this.pages.querySelector("button"))?.focus(); // it was on this one
    });
    return node;
  }

  card(sample) {
    const scope = new Scope(this.scope); // its picture goes with it
    const node = sampleCard(scope, sample, given => {
      if (this.scope.closed) return;
      if (given && given.identity !== this.identity) go("identities", { identity: given.identity });
      else this.put(node, given);
      scope.close();
    });
    return node;
  }

  /** Put a sample's new card into the place of the one before, or take that away; the focus goes on from there. */
  put(node, sample) {
    const next = sample ? this.card(sample) : node.nextElementSibling ?? node.previousElementSibling;
    if (sample) node.replaceWith(next);
    else node.remove();
    if (!next) { this.empty(); return; }
    next.focus();
    this.changed();
  }
}

function nobody(identity) {
  return el("p", {}, "Nobody here is called ", el("strong", { class: "name" }, identity), ". Names are compared letter by letter.");
}

async function about(scope, identity, again) {
  let facts = el("p", { class: "quiet" });
  const actions = el("div", { class: "buttons" },
    button("Rename or merge", () => rename(identity)),
    button("Erase", () => erase(scope, identity), { kind: "danger" }));
  try {
    const person = await call("GET", withQuery(path`/identities/${identity}`), { signal: scope.signal });
    facts.textContent = [count(person.samples, "sample"), person.cameras.join(", "), seen(person)].filter(Boolean).join(" · ");
  } catch (error) {
    if (isLeft(error)) throw error;
    facts = problem(error, error.status ? again : null);
  }
  return [el("h2", { class: "name" }, identity), facts, actions];
}

function seen({ first_seen: first, last_seen: last }) {
  if (!first) return "";
  return first === last ? `seen ${when(first)}` : `seen ${when(first)} to ${when(last)}`;
}

async function rename(identity) {
  const input = el("input", { type: "text", value: identity, required: true, maxlength: "256", autocomplete: "off", onfocus: event => event.target.select() }); // what is typed takes its place
  const wanted = await edit(`Rename ${identity}`, {
    contents: [field("New name", input, "A name that exists already makes the two people one.")],
    action: "Rename",
    save: async () => {
      const name = input.value.normalize("NFC");
      const { items } = name === identity ? { items: [] } : await call("GET", withQuery("/gallery", { identity: name, limit: 1 }));
      if (items.length) return { name, exists: true };
      await give(identity, name);
      return { name, exists: false };
    },
  });
  if (!wanted) return;
  if (!wanted.exists || await merge(identity, wanted.name)) go("identities", { identity: wanted.name });
}

const give = (identity, name) => call("PATCH", withQuery(path`/identities/${identity}`), { json: { identity: name } });

function merge(identity, into) {
  return confirm("Merge two people?", {
    contents: [
      el("p", {}, el("strong", { class: "name" }, into), " exists already. All samples of ", el("strong", { class: "name" }, identity), " become theirs, and the name ", el("strong", { class: "name" }, identity), " is gone."),
      el("p", {}, "This cannot be undone: afterwards nothing says which sample was whose."),
    ],
    action: "Merge", act: async () => give(identity, into),
  });
}

async function erase(scope, identity) {
  const erased = await confirm("Erase this person?", {
    contents: [el("p", {}, "All samples, pictures and embeddings of this person are deleted for good.")],
    typed: identity, action: "Erase", act: () => call("DELETE", withQuery(path`/identities/${identity}`)),
  });
  if (!erased) return;
  await tell("Erased", erasure(erased));
  if (!scope.closed) go("identities");
}

/** What an erasure did, in words. */
export function erasure(erased) {
  const facts = [count(erased.samples_deleted, "sample"), count(erased.images_deleted, "picture"), count(erased.vectors_deleted, "embedding")];
  const verified = erased.verified
    ? el("p", { class: "mark match" }, "Read back afterwards: none of these samples is left in the service.")
    : el("p", { class: "notice bad", role: "alert" }, "Reading back did not confirm it; the service's log says what is left. Once that is put right, reid gallery rebuild removes it.");
  const shared = erased.images_deleted < erased.samples_deleted && el("p", {}, "Fewer pictures than samples may mean that the gallery keeps none, that one was enrolled several times, or that one is enrolled under another name too, or in another gallery, and stays there.");
  return [el("p", {}, `Deleted: ${facts.join(", ")}.`), verified, shared, ...backups(erased.backups ?? [])].filter(Boolean);
}

function backups(names) {
  if (!names.length) return [el("p", { class: "quiet" }, "No backup that the service knows of holds it.")];
  return [el("p", {}, "These backups still hold it until they are deleted:"), el("ul", {}, names.map(name => el("li", {}, el("code", { class: "name" }, name))))];
}
