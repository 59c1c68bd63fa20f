/** Pictures: enrolled ones by their address, or by the key where the service asks for one, and files from here. */

import { call, hasKey, patiently } from "./api.js";
import { el, icon } from "./dom.js";

const AT_ONCE = 6;
const waiting = [];
let loading = 0;

/** An enrolled picture; `alt` says whose it is. */
export function enrolled(scope, imageUrl, alt) {
  const frame = el("span", { class: "picture" });
  if (!imageUrl) return missing(frame, alt);
  const image = el("img", { alt, loading: "lazy", decoding: "async", onerror: () => missing(frame, alt) });
  frame.append(image);
  if (hasKey()) inTurn(scope, () => withKey(scope, imageUrl, image, () => missing(frame, alt)));
  else image.src = imageUrl;
  return frame;
}

/** A picture that is here as a file. */
export function local(scope, file, alt) {
  const frame = el("span", { class: "picture" });
  frame.append(el("img", { alt, src: scope.url(file), onerror: () => missing(frame, alt) }));
  return frame;
}

function missing(frame, alt) {
  frame.replaceChildren(icon("picture"), el("span", { class: "unseen" }, `${alt} (no picture)`));
  frame.classList.add("missing");
  return frame;
}

/** An image element cannot send the key, so the bytes are fetched with it and shown by an object URL. */
async function withKey(scope, imageUrl, image, otherwise) {
  try {
    image.src = scope.url(await patiently(() => call("GET", imageUrl, { kind: "blob", signal: scope.signal }), scope.signal));
  } catch {
    otherwise();
  }
}

/** Do a task, which may not throw, with few others at once, unless its scope is closed by then. */
export function inTurn(scope, task) {
  waiting.push(() => scope.closed || task());
  if (loading < AT_ONCE) next();
}

async function next() {
  const task = waiting.shift();
  if (!task) return;
  loading += 1;
  await task();
  loading -= 1;
  next();
}

/** Call `act` once the element comes near the visible part of the page. */
export function onceSeen(scope, node, act) {
  const watcher = new IntersectionObserver(entries => {
    if (!entries.some(entry => entry.isIntersecting)) return;
    watcher.disconnect();
    act();
  }, { rootMargin: "200px" });
  watcher.observe(node);
  scope.onClose(() => watcher.disconnect());
}
