/** Enrol pictures: many at once, named by a field or by their files, each with its progress and its outcome. */

import { button, el, field, icon, select } from "./dom.js";
import { dropzone } from "./dropzone.js";
import { fromName, looksLikePicture } from "./names.js";
import { local } from "./pictures.js";
import { oneLine } from "./problems.js";
import { gallery, link } from "./route.js";
import { Scope } from "./scope.js";
import { sendAll } from "./sending.js";
import { bytes, count, toInstant } from "./words.js";

export const title = "Enrol";
const THUMBS = 200; // more would weigh on the browser more than they help
const STATES = {
  ready: "Ready", nameless: "No name", queued: "Queued", sending: "Sending", waiting: "Enrolling", created: "Enrolled", duplicate: "Already there", failed: "Failed",
};
const OPEN = ["ready", "nameless", "failed"]; // what is sent keeps the name that it is sent with
const UNDER_WAY = ["queued", "sending"];
const DONE = ["created", "duplicate"];
const CHOICES = ["naming", "identity", "camera", "time"];
let kept = { files: [] }; // what was not enrolled when the view was left, and how it was to be named

/** Whether most of the files say by their names or folders who they show. */
const mostlyNamed = chosen => 2 * chosen.filter(({ path }) => fromName(path).identity || fromName(path).junk).length > chosen.length;

/** Show the view. */
export function show(stage, scope) {
  new EnrolView(stage, scope).restore(kept);
}

class EnrolView {
  constructor(stage, scope) {
    this.scope = scope;
    this.rows = [];
    this.skipped = 0;
    this.sending = null; // how many rows of this run are still under way, of how many
    this.naming = select([["one", "one name for all"], ["names", "from file or folder names"]], "one", { onchange: () => this.renamed() });
    this.identity = el("input", { type: "text", maxlength: "256", autocomplete: "off", oninput: () => this.renamed() });
    this.camera = el("input", { type: "text", maxlength: "256", autocomplete: "off", oninput: () => this.renamed() });
    this.time = el("input", { type: "datetime-local", step: "1", oninput: () => this.renamed() });
    this.name = field("Identity", this.identity, "the person's name or number");
    this.rule = el("p", { class: "quiet small", hidden: true }, "0002_c1s1_000451_03.jpg is person 0002 by camera c1, as in Market-1501; of any other file the folder's name is the person.");
    this.list = el("ul", { class: "files", "aria-label": "Pictures to enrol" });
    this.bar = el("progress", { max: "1", value: "0", hidden: true, "aria-label": "Sent" });
    this.summary = el("p", { role: "status" });
    this.actions = el("div", { class: "buttons" });
    const form = el("div", { class: "panel" }, el("div", { class: "fields" }, field("Identity comes", this.naming), this.name, field("Camera", this.camera, "where the file name does not say it"), field("Taken", this.time, "if known, for all of them")), this.rule);
    this.zone = dropzone(scope, { title: "Drop pictures or folders", hint: "one person in each, cut out from head to feet; JPEG, PNG, WebP or BMP, up to 10 MB", take: chosen => this.take(chosen), missed: number => { this.skipped += number; this.draw(); }, folder: true });
    this.box = el("div", { class: "enrol" }, this.zone, form, el("div", { class: "panel tray" }, this.summary, this.bar, this.actions), this.list);
    stage.append(this.box);
    scope.onClose(() => this.keep());
    scope.listen(window, "beforeunload", event => { if (this.sending) event.preventDefault(); });
  }

  keep() {
    const files = this.rows.filter(row => !DONE.includes(row.state)).map(({ file, path }) => ({ file, path }));
    const choices = CHOICES.map(name => [name, this[name].value]);
    kept = { files, ...(files.length && Object.fromEntries(choices)) }; // the next files may be somebody else's
  }

  restore({ files, ...choices }) {
    for (const [name, value] of Object.entries(choices)) this[name].value = value;
    for (const { file, path } of files) this.rows.push(this.row(file, path));
    this.renamed();
  }

  take(chosen) {
    const pictures = chosen.filter(each => looksLikePicture(each.path) || each.file.type.startsWith("image/"));
    this.skipped += chosen.length - pictures.length;
    if (!this.rows.length && pictures.length > 1 && mostlyNamed(pictures)) this.naming.value = "names";
    const junk = this.naming.value === "names" ? pictures.filter(each => fromName(each.path).junk) : [];
    this.skipped += junk.length;
    for (const each of pictures) if (!junk.includes(each)) this.rows.push(this.row(each.file, each.path));
    this.renamed();
  }

  row(file, path) {
    const row = { file, path, state: "ready", fields: null, named: fromName(path) };
    row.scope = new Scope(this.scope);
    row.who = el("span", { class: "name" });
    row.what = el("span", { class: "state" });
    row.told = el("p", { class: "small told", hidden: true });
    row.meter = el("progress", { max: "1", value: "0", hidden: true, "aria-label": `Sent of ${path}` });
    const picture = this.rows.length < THUMBS ? local(row.scope, file, "") : el("span", { class: "picture missing" }, icon("picture"));
    row.out = el("button", { type: "button", class: "bare", "aria-label": `Leave out ${path}`, onclick: () => { this.drop(each => each === row); this.draw(); } }, icon("close"));
    row.node = el("li", {}, picture, el("span", { class: "about" }, row.who, el("span", { class: "quiet small name" }, `${path} · ${bytes(file.size)}`), row.meter, row.told), row.what, row.out);
    this.list.append(row.node);
    return row;
  }

