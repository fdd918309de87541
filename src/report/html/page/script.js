"use strict";
// Sorting, filters and the panel. The page is whole without any of it.

// Sorting: a button in each head: numbers from the highest to the lowest, texts by the alphabet, back, and to the order of the study.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    const number = Number.parseFloat(text.replace("−", "-"));
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => {
    // What has no number stands below what has one.
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return 1;
    if (typeof b === "number") return -1;
    return a.localeCompare(b);
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.title = "Sort";
    head.append(button);
    button.addEventListener("click", () => {
      const turns = ["descending", "ascending"];
      if (!original.some((row) => typeof value(row, column) === "number")) turns.reverse();
      const direction = turns[turns.indexOf(head.getAttribute("aria-sort")) + 1];
      for (const other of heads) other.removeAttribute("aria-sort");
      let rows = [...original];
      if (direction) {
        head.setAttribute("aria-sort", direction);
        const sign = direction === "descending" ? -1 : 1;
        rows.sort((a, b) => sign * compare(value(a, column), value(b, column)));
      }
      body.append(...rows);
    });
  });
}

// Filters: what belongs to another target, row, language or family is hidden.
const filter = document.getElementById("filter");
filter.hidden = false;
const reachable = (link) => link && !link.closest("[hidden]");
const apply = () => {
  const chosen = new FormData(filter);
  for (const name of ["target", "row", "language", "family"]) {
    const wanted = chosen.get(name);
    for (const element of document.querySelectorAll(`main [data-${name}]`)) {
      element.classList.toggle(`no-${name}`, wanted !== "" && element.dataset[name] !== wanted);
    }
  }
  for (const element of document.querySelectorAll("main [data-target], main [data-row], main [data-language], main [data-family]")) {
    element.hidden = [...element.classList].some((name) => name.startsWith("no-"));
  }
  // In each map of languages one cell that is shown takes the keyboard's focus.
  for (const table of document.querySelectorAll("table.pick")) {
    const links = [...table.querySelectorAll("td a")];
    const before = links.find((link) => link.tabIndex === 0 && link.hasAttribute("tabindex"));
    const kept = reachable(before) ? before : links.find(reachable);
    for (const link of links) link.tabIndex = link === kept ? 0 : -1;
  }
  // Paper has no filters: a line says what they were.
  const only = [...filter.elements].filter((element) => element.value && element.name)
    .map((element) => `${element.name} ${element.selectedOptions[0].textContent}`);
  const note = document.getElementById("shown");
  note.textContent = `Tables show only what belongs to ${only.join(", ")}.`;
  note.hidden = only.length === 0;
};
filter.addEventListener("change", apply);
filter.addEventListener("reset", () => setTimeout(apply));
filter.addEventListener("submit", (event) => event.preventDefault());
apply();

// The panel: what a link's cell tells under the pointer (a value, its interval), and all that it was made from.
const panel = document.getElementById("panel");
const show = (link) => {
  const cell = link.closest("td");
  const row = cell.parentElement;
  const language = row.dataset.language;
  const origin = document.querySelector(link.getAttribute("href"));
  const title = origin.closest("details").querySelector("summary").textContent;
  // The head of a row that is not a row of the study, nor a target: a language, or a group.
  const head = row.closest(".grid") || title.startsWith(`${row.cells[0].textContent} after `) ? "" : row.cells[0].textContent.trim();
  document.getElementById("panel-title").textContent = head ? `${title}: ${head}` : title;
  const items = cell.title.split("\n").filter((text) => text).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  document.getElementById("panel-words").replaceChildren(...items);
  const copy = origin.cloneNode(true);
  copy.removeAttribute("id");
  for (const command of copy.querySelectorAll(".command")) {
    const end = command.dataset.end;
    if (language) command.textContent = command.textContent.slice(0, command.textContent.length - end.length) + `/${language}${end}`;
  }
  // Trainings and data are told here, rather than linked.
  for (const link of copy.querySelectorAll("a[href^='#training-']")) {
    const training = document.querySelector(link.getAttribute("href")).cloneNode(true);
    training.removeAttribute("id");
    link.nextSibling?.remove();
    link.replaceWith(training);
  }
  for (const list of copy.querySelectorAll("dd")) {
    const links = [...list.querySelectorAll("a[href^='#data-']")];
    if (links.length === 0) continue;
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = `artifacts and raw files (${links.length})`;
    const table = document.createElement("table");
    table.className = "plain wrap";
    for (const link of links) {
      const row = document.querySelector(link.getAttribute("href")).cloneNode(true);
      row.removeAttribute("id");
      table.append(row);
    }
    details.append(summary, table);
    list.replaceChildren(details);
  }
  document.getElementById("panel-origin").replaceChildren(copy);
  panel.showModal();
  panel.scrollTop = 0;
};
panel.addEventListener("click", (event) => {
  if (event.target === panel) panel.close();
});
const numbers = "td a[href^='#o']";
document.querySelector("main").addEventListener("click", (event) => {
  const link = event.target.closest(numbers);
  if (!link) return;
  event.preventDefault();
  show(link);
});
document.querySelector("main").addEventListener("keydown", (event) => {
  const link = event.key === "Enter" && event.target.closest(numbers);
  if (!link) return;
  // Else Enter would go on to press the panel's button.
  event.preventDefault();
  show(link);
});

// In a map of languages one cell takes the keyboard's focus; arrows move it to the next that is shown.
for (const table of document.querySelectorAll("table.pick")) {
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td");
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!cell || !move) return;
    event.preventDefault();
    let [row, column] = [cell.parentElement.sectionRowIndex, cell.cellIndex];
    let next;
    do {
      row += move[0];
      column += move[1];
      next = table.tBodies[0].rows[row]?.cells[column];
    } while (next && !reachable(next.querySelector("a")));
    if (!next) return;
    cell.querySelector("a").tabIndex = -1;
    next.querySelector("a").tabIndex = 0;
    next.querySelector("a").focus();
  });
}

// A link into a closed section opens it; paper has no closed sections.
const reveal = () => {
  for (let element = document.getElementById(location.hash.slice(1)); element; element = element.parentElement) {
    if (element.tagName === "DETAILS") element.open = true;
  }
};
addEventListener("hashchange", reveal);
reveal();
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not(.raw, [open])")];
  for (const element of opened) element.open = true;
});
addEventListener("afterprint", () => {
  for (const element of opened) element.open = false;
});
