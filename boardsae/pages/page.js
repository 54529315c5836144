"use strict";
const table = document.getElementById("table");
const body = table.tBodies[0];
const lines = [...body.rows];
const search = document.getElementById("search");
const group = document.getElementById("group");
const cards = [...document.querySelectorAll(".card")];

// Cells with a key are numbers; those without a value stay last, whichever way the rest is sorted.
function keyOf(line, column) {
  const cell = line.cells[column];
  if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
  return cell.textContent === "–" ? null : cell.textContent;
}

function compared(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(heading, column) {
  const numbers = lines.some((line) => typeof keyOf(line, column) === "number");
  const first = numbers ? "descending" : "ascending";
  const other = numbers ? "ascending" : "descending";
  const order = heading.ariaSort === first ? other : first;
  for (const each of heading.parentNode.cells) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  lines.sort((x, y) => {
    const a = keyOf(x, column);
    const b = keyOf(y, column);
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * compared(a, b);
  });
  body.append(...lines);
}

function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (text) => words.every((word) => text.toLowerCase().includes(word));
  const groups = group.value ? group.value.split(" ") : null;
  let shown = 0;
  for (const line of lines) {
    line.hidden = !(has(line.cells[0].textContent + " " + line.dataset.group) && (!groups || groups.includes(line.dataset.group)));
    shown += !line.hidden;
  }
  for (const card of cards) card.hidden = !has(card.dataset.words + " " + card.id);
  document.getElementById("count").textContent = shown + " of " + lines.length;
  document.getElementById("none").hidden = cards.some((card) => !card.hidden) || !cards.length;
}

// A link to a card that the search hides shows all of them again.
function follow() {
  const card = location.hash && document.getElementById(location.hash.slice(1));
  if (!card || !card.matches(".card")) return;
  if (card.hidden) {
    search.value = "";
    show();
    card.scrollIntoView();
  }
  card.focus({ preventScroll: true });
}

[...table.tHead.rows[0].cells].forEach((heading, column) => {
  heading.querySelector("button").addEventListener("click", () => sortBy(heading, column));
});
search.addEventListener("input", show);
group.addEventListener("change", show);
addEventListener("hashchange", follow);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input, select")) {
    event.preventDefault();
    search.focus();
  }
});
sortBy(table.tHead.rows[0].cells[2], 2); // by F1, the best first
show();
follow();
