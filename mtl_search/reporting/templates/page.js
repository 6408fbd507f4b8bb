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

// A link to an architecture opens it

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
