"use strict";
// Sorting and filtering of tables, words for the marks of pictures, the section that is being read.
// Text of the report is only ever set as textContent: nothing in it can become markup.
(() => {
  document.documentElement.classList.add("scripted");

  // Sorting: once down, once up, then as it was. Reference rows and candidates are then ordered together.
  function sortable(table) {
    const bodies = [...table.tBodies];
    const original = bodies.map((body) => [...body.rows]);
    const heads = [...table.tHead.rows[0].cells];
    const collator = new Intl.Collator("en", { numeric: true });
    function key(row, column) {
      const cell = row.cells[column];
      return { number: cell.hasAttribute("data-sort") ? Number(cell.dataset.sort) : null, text: cell.textContent.trim() };
    }
    function compare(one, other, sign) {
      // Cells without a number stay below, whichever way the numbers go.
      if (one.number !== null && other.number !== null) return sign * (one.number - other.number);
      if (one.number !== null || other.number !== null) return one.number !== null ? -1 : 1;
      return sign * collator.compare(one.text, other.text);
    }
    function sort(head, column) {
      const numbers = original.flat().some((row) => row.cells[column].hasAttribute("data-sort"));
      const steps = numbers ? ["descending", "ascending"] : ["ascending", "descending"];
      const next = steps[steps.indexOf(head.getAttribute("aria-sort")) + 1] ?? null;
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next === null) {
        bodies.forEach((body, number) => body.append(...original[number]));
        return;
      }
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const rows = original.flat().map((row) => [key(row, column), row]);
      rows.sort((one, other) => compare(one[0], other[0], sign));
      bodies[0].append(...rows.map((pair) => pair[1]));
    }
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(head, column));
      head.replaceChildren(button);
    });
  }
  document.querySelectorAll("table.sortable").forEach(sortable);

  document.querySelectorAll(".row-filter").forEach((input) => {
    const table = document.getElementById(input.getAttribute("aria-controls"));
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const body of table.tBodies) {
        for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      }
    });
  });

  // Words for a mark, on hover and on focus; Escape takes them away.
  const tip = document.getElementById("tip");
  function show(mark) {
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(box.left + box.width / 2 - tip.offsetWidth / 2, width - tip.offsetWidth - 8));
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${(above > 0 ? above : box.bottom + 8) + window.scrollY}px`;
  }
  const hide = () => { tip.hidden = true; };
  document.querySelectorAll(".mark").forEach((mark) => {
    mark.querySelector("title")?.remove();
    for (const event of ["pointerenter", "focus"]) mark.addEventListener(event, () => show(mark));
    for (const event of ["pointerleave", "blur"]) mark.addEventListener(event, hide);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const reader = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  for (const id of links.keys()) {
    const section = document.getElementById(id);
    if (section) reader.observe(section);
  }

  // Paper has no summaries to click.
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
})();
