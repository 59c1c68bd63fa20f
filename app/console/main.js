/** The console: one page, a view for each address. */

import { askWith } from "./api.js";
import { askKey } from "./dialogs.js";
import { el, icon } from "./dom.js";
import { guardDrops } from "./dropzone.js";
import * as enrol from "./enrol.js";
import * as galleries from "./galleries.js";
import { choosing, drawChoice, header } from "./header.js";
import * as identities from "./identities.js";
import * as models from "./models.js";
import { problem } from "./problems.js";
import * as query from "./query.js";
import { here, link } from "./route.js";
import { Scope } from "./scope.js";
import * as system from "./system.js";
import * as verify from "./verify.js";

const VIEWS = { query, verify, enrol, identities, galleries, models, system };
const stage = document.getElementById("stage");
const heading = document.getElementById("view-title");
const menu = document.getElementById("menu");
const nav = document.getElementById("views");
let scope = new Scope();

async function draw({ first = false } = {}) {
  scope.close();
  scope = new Scope();
  guardDrops(scope);
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  const name = Object.hasOwn(VIEWS, here().view) ? here().view : "query";
  const view = VIEWS[name];
  document.title = `${view.title} · hap2s-reid`;
  heading.textContent = view.title;
  stage.replaceChildren();
  stage.className = `view-${name}`;
  drawNav(name);
  drawChoice();
  if (!first) {
    if (!choosing()) heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  try {
    await view.show(stage, scope);
  } catch (error) {
    stage.replaceChildren(problem(error));
  }
}

function drawNav(current) {
  nav.hidden = false;
  nav.classList.remove("open");
  menu.setAttribute("aria-expanded", "false");
  nav.replaceChildren(...Object.entries(VIEWS).map(([name, view]) => el("a", { href: link(name), "aria-current": name === current ? "page" : null }, icon(name), el("span", {}, view.title))));
}

menu.append(icon("menu"));
menu.addEventListener("click", () => menu.setAttribute("aria-expanded", String(nav.classList.toggle("open"))));
document.addEventListener("keydown", event => {
  if (event.key !== "Escape" || !nav.classList.contains("open")) return;
  nav.classList.remove("open");
  menu.setAttribute("aria-expanded", "false");
  menu.focus();
});
document.getElementById("skip").addEventListener("click", event => { event.preventDefault(); heading.focus(); }); // the address is the view's
askWith(askKey);
header(document.getElementById("corner"), () => draw());
addEventListener("hashchange", () => draw());
draw({ first: true });
