/** How the service is: health, version, load, and what it refused. */

import { call } from "./api.js";
import { el, renew, table } from "./dom.js";
import { showDrift } from "./drift.js";
import { isLeft, problem } from "./problems.js";
import { named, parse, single, sums } from "./prometheus.js";
import { mark } from "./scores.js";
import { showSettings } from "./settings.js";
import { milliseconds, whole } from "./words.js";

export const title = "System";
const EVERY = 5000;

/** Show the view; it looks again every few seconds. */
export async function show(stage, scope) {
  const health = el("section", { class: "panel", "aria-label": "Health" });
  const numbers = el("section", { "aria-label": "Numbers" });
  const cameras = el("section", { class: "cameras", "aria-label": "Cameras" });
  const settings = el("section", { class: "panel", "aria-label": "Settings" });
  stage.append(health, numbers, cameras, settings);
  showDrift(cameras, scope);
  showSettings(settings, scope);
  let version = null;
  async function look() {
    version ??= await ofService(scope);
    await Promise.all([checkHealth(health, scope), showNumbers(numbers, scope, version ?? "not known")]);
    scope.later(EVERY, look);
  }
  await look();
}

async function ofService(scope) {
  try {
    return (await call("GET", "/openapi.json", { signal: scope.signal })).info.version;
  } catch {
    return null;
  }
}

async function checkHealth(place, scope) {
  const started = performance.now();
  try {
    await call("GET", "/health/ready", { signal: scope.signal });
    const took = milliseconds(performance.now() - started);
    renew(place, said(mark("match", "Everything works")), el("p", { class: "quiet" }, `A built-in picture was decoded, embedded and searched in ${took}.`));
  } catch (error) {
    if (!isLeft(error)) renew(place, said(mark("bad", "Not ready")), lasting(error));
  }
}

/** The words that a screen reader is told when they change; how long the check took is not among them. */
const said = words => el("div", { role: "status" }, el("h2", {}, words));

/** An error without its request, which is another at every look: the alert would be read out each time. */
const lasting = error => problem(Object.assign(error, { requestId: null }));

async function showNumbers(place, scope, version) {
  try {
    const samples = parse(await call("GET", "/metrics", { signal: scope.signal }));
    renew(place, ...numbers(samples, version));
  } catch (error) {
    if (isLeft(error)) return;
    // metrics may be on a port of their own
    renew(place, error.status === 404 ? el("p", { class: "quiet" }, "Metrics are not served on this port.") : lasting(error));
  }
}

function numbers(samples, version) {
  const model = named(samples, "reid_model_info")[0]?.labels ?? {};
  const tiles = [
    ["Service", version], ["Model", model.version ?? "not known"], ["Runs on", (model.providers ?? "not known").replaceAll("ExecutionProvider", "").replaceAll(",", ", ")],
    ["Samples enrolled", value(samples, "reid_gallery_samples")], ["Pictures waiting", value(samples, "reid_queue_pictures")],
    ["Pictures embedded", value(samples, "reid_embeddings_total")], ["Pictures at once, mean", mean(samples, "reid_batch_pictures", number => number.toFixed(1))],
    ["Expired samples", value(samples, "reid_expired_samples_total")],
  ];
  const shown = tiles.filter(([, text]) => text !== null).map(([name, text]) => el("div", { class: "tile" }, el("dt", {}, name), el("dd", { class: "name" }, text)));
  return [el("dl", { class: "tiles" }, shown), el("div", { class: "tables" }, requests(samples), stages(samples), refusals(samples)),
    el("p", { class: "quiet small" }, "Since the service was started. ", el("a", { href: "/metrics" }, "All metrics"), " · ", el("a", { href: "/docs" }, "Every route"))];
}

function value(samples, name) {
  const found = single(samples, name);
  if (found === null) return null;
  return Number.isNaN(found) ? "not known" : whole(found); // while the catalogue is away
}

function mean(samples, name, text) {
  const times = single(samples, `${name}_count`);
  return times ? text(single(samples, `${name}_sum`) / times) : null;
}

function requests(samples) {
  const found = named(samples, "reid_requests_total");
  const asked = found.filter(({ labels }) => !labels.route.startsWith("/console/")); // the page itself
  const routes = [...sums(asked, labels => `${labels.method} ${labels.route}`)].sort((a, b) => b[1] - a[1]);
  const codes = [...sums(found, labels => labels.status)].sort();
  const rows = routes.map(([route, total]) => [el("code", {}, route), figure(total), figure(latency(samples, route, routes))]);
  return el("section", { class: "panel" }, el("h2", {}, "Requests"), el("p", { class: "codes" }, codes.map(([code, total]) => el("span", { class: `code code-${code[0]}` }, el("strong", {}, code), ` ${whole(total)}`))),
    table("Requests by route", ["route", "answered", "mean time"], rows));
}

/** The mean time of a route, of all its methods together: the service does not measure them apart. */
function latency(samples, route, routes) {
  const name = route.split(" ")[1];
  const shared = routes.filter(([each]) => each.endsWith(` ${name}`)).length > 1;
  const of = part => named(samples, `reid_request_seconds_${part}`).find(sample => sample.labels.route === name)?.value;
  return of("count") ? `${milliseconds((of("sum") / of("count")) * 1000)}${shared ? ", all methods" : ""}` : "";
}

function stages(samples) {
  const counts = sums(named(samples, "reid_stage_seconds_count"), labels => labels.stage);
  const seconds = sums(named(samples, "reid_stage_seconds_sum"), labels => labels.stage);
  if (!counts.size) return null;
  const rows = [...counts].map(([stage, times]) => [stage, figure(whole(times)), figure(milliseconds((seconds.get(stage) / times) * 1000))]);
  return el("section", { class: "panel" }, el("h2", {}, "Stages of a request"), table("Stages", ["stage", "times", "mean"], rows));
}

function refusals(samples) {
  const found = [...sums(named(samples, "reid_rejected_items_total"), labels => labels.code)].sort((a, b) => b[1] - a[1]);
  const contents = found.length ? table("Refused", ["code", "times"], found.map(([code, times]) => [el("code", {}, code), figure(whole(times))])) : el("p", { class: "quiet" }, "Nothing was refused.");
  return el("section", { class: "panel" }, el("h2", {}, "Refused"), contents);
}

const figure = text => el("span", { class: "number" }, typeof text === "number" ? whole(text) : text);
