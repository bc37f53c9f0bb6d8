"use strict";
// The dialog that says how a number was made: the cells behind it, one per seed.
(() => {
  const { element, number } = xmft;
  const dialog = document.getElementById("details");
  const body = document.getElementById("details-body");
  const pending = new Map();

  // The files of details call this; each belongs to cells of one task and method.
  window.xmftDetails = (name, content) => {
    for (const cell of Object.values(content.cells)) cell.shared = content.shared;
    pending.get(name)?.done(content.cells);
  };

  const load = (name) => {
    if (!pending.has(name)) {
      const one = {};
      one.promise = new Promise((done, failed) => {
        one.done = done;
        const script = element("script", { src: `cells/${name}.js` });
        script.addEventListener("error", () => {
          pending.delete(name);
          failed(new Error("gone"));
        });
        document.head.append(script);
      });
      pending.set(name, one);
    }
    return pending.get(name).promise;
  };

  const section = (title, content, open = false) =>
    element("details", open ? { open: "" } : {}, element("summary", {}, title), content);

  const json = (value) =>
    element("pre", { tabindex: 0 }, typeof value === "string" ? value : JSON.stringify(value, null, 2));

  const OF_RUN = new Set(["attempt", "status", "failure", "error", "versions", "invocation"]);

  const command = (cell) => {
    if (cell.command === undefined) return element("p", { class: "note" }, cell.refusal);
    const text = element("code", {}, cell.command);
    const copy = element("button", { type: "button" }, "Copy");
    const said = element("span", { role: "status" });
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(cell.command);
        said.textContent = "copied";
      } catch {
        window.getSelection().selectAllChildren(text);
        said.textContent = "selected";
      }
    });
    return element("div", { class: "command" }, element("pre", { tabindex: 0 }, text), copy, said);
  };

  const attempts = (cell, of) => {
    const rows = cell.attempts.map((one) => [
      one.attempt + (one.attempt === cell.counts ? " (counts)" : ""),
      one.status,
      one.failure ?? "",
      xmft.duration(one.wall_s ?? 0),
      (one.started_at ?? "").slice(0, 19).replace("T", " "),
      one.device ?? "",
      one.host ?? "",
    ]);
    const columns = ["attempt", "status", "failure", "time", "started", "device", "host"];
    return xmft.plainTable("Attempts", columns, rows, of);
  };

  const errors = (cell) =>
    cell.attempts
      .filter((one) => one.error !== undefined)
      .map((one) =>
        section(`Error of attempt ${one.attempt}: ${one.failure ?? ""}`,
          json(cell.shared[one.error]), cell.state !== "ok" && one.attempt === cell.counts));

  const made = (row, cell, open) => {
    const counts = cell.attempts.find((one) => one.attempt === cell.counts);
    const ran = Object.entries(counts).filter(([name]) => !OF_RUN.has(name));
    const result = cell.state === "ok" ? number(row.value ?? undefined) || "no value" : row.state;
    const parts = [
      element("p", {}, "Cell ", element("code", {}, row.id), ` · protocol ${row.protocol}` +
        ` · ${row.origin} data · metric ${row.metric}`),
      ...errors(cell),
      attempts(cell, `cell ${row.id}`),
      element("h4", {}, "Made again by"),
      command(cell),
    ];
    if (cell.scores.length) {
      const columns = ["split", "selection", "metric", "version", "direction", "value", "epoch"];
      parts.push(section("All scores", xmft.plainTable("Scores", columns, cell.scores, `cell ${row.id}`)));
    }
    parts.push(section("Configuration", json({ ...cell.shared[cell.config], seed: row.seed })));
    if (counts.versions !== undefined) {
      parts.push(section("Versions", json(cell.shared[counts.versions])));
    }
    parts.push(section("Hardware and use",
      xmft.plainTable("What was measured", ["name", "value"], ran, `cell ${row.id}`)));
    if (counts.invocation !== undefined) {
      parts.push(section("What the run was told", json(cell.shared[counts.invocation])));
    }
    const title = element("h3", {}, `Seed ${row.seed}: ${result}`);
    return element("details", { class: "cell", ...(open ? { open: "" } : {}) },
      element("summary", {}, title), ...parts);
  };

  const charts = (rows, cells) => {
    const curves = new Map();
    cells.forEach((cell, place) => {
      for (const [name, [epochs, values]] of Object.entries(cell.curves)) {
        if (!curves.has(name)) curves.set(name, []);
        curves.get(name).push({ name: `seed ${rows[place].seed}`, epochs, values });
      }
    });
    const drawn = [...curves].map(([name, lines]) => xmft.chart(name, lines)).filter(Boolean);
    if (!drawn.length) return element("p", { class: "small" }, "No curves were kept.");
    return element("div", { class: "charts" }, ...drawn);
  };

  const show = async (places, result) => {
    const rows = places.map((place) => xmft.cells[place]);
    const [first] = rows;
    document.getElementById("details-title").textContent = `${first.entry} on ${first.task}`;
    body.replaceChildren(element("p", {}, "Loading …"));
    body.setAttribute("aria-busy", "true");
    if (!dialog.open) dialog.showModal();
    let parts;
    try {
      const loaded = await Promise.all(rows.map((row) => load(row.chunk)));
      const cells = rows.map((row, place) => loaded[place][row.id]);
      const above = rows.length > 1 ? `${result} · ${rows.length} cells, one per seed` : result;
      parts = [
        element("p", { class: "result" }, above),
        charts(rows, cells),
        ...rows.map((row, place) => made(row, cells[place], rows.length < 4)),
      ];
    } catch {
      const why = "These details are not there: the page was made anew, or its folder is not " +
        "complete. Reload the page.";
      parts = [element("p", { class: "note", role: "alert" }, why)];
    }
    body.replaceChildren(...parts);
    body.removeAttribute("aria-busy");
    body.scrollTop = 0;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-cells]");
    if (!button) return;
    history.replaceState(null, "", `#cells=${button.dataset.cells.split(" ").map(
      (place) => xmft.cells[place].id).join(",")}`);
    const shown = button.closest("td").innerText.replace(/\s+/g, " ").trim();
    const text = shown.replace(/ \(([\d.]+)\)$/, ", rank $1");
    show(button.dataset.cells.split(" ").map(Number), text);
  });
  document.getElementById("close").addEventListener("click", () => dialog.close());
  // A click beside the dialog is one on the dialog itself, which its content covers.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    history.replaceState(null, "", location.pathname + location.search);
    document.dispatchEvent(new Event("xmft-closed"));
  });

  const wanted = /^#cells=([0-9a-f,]+)$/.exec(location.hash);
  if (wanted) {
    const ids = new Set(wanted[1].split(","));
    const places = xmft.cells.filter((cell) => ids.has(cell.id)).map((cell) => cell.place);
    if (places.length) show(places, "Linked");
  }
})();
