/** Where the reader is: `#/view?gallery=…&more`, so that reload, back and bookmarks work. */

/** Return the view's name and its parameters. */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { view: path || "query", params: new URLSearchParams(query) };
}

/** The gallery in use; null leaves the choice to the service: `default`, or the one that the key is bound to. */
export const gallery = () => here().params.get("gallery");

/** The address of a view in the same gallery. */
export function link(view, more = {}) {
  const params = new URLSearchParams();
  const known = { gallery: gallery(), ...more };
  for (const [name, value] of Object.entries(known)) if (value !== null && value !== undefined) params.append(name, value);
  const query = params.toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

/** Go to a view. */
export function go(view, more = {}) {
  location.hash = link(view, more);
}

/** Note parameters in the address without a step in the history. */
export function note(params) {
  const query = params.toString();
  history.replaceState(null, "", `#/${here().view}${query ? `?${query}` : ""}`);
}
