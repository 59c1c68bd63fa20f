/** Errors in words: what happened, and what to do about it. */

import { button, el, icon } from "./dom.js";
import { askAgain } from "./api.js";

const ADVICE = {
  unreachable: "Look whether it is running and the network is there, then try again.",
  unexpected: "Something between the browser and the service may have answered; try again.",
  unauthorized: "Give a key that the service knows. `reid keys create` makes one.",
  not_ready: "A part of the service is not working; the System view says which. Try again in a moment.",
  overloaded: "The service is busy. Try again in a moment.",
  internal_error: "The service's log has it under the request's id.",
  unsupported_media: "Use a JPEG, PNG, WebP or BMP picture.",
  image_undecodable: "The file is damaged. Use another copy, or another picture.",
  image_truncated: "Only a part of the file arrived or was saved. Copy it again, or use another picture.",
  image_too_small: "Use a picture of at least 8 pixels a side.",
  file_unreadable: "Moved, deleted or saved again after it was chosen? Choose it again.",
  file_too_large: "Use a picture of at most 10 MB; a crop of the person is enough.",
  request_too_large: "Send fewer or smaller pictures at once: 64 MB together.",
  too_many_images: "A query takes up to 32 pictures of one person.",
  too_many_pixels: "Use a picture of at most 40 megapixels; a crop of the person is enough.",
  gallery_not_found: "Choose another gallery above, or make this one in the Galleries view.",
  identity_not_found: "It may have been renamed or erased meanwhile. Look at the list again.",
  sample_not_found: "It may have been deleted meanwhile. Look at the list again.",
  model_not_found: "Look at the list of versions again.",
  image_not_stored: "This gallery keeps no pictures.",
  external_id_conflict: "Another picture has this external id. Give it another one.",
  migration_in_progress: "Wait until the change of version has ended, or cancel it in the Models view.",
  migration_state: "See the Models view for where the change of version is.",
  model_mismatch: "The active version has changed. Try again.",
  name_unreachable: "Use the HTTP interface with a client that sends the path as it is, such as curl --path-as-is.",
};

/** What to do about an error. */
export function advice(error) {
  if (error.status === 403) return `Your key needs the scope “${error.needs}” for this. Give another key, or ask for that scope.`;
  if (ADVICE[error.code]) return ADVICE[error.code];
  return error.field ? `Look at the field “${error.field.replaceAll("_", " ")}”.` : "";
}

/** One line of both, for a row of many. */
export function oneLine(error) {
  return [sentence(error.detail), ADVICE[error.code]].filter(Boolean).join(" ");
}

const sentence = text => text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/** What the button of an error offers: nothing where the same request would be refused again. */
function offer({ status }) {
  if (status === 401) return "Enter a key";
  if (status === 403) return "Use another key";
  return status === 0 || status === 409 || status === 429 || status >= 500 ? "Try again" : null;
}

/** A box that tells of an error; `again` is called by its button. */
export function problem(error, again = null) {
  if (!("detail" in error)) console.error(error);
  const detail = "detail" in error ? error.detail : "The console itself failed; reload the page.";
  const title = error.status === 401 ? "A key is needed" : error.status === 403 ? "The key does not allow this" : null;
  const what = el("div", {}, title && el("strong", {}, title), el("p", {}, sentence(detail)), el("p", { class: "quiet" }, advice(error)));
  if (error.requestId) what.append(el("p", { class: "quiet small" }, `Request ${error.requestId} · ${error.code}`));
  const offered = again && offer(error);
  const act = async () => {
    if (error.status === 401 || error.status === 403) await askAgain(error);
    if (what.isConnected) again(); // and not over a view that was opened meanwhile
  };
  if (offered) what.append(button(offered, act));
  return el("div", { class: "notice bad", role: "alert" }, icon("warning"), what);
}

/** Whether an error only says that the view was left. */
export const isLeft = error => error.name === "AbortError";
