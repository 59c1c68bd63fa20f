/** Who is this? A picture, several of one person, or an enrolled sample; the ranked people with the verdict. */

import { ApiError, call, MOST_BYTES, post, withQuery } from "./api.js";
import { el } from "./dom.js";
import { droppable, dropzone, label, picker } from "./dropzone.js";
import { filters, inUse } from "./filters.js";
import { enrolled, local } from "./pictures.js";
import { isLeft, problem } from "./problems.js";
import { gallery, go, here, link, note } from "./route.js";
import { Scope } from "./scope.js";
import { bar, decided, lineInWords, mark, VERDICTS } from "./scores.js";
import { bytes, clock, cosine, count, day, milliseconds, percent, whereAndWhen } from "./words.js";

export const title = "Query";
const MOST_PICTURES = 32;
const SAMPLES_SHOWN = 4;
let pictures = []; // of the last query by files, so that going back shows it again

/** Show the view. */
export function show(stage, scope) {
  new QueryView(stage, scope).start();
}

class QueryView {
  constructor(stage, scope) {
    this.scope = scope;
    this.sample = here().params.get("sample");
    this.asked = el("div", { class: "asked" });
    this.found = el("section", { class: "found", "aria-label": "Result" });
    this.said = el("p", { class: "unseen", role: "status" }); // one sentence, not all of the result
    this.count = el("span", { class: "badge", hidden: true });
    this.filters = filters(here().params, () => this.changed());
    const wide = matchMedia("(min-width: 60rem)").matches;
    const side = el("aside", { class: "side" }, this.asked, el("details", { class: "panel", open: wide }, el("summary", {}, "Filters and threshold ", this.count), this.filters.node));
    stage.append(el("div", { class: "columns" }, side, this.found), this.said);
  }

  start() {
    this.drawAsked();
    this.countFilters();
    if (this.sample || pictures.length) this.search();
    else this.found.replaceChildren(invitation());
  }

  changed() {
    const { params } = here();
    for (const [name, value] of Object.entries(this.filters.read())) {
      params.delete(name);
      for (const each of [value].flat()) if (each !== null) params.append(name, each);
    }
    note(params);
    this.countFilters();
    if (this.sample || pictures.length) this.search();
  }

  countFilters() {
    const used = inUse(this.filters.read());
    this.count.hidden = !used;
    this.count.textContent = used ? `${used} set` : "";
  }

  take(chosen) {
    pictures = chosen.map(each => each.file);
    if (this.sample) go("query", this.kept());
    else this.refresh();
  }

  add(chosen) {
    pictures = [...pictures, ...chosen.map(each => each.file)];
    this.refresh();
  }

  remove(place) {
    pictures = pictures.filter((_, each) => each !== place);
    this.refresh();
  }

  refresh() {
    this.drawAsked();
    if (pictures.length) this.search();
    else { this.running?.close(); this.found.replaceChildren(invitation()); }
  }

  /** The filters, for a link to another query. */
  kept() {
    return Object.fromEntries([...here().params].filter(([name]) => name !== "sample" && name !== "camera" && name !== "exclude_camera"));
  }

  drawAsked() {
    this.shelf?.close();
    this.shelf = new Scope(this.scope);
    const take = chosen => this.take(chosen);
    if (this.sample) this.asked.replaceChildren(...this.bySample(take));
    else if (pictures.length) this.asked.replaceChildren(this.byFiles(take));
    else this.asked.replaceChildren(dropzone(this.shelf, { title: "Drop a picture of a person", hint: "or paste it; several are taken as one person", take }));
  }

