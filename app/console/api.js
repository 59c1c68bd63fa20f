/** The one door to the service: the key, the errors, and the progress of what is sent. */

import { gallery } from "./route.js";

export const MOST_BYTES = 10e6; // of one picture
const TRIES = 10; // of what the service is too busy for

/** What the service refused, or that it could not be reached; `detail` is in words. */
export class ApiError extends Error {
  constructor(status, { code = "unreachable", detail, field = null, request_id = null, retryAfter = null, unread = [] }, needs = "") {
    super(detail);
    Object.assign(this, { status, code, detail, field, requestId: request_id, retryAfter, unread, needs });
  }
}

/** That files of this machine cannot be read any more, which the error has as `unread`. */
export function cannotRead(files) {
  const detail = `${files.map(file => `“${file.name}”`).join(", ")} cannot be read any more`;
  return new ApiError(0, { code: "file_unreadable", detail, unread: files });
}

let key = ""; // in this tab's memory only
let refused = false;
let asking = null;
let ask = async () => null;

/** Say how a key is asked for: a function from what was refused to the key, or null when nobody gives one. */
export const askWith = asker => { ask = asker; };
export const hasKey = () => key !== "";

/** Keep a key until the tab is closed; an empty one forgets it. */
export function setKey(value) {
  key = value;
  refused = false;
}

/** Call the service and return its JSON (or text, or a blob); raise `ApiError`. */
export async function call(method, path, request = {}) {
  for (;;) {
    const used = key;
    const answer = await send(method, path, request);
    if (answer.ok) return answer.body;
    const error = toError(answer, method, path);
    if (error.status !== 401 || !(await otherKey(used, error))) throw error;
  }
}

/** Post a form of fields and files; files that cannot be read any more are told from a service that does not answer. */
export async function post(where, fields, files, request = {}) {
  try {
    return await call("POST", where, { ...request, body: form(fields, files) });
  } catch (error) {
    const unread = error.status === 0 ? await unreadable(files.map(([, file]) => file)) : [];
    throw unread.length ? cannotRead(unread) : error;
  }
}

/** Do what asks the service; where it is too busy, or the key's rate is used up, again after the time that it says. */
export async function patiently(act, signal) {
  for (let tried = 1; ; tried++) {
    try {
      return await act();
    } catch (error) {
      if (error.status !== 429 || tried === TRIES) throw error;
      await pause((error.retryAfter ?? 1) * 1000, signal);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const leave = () => { clearTimeout(timer); reject(new DOMException("left", "AbortError")); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", leave); resolve(); }, ms);
    signal.addEventListener("abort", leave, { once: true });
  });
}

/** The files that the browser refuses. They are read as a whole: the first byte of one that is gone is no error. */
async function unreadable(files) {
  const read = await Promise.allSettled(files.map(file => file.arrayBuffer()));
  return files.filter((_, place) => read[place].status === "rejected");
}

/** Ask for another key because of an error that was told; who gives none keeps the one in use. */
export async function askAgain(error) {
  const given = await ask(key ? error.detail : "");
  if (given) setKey(given);
}

/** Ask for a key once, however many requests were refused at the same time. */
async function otherKey(used, error) {
  if (used !== key) return true;
  if (refused) return false;
  asking ??= ask(used ? error.detail : "").finally(() => { asking = null; });
  const given = await asking;
  if (given) key = given;
  else refused = true; // and not again, until somebody asks for it
  return Boolean(given);
}

/** A path with names in it: each is one segment, whatever it holds. */
export function path(parts, ...names) {
  return String.raw({ raw: parts }, ...names.map(segment));
}

function segment(name) {
  if (name !== "." && name !== "..") return encodeURIComponent(name);
  const detail = `Browsers cannot ask for the name “${name}”: they take it for a step in the path.`;
  throw new ApiError(0, { code: "name_unreachable", detail });
}

/** Add query parameters, of which nothing is left out but null; the gallery in use comes by itself. */
export function withQuery(where, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ gallery: gallery(), ...parameters }))
    for (const each of [value].flat()) if (each !== null && each !== undefined) query.append(name, each);
  return query.size ? `${where}?${query}` : where;
}

/** A form of fields (lists repeat, null is left out) and files. */
function form(fields, files) {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields))
    for (const each of [value].flat()) if (each !== null && each !== undefined) made.append(name, each);
  for (const [name, file] of files) made.append(name, file, "picture"); // a file's own name stays here
  return made;
}

function send(method, where, { json, body = null, kind = "json", signal, progress } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, where);
    request.responseType = kind === "blob" ? "blob" : "text";
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    if (json !== undefined) request.setRequestHeader("Content-Type", "application/json");
    if (progress) request.upload.addEventListener("progress", event => progress(event.loaded));
    request.addEventListener("load", () => received(request, kind).then(resolve, reject));
    request.addEventListener("error", () => reject(new ApiError(0, { detail: "The service did not answer." })));
    request.addEventListener("abort", () => reject(new DOMException("left", "AbortError")));
    const leave = () => request.abort();
    signal?.addEventListener("abort", leave, { once: true });
    request.addEventListener("loadend", () => signal?.removeEventListener("abort", leave)); // or the view would hold every answer
    if (signal?.aborted) reject(new DOMException("left", "AbortError"));
    else request.send(json === undefined ? body : JSON.stringify(json));
  });
}

async function received(request, kind) {
  const ok = request.status >= 200 && request.status < 300;
  const retryAfter = Number(request.getResponseHeader("Retry-After")) || null;
  if (ok && kind === "blob") return { ok, body: request.response };
  const text = request.response instanceof Blob ? await request.response.text() : request.response;
  const isJson = /[/+]json/.test(request.getResponseHeader("Content-Type") ?? "");
  const body = isJson ? JSON.parse(text) : text;
  // an enrolment of which nothing was taken is a 422 with the outcome of each picture, and not an error
  const outcome = isJson && Array.isArray(body?.items);
  return { ok: ok || outcome, status: request.status, statusText: request.statusText, body, retryAfter };
}

function toError({ status, statusText, body, retryAfter }, method, where) {
  const told = typeof body === "object" && body !== null ? body : { code: "unexpected", detail: `${status} ${statusText}` };
  return new ApiError(status, { ...told, retryAfter }, scopeOf(method, where));
}

/** The scope that a request needs, for people whose key lacks it. */
function scopeOf(method, where) {
  if (/^\/(query|verify|embed|drift)/.test(where)) return "query";
  if (where.startsWith("/suspects")) return method === "GET" ? "query" : "enroll";
  if (where.startsWith("/gallery")) return method === "GET" ? "query" : "enroll";
  return where.startsWith("/identities") && method === "GET" ? "query" : "admin";
}