  /** Let rows go, and return how many. */
  drop(isGone) {
    const gone = this.rows.filter(isGone);
    this.rows = this.rows.filter(row => !isGone(row));
    for (const row of gone) {
      row.node.remove();
      row.scope.close();
    }
    return gone.length;
  }

  clear(states) {
    this.drop(row => !states || states.includes(row.state));
    this.skipped = 0;
    this.draw();
  }

  /** Name all rows that are not being sent and were not enrolled yet after the present choices. */
  renamed() {
    const byNames = this.naming.value === "names";
    this.name.hidden = byNames;
    this.rule.hidden = !byNames;
    if (byNames) this.skipped += this.drop(row => row.named.junk && OPEN.includes(row.state));
    for (const row of this.rows) if (OPEN.includes(row.state)) this.rename(row, byNames);
    this.draw();
  }

  rename(row, byNames) {
    const identity = byNames ? row.named.identity : this.identity.value.trim() || null;
    const camera = (byNames && row.named.camera) || this.camera.value.trim() || null;
    const time = toInstant(this.time.value);
    row.fields = identity && { identity, ...(camera && { camera }), ...(time && { captured_at: time }) };
    row.who.textContent = identity ? [identity, camera].filter(Boolean).join(" · ") : byNames ? "no name in the file or folder" : "give a name above";
    if (row.state !== "failed" || !identity) this.told(row, identity ? "ready" : "nameless", {});
  }

  told(row, state, { share = null, error = null }) {
    if (this.sending) this.sending.left += UNDER_WAY.includes(state) - UNDER_WAY.includes(row.state);
    row.state = state;
    const sent = share === 1 ? "waiting" : state;
    row.what.textContent = STATES[sent];
    row.what.className = `state ${sent}`;
    row.meter.hidden = state !== "sending";
    row.meter.value = share ?? 0;
    row.told.hidden = !error;
    row.told.textContent = error ? oneLine(error) : "";
    row.out.hidden = UNDER_WAY.includes(state);
    if (this.sending) this.progress();
  }

  progress() {
    const { all, left } = this.sending;
    this.bar.value = 1 - left / all;
    this.summary.textContent = `${all - left} of ${count(all, "picture")} done…`;
  }

  /** Whether the time is whole or was not given; of a date alone browsers give no value, and say so beside the field. */
  timeIsWhole() {
    this.time.setCustomValidity(this.time.validity.badInput ? "Give the time of day too, or clear the date." : "");
    return this.time.reportValidity();
  }

  async send(states) {
    if (!this.timeIsWhole()) return;
    const rows = this.rows.filter(row => states.includes(row.state) && row.fields);
    this.sending = { all: rows.length, left: 0 };
    this.stopper = new AbortController();
    this.scope.onClose(() => this.stopper.abort());
    for (const row of rows) this.told(row, "queued", {});
    this.draw();
    await sendAll(rows, gallery(), this.stopper.signal, (row, state, more) => this.told(row, state, more));
    for (const row of rows) if (UNDER_WAY.includes(row.state)) this.told(row, "ready", {}); // stopped before: to be sent again
    this.sending = null;
    this.draw();
  }

  draw() {
    const number = state => this.rows.filter(row => row.state === state).length;
    this.bar.hidden = !this.sending;
    this.zone.hidden = Boolean(this.sending);
    this.box.classList.toggle("filled", this.rows.length > 0);
    if (this.sending) {
      this.progress();
      this.actions.replaceChildren(button("Stop", () => this.stopper.abort()));
      return;
    }
    const parts = [...Object.keys(STATES)].filter(number).map(state => `${number(state)} ${STATES[state].toLowerCase()}`);
    if (this.skipped) parts.push(`${this.skipped} left out (no picture, junk, or not to be read)`);
    this.summary.textContent = parts.join(" · ") || "No pictures yet.";
    this.actions.replaceChildren(...this.buttons(number).filter(Boolean));
  }

  buttons(number) {
    const [fresh, failed, done] = [number("ready"), number("failed"), number("created") + number("duplicate")];
    const people = new Set(this.rows.filter(row => row.state === "ready").map(row => row.fields.identity)); // a folder may as well be a camera's
    return [
      fresh || !(failed || done) ? button(fresh ? `Enrol ${count(fresh, "picture")} of ${count(people.size, "person", "people")}` : "Enrol", () => this.send(["ready"]), { kind: "primary", disabled: !fresh }) : null,
      failed ? button(`Send ${failed} failed again`, () => this.send(["failed"])) : null,
      done ? button("Clear what is enrolled", () => this.clear(DONE)) : null,
      this.rows.length ? button("Clear all", () => this.clear(null)) : null,
      done ? el("a", { class: "button", href: link("identities") }, "See identities") : null,
    ];
  }
}
