/** What was compared before a gallery was switched to another version. */

import { el } from "./dom.js";
import { cosine, count, milliseconds, percent, whole } from "./words.js";

/** Show the comparison; an empty one shows nothing. */
export function validation(found, source, target) {
  if (!found || !("passed" in found)) return null;
  const problems = found.problems.map(each => el("li", {}, each));
  return el("div", { class: "validation" },
    problems.length ? el("ul", { class: "problems" }, problems) : null,
    "probes" in found ? versions(found, source, target) : null,
    "probes" in found ? el("p", { class: "quiet small" }, summary(found)) : null);
}

function versions(found, source, target) {
  const across = found.across_cameras;
  const lines = found.verdicts;
  const rows = [
    across.people ? ["Found first across cameras", percent(across.source), percent(across.target)] : null,
    lines.source_threshold !== null && lines.target_threshold !== null ? ["Threshold", cosine(lines.source_threshold), cosine(lines.target_threshold)] : null,
    lines.match_in_both !== null ? ["Samples with a match", whole(lines.match_in_both + lines.only_source), whole(lines.match_in_both + lines.only_target)] : null,
    times("Embedding a picture", found.embedded_again.milliseconds),
    times("A search", found.search_ms),
  ].filter(Boolean);
  const body = rows.map(([name, before, after]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, before), el("td", {}, after)));
  const head = el("tr", {}, el("td"), el("th", { scope: "col", class: "name" }, source), el("th", { scope: "col", class: "name" }, target));
  return el("table", { class: "compared small" }, el("thead", {}, head), el("tbody", {}, body));
}

function times(name, { source, target }) {
  return source === null || target === null ? null : [name, milliseconds(source), milliseconds(target)];
}

function summary(found) {
  const said = [`${count(found.samples, "sample")}, ${whole(found.probes)} of them searched for in both versions`];
  if (found.same_first !== null) said.push(`the same person first in ${percent(found.same_first, 0)}`, `${percent(found.same_of_ten, 0)} of the first ten the same`);
  if (found.left_out) said.push(`${count(found.left_out, "sample")} left out`);
  return `${said.join("; ")}.`;
}
