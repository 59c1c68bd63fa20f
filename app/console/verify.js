/** Are these the same person? Two pictures side by side. */

import { post } from "./api.js";
import { decision } from "./decision.js";
import { el } from "./dom.js";
import { droppable, dropzone, label, picker } from "./dropzone.js";
import { local } from "./pictures.js";
import { isLeft, problem } from "./problems.js";
import { Scope } from "./scope.js";
import { bar, lineInWords, mark, VERDICTS } from "./scores.js";
import { here, note } from "./route.js";
import { cosine } from "./words.js";

export const title = "Verify";
const SIDES = ["a", "b"];
const WORDS = { a: "First picture", b: "Second picture" };
const chosen = { a: null, b: null }; // kept while the tab is open

/** Show the view. */
export function show(stage, scope) {
  const result = el("section", { class: "outcome", "aria-live": "polite", "aria-label": "Result" });
  const line = decision(here().params, () => { keep(line.read()); compare(); });
  const boxes = Object.fromEntries(SIDES.map(side => [side, el("div", { class: "side-picture" })]));
  let running = null;

  function draw(side) {
    boxes[side].shelf?.close();
    const shelf = boxes[side].shelf = new Scope(scope);
    const take = ([first, second]) => {
      chosen[side] = first.file;
      const other = SIDES.find(each => each !== side);
      if (second && !chosen[other]) { chosen[other] = second.file; draw(other); }
      draw(side);
      compare();
    };
    const paste = SIDES.find(each => !chosen[each]) === side;
    const contents = chosen[side] ? picked(shelf, side, take) : dropzone(shelf, { title: WORDS[side], hint: "drop, paste or choose", take, multiple: false, paste, name: WORDS[side] });
    boxes[side].replaceChildren(contents);
  }

  async function compare() {
    running?.close();
    if (!chosen.a || !chosen.b) return result.replaceChildren(el("p", { class: "quiet" }, "Give two pictures; they are compared at once and not kept."));
    running = new Scope(scope);
    result.replaceChildren(el("p", { class: "quiet" }, "Comparing…"));
    try {
      const answer = await post("/verify", line.read(), SIDES.map(side => [`image_${side}`, chosen[side]]), { signal: running.signal });
      result.replaceChildren(...outcome(answer));
    } catch (error) {
      if (!isLeft(error)) result.replaceChildren(problem(error, compare));
    }
  }

  stage.append(el("div", { class: "verify" }, el("div", { class: "pair" }, boxes.a, boxes.b), el("aside", {}, result, el("div", { class: "panel" }, line.node))));
  SIDES.forEach(draw);
  compare();
}

function keep(fields) {
  const { params } = here();
  for (const [name, value] of Object.entries(fields)) {
    params.delete(name);
    if (value !== null) params.append(name, value);
  }
  note(params);
}

function picked(shelf, side, take) {
  const box = el("div", { class: "panel picked" }, el("h2", {}, WORDS[side]), local(shelf, chosen[side], WORDS[side]),
    el("div", { class: "buttons" }, label(picker(take, { "aria-label": `Another ${WORDS[side].toLowerCase()}` }), "Other picture")));
  droppable(box, take);
  return box;
}

function outcome(answer) {
  const kind = answer.match === null ? "uncalibrated" : answer.match ? "match" : "unknown";
  const word = { match: "Same person", unknown: "Not the same by this threshold", uncalibrated: "Not decided" }[kind];
  return [el("div", { class: `verdict ${kind}` }, el("h2", {}, mark(kind, word)),
    el("p", { class: "big number" }, cosine(answer.score)), bar(answer.score, answer.threshold, answer.match),
    kind === "uncalibrated" ? el("p", {}, VERDICTS.uncalibrated.means) : null,
    el("p", { class: "quiet small" }, `${lineInWords(answer)} · ${answer.model_version}`))];
}

