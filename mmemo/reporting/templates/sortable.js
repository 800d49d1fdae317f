/* Headers of sortable tables become buttons: a click or Enter sorts, again turns the order. */
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const key = (row) => row.cells[column].dataset.key;
      const isNumber = header.classList.contains("n");
      const before = header.getAttribute("aria-sort");
      const order = before ? (before === "ascending" ? "descending" : "ascending")
        : isNumber ? "descending" : "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        /* What is undefined stands last in either order. */
        if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
        return sign * (isNumber ? a - b : a.localeCompare(b, "en", { numeric: true }));
      });
      body.append(...rows);
    });
  });
}