  byFiles(take) {
    const many = pictures.length > 1;
    const thumbs = pictures.map((file, place) => el("li", {}, local(this.shelf, file, `Query picture ${place + 1}`),
      many && el("button", { type: "button", class: "small", onclick: () => this.remove(place), "aria-label": `Remove query picture ${place + 1}` }, "Remove")));
    const more = label(picker(chosen => this.add(chosen), { multiple: true, "aria-label": "Add pictures of the same person" }), "Add a picture");
    const other = label(picker(take, { multiple: true, "aria-label": "Choose other pictures" }), "Other picture");
    const box = el("div", { class: "panel" }, el("h2", {}, many ? `Asked with ${pictures.length} pictures of one person` : "Asked with this picture"), el("ul", { class: many ? "strip many" : "strip" }, thumbs), el("div", { class: "buttons" }, other, more));
    droppable(box, take);
    pasteInto(this.shelf, take);
    return box;
  }

  bySample(take) {
    const shown = el("div", { class: "strip many" });
    const box = el("div", { class: "panel" }, el("h2", {}, "Asked with an enrolled sample"), shown, el("div", { class: "buttons" }, label(picker(take, { multiple: true, "aria-label": "Choose other pictures" }), "Other picture")));
    droppable(box, take);
    pasteInto(this.shelf, take);
    this.drawSample(shown);
    return [box];
  }

  async drawSample(shown) {
    try {
      const sample = await call("GET", withQuery(`/gallery/${encodeURIComponent(this.sample)}`), { signal: this.shelf.signal });
      shown.replaceChildren(enrolled(this.shelf, sample.image_url, `Sample of ${sample.identity}`),
        el("div", {}, el("a", { class: "name", href: link("identities", { identity: sample.identity }) }, sample.identity), el("p", { class: "quiet small" }, whereAndWhen(sample))));
    } catch (error) {
      if (!isLeft(error)) shown.replaceChildren(el("p", { class: "quiet" }, "The sample cannot be shown.")); // the query tells why
    }
  }

  async search() {
    this.running?.close();
    const running = new Scope(this.scope);
    this.running = running;
    this.found.setAttribute("aria-busy", "true");
    this.said.textContent = "Searching…";
    this.found.replaceChildren(skeleton());
    try {
      refuseEarly(this.sample ? [] : pictures);
      const answer = await this.ask(running.signal);
      this.found.replaceChildren(...result(running, answer));
      this.said.textContent = inOneSentence(answer);
    } catch (error) {
      if (isLeft(error)) return;
      this.said.textContent = "";
      this.found.replaceChildren(problem(error, () => { this.drawAsked(); this.search(); }));
    }
    this.found.removeAttribute("aria-busy");
  }

  ask(signal) {
    const fields = { gallery: gallery(), samples_per_identity: SAMPLES_SHOWN, ...this.filters.read() };
    if (this.sample) return post("/query", { ...fields, sample_id: this.sample }, [], { signal });
    return post("/query", fields, pictures.map(file => ["image", file]), { signal });
  }
}

/** What the service would refuse after it was sent. */
function refuseEarly(files) {
  const large = files.find(file => file.size > MOST_BYTES);
  if (large) throw new ApiError(0, { code: "file_too_large", detail: `Expected a picture of at most 10 MB, found one of ${bytes(large.size)}` });
  if (files.length > MOST_PICTURES) throw new ApiError(0, { code: "too_many_images", detail: `Expected at most ${MOST_PICTURES} pictures of one person, found ${files.length}` });
}

function pasteInto(scope, take) {
  scope.listen(window, "paste", event => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length && !document.querySelector("dialog[open]")) take(files.map(file => ({ file, path: file.name })));
  });
}

function invitation() {
  return el("div", { class: "empty" }, el("h2", {}, "Who is this?"),
    el("p", {}, "Give a picture of a person, cut out from head to feet. The people of the gallery are ranked by how alike they are, and the threshold says whether it is anybody known."),
    el("p", { class: "quiet" }, "Nobody enrolled yet? ", el("a", { href: link("enrol") }, "Enrol pictures"), " first."));
}

