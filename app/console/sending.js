/** Enrolling many pictures: in requests of bounded size, one after the other, each picture with its own outcome. */

import { ApiError, cannotRead, MOST_BYTES, patiently, post } from "./api.js";
import { bytes } from "./words.js";

const MOST_FILES = 32; // of one request; the service takes 256 and 64 MB
const REQUEST_BYTES = 16e6;

/** Send rows of `{file, fields}`; `told(row, state, more)` hears of `sending`, `created`, `duplicate`, `failed`. */
export async function sendAll(rows, gallery, signal, told) {
  for (const part of parts(rows.filter(row => sendable(row, told)))) {
    if (signal.aborted || !(await sendPart(part, gallery, signal, told))) return;
  }
}

/** Send a part, and again without the files that cannot be read any more; return whether to go on with the next. */
async function sendPart(part, gallery, signal, told) {
  try {
    const answer = await sendRows(part, gallery, signal, told);
    for (const item of answer.items) outcome(part[item.index], item, told);
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    const unread = new Set(error.unread);
    for (const row of part) if (unread.has(row.file)) told(row, "failed", { error: cannotRead([row.file]) });
    const rest = part.filter(row => !unread.has(row.file));
    if (unread.size) return !rest.length || sendPart(rest, gallery, signal, told);
    for (const row of part) told(row, "failed", { error });
    return !fatal(error);
  }
}

function sendable(row, told) {
  if (row.file.size <= MOST_BYTES) return true;
  const detail = `Expected a file of at most 10 MB, found one of ${bytes(row.file.size)}.`;
  told(row, "failed", { error: new ApiError(0, { code: "file_too_large", detail }) });
  return false;
}

/** What will not go better with the next part either: the others stay as they are, to be sent later. */
const fatal = error => [0, 401, 403, 404].includes(error.status);

function* parts(rows) {
  let part = [], size = 0;
  for (const row of rows) {
    if (part.length && (part.length >= MOST_FILES || size + row.file.size > REQUEST_BYTES)) {
      yield part;
      part = [];
      size = 0;
    }
    part.push(row);
    size += row.file.size;
  }
  if (part.length) yield part;
}

function sendRows(part, gallery, signal, told) {
  const metadata = JSON.stringify(part.map(row => row.fields));
  const files = part.map(row => ["image", row.file]);
  return patiently(() => post("/gallery", { gallery, metadata }, files, { signal, progress: loaded => share(part, loaded, told) }), signal);
}

/** Divide what was sent of the request among its files, which go in order. */
function share(part, loaded, told) {
  let rest = loaded;
  for (const row of part) {
    told(row, "sending", { share: Math.max(0, Math.min(1, rest / row.file.size)) });
    rest -= row.file.size;
  }
}

function outcome(row, item, told) {
  if (item.status !== "rejected") told(row, item.status, {});
  else told(row, "failed", { error: new ApiError(422, item.error) });
}
