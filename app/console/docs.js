/** The page that shows /openapi.json. */
const make = (name, text = "", ...children) => {
  const node = document.createElement(name);
  node.textContent = text;
  node.append(...children);
  return node;
};
const table = (head, rows) => {
  const row = (cell, values) => make("tr", "", ...values.map(value => make(cell, value ?? "")));
  const drawn = make("table", "", row("th", head), ...rows.map(values => row("td", values)));
  const box = make("div", "", drawn);
  box.className = "scroll";
  return box;
};
const typeOf = schema => schema.type ?? (schema.anyOf ?? []).map(typeOf).join(" or ");
const LIMITS = ["default", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"];
const limits = schema => [schema, ...(schema.anyOf ?? [])].flatMap(each => LIMITS
  .filter(name => each[name] !== undefined && each[name] !== null)
  .map(name => `${name} ${JSON.stringify(each[name])}`));
const fieldRow = (name, schema, place, required) =>
  [name, place, typeOf(schema), [...(required ? ["required"] : []), ...limits(schema)].join(", "), schema.description];
const follow = (api, ref) => ref.replace(/^#\//, "").split("/").reduce((node, key) => node[key], api);

function describe(api, path, method, route) {
  const box = make("details", "", make("summary", "", make("b", method.toUpperCase()), make("code", path), ` — ${route.summary}`));
  for (const text of (route.description ?? "").split("\n\n")) box.append(make("p", text));
  const fields = (route.parameters ?? []).map(each => fieldRow(each.name, {description: each.description, ...each.schema}, each.in, each.required));
  for (const [type, media] of Object.entries(route.requestBody?.content ?? {}))
    for (const [name, schema] of Object.entries(media.schema.properties ?? {})) fields.push(fieldRow(name, schema, type, media.schema.required?.includes(name)));
  if (fields.length) box.append(make("h3", "Fields"), table(["name", "in", "type", "limits", "meaning"], fields));
  box.append(make("h3", "Answers"), table(["status", "meaning"], Object.entries(route.responses).map(([status, each]) => [status, each.description])));
  for (const [status, each] of Object.entries(route.responses)) {
    const ref = each.content?.["application/json"]?.schema?.$ref;
    const example = ref && follow(api, ref).examples?.[0];
    if (example) box.append(make("h3", `Example of ${status}`), make("pre", JSON.stringify(example, null, 2)));
  }
  return box;
}

fetch("/openapi.json").then(answer => answer.json()).then(api => {
  const routes = document.getElementById("routes");
  routes.replaceChildren();
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, route] of Object.entries(methods)) routes.append(describe(api, path, method, route));
}).catch(error => { document.getElementById("routes").textContent = `Could not read /openapi.json: ${error}`; });
