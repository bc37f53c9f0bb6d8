"use strict";
// Tables that sort by the buttons of their headers, and that of all cells, which filters as well.
// The order, the filters and the pages are TanStack's; the elements are plain HTML.
(() => {
  const { element } = xmft;
  const PER_PAGE = 50;

  // A table whose state changes call `render`.
  const tableOf = (columns, data, initial, render) => {
    const table = TableCore.createTable({
      columns,
      data,
      state: {},
      onStateChange: () => {},
      renderFallbackValue: null,
      enableSortingRemoval: true,
      sortDescFirst: false,
      autoResetPageIndex: false,
      getCoreRowModel: TableCore.getCoreRowModel(),
      getSortedRowModel: TableCore.getSortedRowModel(),
      getFilteredRowModel: TableCore.getFilteredRowModel(),
      getPaginationRowModel: TableCore.getPaginationRowModel(),
      globalFilterFn: (row, _, words) => words.every((word) => textOf(row.original).includes(word)),
      getColumnCanGlobalFilter: (column) => column.id === columns[0].id,
    });
    const take = (state) =>
      table.setOptions((options) => ({
        ...options,
        state,
        onStateChange: (change) => {
          take(typeof change === "function" ? change(table.getState()) : change);
          render();
        },
      }));
    take({ ...table.initialState, ...initial });
    return table;
  };

  const textOf = (cell) => {
    cell.text ??= Object.values(cell).join("\n").toLowerCase();
    return cell.text;
  };

  const order = (one, other, id) => {
    const [a, b] = [one.getValue(id), other.getValue(id)];
    return a < b ? -1 : a > b ? 1 : 0;
  };

  const showOrder = (header, column) => {
    const sorted = column.getIsSorted();
    const said = { asc: "ascending", desc: "descending" }[sorted];
    if (said) header.setAttribute("aria-sort", said);
    else header.removeAttribute("aria-sort");
  };

  // The rows of a leaderboard are there already: they are put into another order.
  const sortable = (table) => {
    const body = table.tBodies[0];
    const headers = [...table.tHead.rows[0].cells];
    const numeric = (text) => (text === "" || Number.isNaN(Number(text)) ? text : Number(text));
    const columns = headers.map((header, place) => ({
      id: String(place),
      accessorFn: (row) => {
        const text = row.cells[place].dataset.sort;
        return text === undefined ? undefined : row.cells[place].localName === "th" ? text.toLowerCase() : numeric(text);
      },
      sortingFn: order,
      sortUndefined: "last",
    }));
    const all = {
      pagination: { pageIndex: 0, pageSize: body.rows.length },
      sorting: [{ id: String(headers.findIndex((one) => one.ariaSort)), desc: false }],
    };
    const model = tableOf(columns, [...body.rows], all, () => {
      body.append(...model.getRowModel().rows.map((row) => row.original));
      headers.forEach((header, place) => showOrder(header, model.getColumn(String(place))));
    });
    headers.forEach((header, place) => {
      const column = model.getColumn(String(place));
      header.querySelector("button").addEventListener("click", () => column.toggleSorting());
    });
  };

  const COLUMNS = [
    ["entry", "entry"],
    ["task", "task"],
    ["seed", "seed", "number"],
    ["value", "value", "number"],
    ["state", "state"],
    ["metric", "metric"],
    ["protocol", "protocol"],
    ["origin", "data"],
    ["seconds", "time", "number"],
    ["finished", "finished"],
  ];

  const shown = (cell, name) => {
    if (name === "seconds") return xmft.duration(cell.seconds);
    if (name === "finished") return cell.finished.slice(0, 16).replace("T", " ");
    return xmft.number(cell[name]);
  };

  const rowOf = (cell) => {
    const row = element("tr");
    for (const [name, , kind] of COLUMNS) {
      let content = shown(cell, name);
      if (name === "value") {
        content = content === "" ? "none" : content;
        const label = `${content}, ${cell.entry} on ${cell.task}, seed ${cell.seed}`;
        content = element(
          "button",
          {
            type: "button",
            class: "open",
            "aria-haspopup": "dialog",
            "aria-label": label,
            "data-cells": cell.place,
          },
          content,
        );
      } else if (name === "state") {
        content = element("span", { class: cell.state === "ok" ? "ok" : "bad" }, content);
      }
      row.append(element("td", { class: kind }, content));
    }
    return row;
  };

  const allCells = (table) => {
    const form = document.getElementById("filters");
    const count = document.getElementById("count");
    // Straight from the columns, whose texts are places in sorted lists: TanStack's way over each
    // row's own store of values takes several times as long. What is not there comes last.
    const orderOf = (id) => {
      const values = xmft.columns[id];
      return (one, other) => {
        const [a, b] = [values[one.original.place], values[other.original.place]];
        if (a !== null && b !== null) return a - b || (a < b ? -1 : a > b ? 1 : 0);
        if (a === b) return 0;
        return (a === null) === model.getState().sorting[0].desc ? -1 : 1;
      };
    };
    const columns = COLUMNS.map(([id]) => ({
      id,
      accessorFn: (cell) => cell[id],
      sortingFn: orderOf(id),
      sortUndefined: false,
      filterFn: (row, name, wanted) => String(row.original[name]) === wanted,
    }));
    const start = { pagination: { pageIndex: 0, pageSize: PER_PAGE }, columnFilters: [] };
    const model = tableOf(columns, xmft.cells, start, () => render());
    const headers = COLUMNS.map(([id, text, kind]) => {
      const button = element("button", { type: "button", class: "sort" }, text);
      button.addEventListener("click", () => {
        model.getColumn(id).toggleSorting();
        model.setPageIndex(0);
      });
      return element("th", { scope: "col", class: kind }, button);
    });
    table.tHead.rows[0].append(...headers);
    const previous = document.getElementById("previous");
    const next = document.getElementById("next");

    const render = () => {
      table.tBodies[0].replaceChildren(
        ...model.getRowModel().rows.map((row) => rowOf(row.original)),
      );
      headers.forEach((header, place) => showOrder(header, model.getColumn(COLUMNS[place][0])));
      const left = model.getFilteredRowModel().rows.length;
      const said = `${left.toLocaleString("en")} of ${xmft.cells.length.toLocaleString("en")} cells`;
      if (count.textContent !== said) count.textContent = said;
      const pages = Math.max(1, model.getPageCount());
      const page = model.getState().pagination.pageIndex + 1;
      document.getElementById("page-of").textContent = `page ${page} of ${pages}`;
      document.getElementById("pages").hidden = pages === 1;
      previous.setAttribute("aria-disabled", page <= 1);
      next.setAttribute("aria-disabled", page >= pages);
    };

    const filter = () => {
      const given = new FormData(form);
      const words = given.get("search").toLowerCase().split(/\s+/).filter(Boolean);
      const columnFilters = [];
      for (const [id, wanted] of given) {
        const text = wanted.trim();
        if (id !== "search" && text !== "") columnFilters.push({ id, value: text });
      }
      model.setState((state) => ({
        ...state,
        columnFilters,
        globalFilter: words.length ? words : undefined,
        pagination: { ...state.pagination, pageIndex: 0 },
      }));
    };
    for (const select of form.querySelectorAll("select")) {
      const texts = xmft.texts[select.name];
      select.append(...texts.map((text) => element("option", { value: text }, text)));
    }
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    // A button that is disabled would lose the focus of who pages with the keyboard.
    previous.addEventListener("click", () => model.getCanPreviousPage() && model.previousPage());
    next.addEventListener("click", () => model.getCanNextPage() && model.nextPage());
    xmft.filters = {
      get: () => [...new FormData(form)],
      set: (pairs) => {
        for (const [name, value] of pairs) if (form.elements[name]) form.elements[name].value = value;
        filter();
      },
    };
    render();
  };

  document.querySelectorAll("table.board").forEach(sortable);
  const table = document.getElementById("all-cells");
  if (table) allCells(table);
})();
