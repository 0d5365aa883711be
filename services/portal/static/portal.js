// Filters the cards as one types and copies commands; the page works without it.
"use strict";

const search = document.getElementById("search");
const items = [...document.querySelectorAll("#cards > li")];

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const item of items) {
    const hit = words.every((word) => item.dataset.text.includes(word));
    item.hidden = !hit;
    shown += hit;
  }
  document.getElementById("count").textContent = `${shown} of ${items.length}`;
  document.getElementById("nothing").hidden = shown > 0;
}

if (search) {
  search.addEventListener("input", filter);
  search.form.addEventListener("submit", (event) => event.preventDefault());
}

async function copy(button) {
  const label = button.firstChild;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Press Ctrl+C";
    getSelection().selectAllChildren(button.previousElementSibling);
  }
  setTimeout(() => (label.textContent = "Copy"), 2000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}