function skeleton() {
  return el("ol", { class: "ranked", "aria-hidden": "true" }, [1, 2, 3].map(() => el("li", { class: "card skeleton" })));
}

/** Who decided the verdict, if shown: re-ranking may put others before. */
const highest = identities => identities.reduce((best, each) => (best && best.score >= each.score ? best : each), null);

function inOneSentence({ verdict, identities }) {
  const shown = highest(identities);
  const best = shown ? ` Best: ${shown.identity}, score ${cosine(shown.score)}.` : "";
  return `${VERDICTS[verdict].word}. ${count(identities.length, "person", "people")} found.${best}`;
}

function result(scope, answer) {
  const { word, means } = VERDICTS[answer.verdict];
  const best = highest(answer.identities);
  const others = answer.identities.filter(each => each.match).length - 1;
  const alarms = here().params.get("false_alarm_rate");
  const few = alarms !== null && `The gallery is too small to tell how many strangers match: that takes 20 people and ${count(Math.ceil(1 / alarms) - 1, "sample")}.`;
  const hidden = answer.verdict === "match" && "Somebody whom re-ranking left out reaches the threshold; show more people.";
  const why = best ? hidden || (answer.verdict === "uncalibrated" && few) || means : "Nothing was searched: the gallery is empty, or the filters leave nothing.";
  const banner = el("div", { class: `verdict ${answer.verdict}` }, el("h2", {}, mark(answer.verdict, word)),
    el("p", {}, best?.match ? el("span", {}, "Best: ", el("strong", { class: "name" }, best.identity), `, ${cosine(best.score)}`, others > 0 && `, and ${count(others, "other person matches", "other people match")}`) : why),
    el("p", { class: "quiet small" }, `${lineInWords(answer)} · ${count(answer.searched, "sample was", "samples were")} compared`));
  return [banner, el("ol", { class: "ranked" }, answer.identities.map(each => person(scope, each, answer))), timing(answer)];
}

function person(scope, found, answer) {
  const head = el("div", { class: "person" },
    el("span", { class: "rank", "aria-label": `Rank ${found.rank}` }, String(found.rank)),
    el("a", { class: "name", href: link("identities", { identity: found.identity }) }, found.identity),
    decided(found.match));
  const score = el("div", { class: "score" }, bar(found.score, answer.threshold, found.match), el("span", { class: "number" }, cosine(found.score)));
  const strangers = found.false_alarm_rate !== null && el("p", { class: "quiet small" }, `${percent(found.false_alarm_rate)} of strangers would score as much`);
  return el("li", { class: "card" }, head, score, strangers, el("ul", { class: "strip" }, found.samples.map(each => rankedSample(scope, found.identity, each))));
}

function rankedSample(scope, identity, sample) {
  const keep = Object.fromEntries(["top_k", "threshold", "false_match_rate", "false_alarm_rate", "rerank"].map(name => [name, here().params.get(name)]));
  return el("li", {}, el("a", { class: "sample", href: link("query", { sample: sample.sample_id, ...keep }), title: "Search on with this sample" },
    enrolled(scope, sample.image_url, `${identity}, score ${cosine(sample.score)}`),
    el("span", { class: "unseen" }, "Search on with this sample: "),
    el("span", { class: "number small" }, cosine(sample.score)), el("span", { class: "quiet small name" }, sample.camera ?? "no camera"), sample.captured_at && el("span", { class: "quiet small" }, day(sample.captured_at)), sample.captured_at && el("span", { class: "quiet small" }, clock(sample.captured_at))));
}

function timing({ timing_ms: times, searched, model_version: version, query_id: id }) {
  const parts = ["decode", "queue", "embed", "search"].map(name => `${name} ${milliseconds(times[name])}`);
  return el("p", { class: "quiet small timing", title: `query ${id}` },
    el("span", {}, `${count(searched, "sample")} searched in ${milliseconds(times.total)}`), el("span", {}, parts.join(" · ")), el("span", {}, version));
}
