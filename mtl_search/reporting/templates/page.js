// What a reader does with a page: sort and filter its tables, take them along. Without this script all can be read.
"use strict";

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function download(name, type, text) {
  const file = [document.body.dataset.name, name].join("-").replace(/[^\w.-]+/g, "_");
  const link = element("a", { download: file, href: URL.createObjectURL(new Blob([text], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Cells

const plain = (node) => node.textContent.trim().replace(/[^\S\u00a0]+/g, " ");
const NUMBER = /^[+-]?[\d,]*\.?\d+(e[+-]?\d+)?$/;

function values(cell) {
  if (cell.dataset.v) return JSON.parse(cell.dataset.v);
  const text = plain(cell).replaceAll("\u2212", "-");
  if (text === "\u2013" || text === "") return [null];
  return [NUMBER.test(text) ? Number(text.replaceAll(",", "")) : plain(cell)];
}

function compared(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

// Sort and filter

function sort(table, column, head) {
  const next = { none: "ascending", ascending: "descending", descending: "none" };
  const order = next[head.getAttribute("aria-sort") ?? "none"];
  for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
  if (order !== "none") head.setAttribute("aria-sort", order);
  const sign = order === "descending" ? -1 : 1;
  const keyed = table.rowsAsMade.map((row) => [values(row.cells[column])[0], row]);
  // what has no value stands last in both directions
  if (order !== "none") keyed.sort(([a], [b]) => (a === null || b === null ? 1 : sign) * compared(a, b));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

function filter(table, wish, told) {
  const wanted = wish.toLowerCase().split(",").map((part) => part.split(/\s+/).filter(Boolean));
  const asked = wanted.filter((words) => words.length);
  for (const row of table.rowsAsMade) {
    const text = [...row.cells].map(plain).join(" ").toLowerCase();
    const parts = text.split(" ");
    // a number is looked for as a whole, any other word also within one
    const holds = (word) => (NUMBER.test(word) ? parts.includes(word) : text.includes(word));
    row.hidden = asked.length > 0 && !asked.some((words) => words.every(holds));
  }
  told.textContent = asked.length ? `${shownRows(table).length} of ${table.rowsAsMade.length} rows` : "";
}

const shownRows = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden);

// Downloads: the rows that are shown, in their order

function csv(table) {
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => (head.dataset.csv ? JSON.parse(head.dataset.csv) : [plain(head)]));
  const lines = shownRows(table).map((row) =>
    [...row.cells].flatMap((cell, column) => {
      const known = values(cell);
      return names[column].map((_, place) => known[place] ?? null);
    }),
  );
  return [names.flat(), ...lines].map((line) => line.map(csvCell).join(",") + "\n").join("");
}

function csvCell(value) {
  let text = value === null ? "" : String(value);
  if (typeof value === "string" && /^[=+\-@\t]/.test(text) && !NUMBER.test(text)) text = `'${text}`; // no formula
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const SIGNS = {
  "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}",
  ">": "\\textgreater{}", "|": "\\textbar{}", '"': "\\textquotedbl{}", "\u2212": "$-$", "\u00b1": "$\\pm$",
  "\u00d7": "$\\times$", "\u2013": "--", "\u2026": "\\ldots{}", "\u00a0": "~",
};
const tex = (text) => text.replace(/[\\~^<>|"\u2212\u00b1\u00d7\u2013\u2026\u00a0&%$#_{}]/g, (sign) => SIGNS[sign] ?? `\\${sign}`);

function texCell(cell) {
  const main = cell.cloneNode(true);
  const below = [...main.querySelectorAll(".sub")];
  below.forEach((line) => line.remove());
  const small = below.length ? ` {\\scriptsize ${below.map((line) => tex(plain(line))).join("; ")}}` : "";
  return tex(plain(main)) + small;
}

function latex(table) {
  const heads = [...table.tHead.rows[0].cells];
  const columns = heads.map((head) => (/first|left|text/.test(head.className) ? "l" : "r")).join("");
  // after a line's end a bracket would be taken for a length
  const line = (cells) => cells.map(texCell).join(" & ").replace(/^(?=[[*])/, "{}") + " \\\\";
  return [
    "% \\usepackage{booktabs}",
    `\\begin{tabular}{${columns}}`, "\\toprule", line(heads), "\\midrule",
    ...shownRows(table).map((row) => line([...row.cells])),
    "\\bottomrule", "\\end{tabular}", "",
  ].join("\n");
}

function equip(table) {
  const name = table.dataset.name;
  table.rowsAsMade = [...table.tBodies[0].rows];
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = element("button", { type: "button", title: "Sort" }, ...head.childNodes);
    button.addEventListener("click", () => sort(table, column, head));
    head.append(button);
  }
  const told = element("span", { className: "soft", role: "status" });
  const wish = element("input", { type: "search", placeholder: "Filter: words; a comma means or" });
  wish.setAttribute("aria-label", `Filter the rows of ${name}`);
  wish.addEventListener("input", () => filter(table, wish.value, told));
  const tools = element("div", { className: "tools" });
  if (table.rowsAsMade.length > 5) tools.append(wish, told); // fewer are read at once
  for (const [label, type, text] of [["csv", "text/csv", csv], ["tex", "application/x-tex", latex]]) {
    const title = `Download the rows shown as ${label === "csv" ? "CSV" : "a LaTeX table (booktabs)"}`;
    const button = element("button", { type: "button", title }, label === "csv" ? "CSV" : "LaTeX");
    button.addEventListener("click", () => download(`${name}.${label}`, type, text(table)));
    tools.append(button);
  }
  table.parentElement.before(tools);
}

document.querySelectorAll("table[data-name]").forEach(equip);

// Figures: the axes chosen from lists, a point that leads to what the page tells of it, SVG to take along

function turned(trace, planes, x, y) {
  const places = trace.customdata.map((key) => planes.keys.indexOf(key));
  const pair = `${x.name}|${y.name}`;
  const moved = planes.moved?.[pair] ?? {};
  const made = { ...trace, x: places.map((at) => moved[planes.keys[at]] ?? x.values[at]), y: places.map((at) => y.values[at]) };
  if (trace.error_y) {
    const bars = places.map((at) => y.bars[at] ?? [null, null]);
    made.error_y = { ...trace.error_y, array: bars.map((bar) => bar[0]), arrayminus: bars.map((bar) => bar[1]), visible: y.bars.length > 0, symmetric: false };
  }
  if (planes.labels && trace.text) {
    const labels = planes.labels[pair];
    made.text = trace.customdata.map((key) => labels[key]?.[0] ?? "");
    made.textposition = trace.customdata.map((key) => labels[key]?.[1] ?? "top left");
  }
  return made;
}

function bestLine(planes, x, y) {
  const places = planes.lines[`${x.name}|${y.name}`].map((key) => planes.keys.indexOf(key));
  const line = { shape: "hv", dash: "dot", width: 1.5, color: "#808890" };
  return { x: places.map((at) => x.values[at]), y: places.map((at) => y.values[at]), mode: "lines", line, name: "best here", hoverinfo: "skip" };
}

function note(made, planes, x, y) {
  const at = planes.keys.indexOf(planes.knee);
  const side = x.sides[at];
  return { ...made, x: x.log ? Math.log10(x.values[at]) : x.values[at], y: y.values[at], ax: 32 * side, ay: 32 * side * y.up,
    xanchor: side < 0 ? "right" : "left", align: side < 0 ? "right" : "left" };
}

function turn(plot, planes, made, x, y) {
  const first = x === planes.x[0] && y === planes.y[0];
  let data = first ? made.data : made.data.map((trace) => turned(trace, planes, x, y));
  const layout = { ...made.layout, ...y.layout, ...x.layout };
  if (first) Object.assign(layout, made.layout);
  else if (planes.lines) {
    data = data.map((trace) => ({ ...trace, mode: "markers" })).concat(bestLine(planes, x, y));
    layout.annotations = (made.layout.annotations ?? []).map((one) => note(one, planes, x, y));
  }
  Plotly.react(plot, data, layout, made.config);
}

function choices(label, axes) {
  const list = element("select", {}, ...axes.map((axis, at) => element("option", { value: at }, axis.label)));
  return axes.length > 1 ? [list, element("label", {}, `${label} `, list)] : [list];
}

function equipPlanes(plot, tools) {
  const text = document.querySelector(`script[data-planes="${plot.id}"]`)?.textContent;
  if (!text) return;
  const planes = JSON.parse(text);
  const made = { data: plot.data.map((trace) => ({ ...trace })), layout: structuredClone(plot.layout), config: plot._context };
  const [up, upLabel] = choices("up:", planes.y);
  const [across, acrossLabel] = choices("across:", planes.x);
  for (const list of [up, across]) list.addEventListener("change", () => turn(plot, planes, made, planes.x[across.value], planes.y[up.value]));
  tools.prepend(...[upLabel, acrossLabel].filter(Boolean));
  plot.on("plotly_click", (event) => {
    const at = planes.keys.indexOf(event.points[0].customdata);
    if (at >= 0) goTo(planes.targets[at]);
  });
}

async function downloadFigure(plot) {
  const ink = { ...plot.layout.font, color: "#000" };
  const { offsetWidth: width, offsetHeight: height } = plot;
  const url = await Plotly.toImage({ data: plot.data, layout: { ...plot.layout, font: ink } }, { format: "svg", width, height });
  download(`${plot.id}.svg`, "image/svg+xml", decodeURIComponent(url.slice(url.indexOf(",") + 1)));
}

function svgButton(act) {
  const button = element("button", { type: "button", title: "Download the figure as SVG" }, "SVG");
  button.addEventListener("click", act);
  return button;
}

for (const plot of document.querySelectorAll(".plotly-graph-div")) {
  const tools = element("div", { className: "tools" }, svgButton(() => downloadFigure(plot)));
  plot.closest(".plot").before(tools);
  equipPlanes(plot, tools);
}

function equipDrawing(drawing) {
  const name = drawing.dataset.name;
  const act = () => download(`${name}.svg`, "image/svg+xml", new XMLSerializer().serializeToString(drawing.querySelector("svg")));
  drawing.before(element("div", { className: "tools" }, svgButton(act)));
}
document.querySelectorAll(".drawing").forEach(equipDrawing);

// What a link or a point leads to: an architecture is opened, and drawn where the page holds it packed

async function unpacked() {
  const text = document.getElementById("drawings").textContent.trim();
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function drawn(id) {
  const number = /^trial-(\d+)$/.exec(id)?.[1];
  if (!number || !document.getElementById("drawings")) return null;
  const svg = (await unpacked())[number];
  if (!svg) return null;
  const drawing = element("div", { className: "drawing", innerHTML: svg }); // made by this program, its texts escaped
  drawing.dataset.name = id;
  const made = element("details", { id }, element("summary", {}, element("b", {}, `Trial ${number}`), " not on the front"),
    element("div", { className: "inside" }, drawing));
  document.getElementById("architectures").append(made);
  equipDrawing(drawing);
  return made;
}

async function openTarget() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = document.getElementById(id) ?? (await drawn(id));
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView({ block: "start" });
}

function goTo(id) {
  if (location.hash === `#${id}`) openTarget();
  else location.hash = id;
}

for (const cell of document.getElementById("drawings") ? document.querySelectorAll("tr[data-trial] .first") : []) {
  const trial = cell.parentElement.dataset.trial;
  if (!cell.querySelector("a")) cell.replaceChildren(element("a", { href: `#trial-${trial}` }, trial));
}
addEventListener("hashchange", openTarget);
openTarget();
