"use strict";
// Small line charts of what was measured after each epoch.
(() => {
  const { element, number } = xmft;
  const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [340, 170, 62, 26, 10];
  const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
  const COLOURS = 6;

  const finite = (value) => typeof value === "number" && Number.isFinite(value);

  // `lines`: name, epochs and values of each. Returns a figure, null where there is nothing to see.
  xmft.chart = (title, lines) => {
    const points = lines.flatMap((line) =>
      line.values.map((value, place) => [line.epochs[place], value]).filter(([, y]) => finite(y)),
    );
    if (!points.length) return null;
    const log = points.every(([, y]) => y > 0) && spread(points) > 30;
    const scaled = log ? Math.log10 : (value) => value;
    const [x0, x1] = range(points.map(([x]) => x));
    const [y0, y1] = range(points.map(([, y]) => scaled(y)));
    const x = (epoch) => LEFT + ((epoch - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - 8);
    const y = (value) =>
      HEIGHT - BOTTOM - ((scaled(value) - y0) / (y1 - y0 || 1)) * (HEIGHT - BOTTOM - TOP);
    const drawn = lines.map((line, place) => {
      let path = "";
      let pen = "M";
      line.values.forEach((value, at) => {
        if (finite(value)) {
          path += `${pen}${x(line.epochs[at]).toFixed(1)} ${y(value).toFixed(1)}`;
          pen = "L";
        } else pen = "M";
      });
      return element("path", {
        d: path.includes("L") ? path : `${path}h1`,
        class: `line colour-${place % COLOURS}`,
        "stroke-dasharray": DASHES[Math.floor(place / COLOURS) % DASHES.length] || undefined,
      });
    });
    const back = log ? (value) => 10 ** value : (value) => value;
    const axes = [
      element("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - 8}` }),
      label(LEFT - 6, TOP + 8, "end", number(back(y1))),
      label(LEFT - 6, HEIGHT - BOTTOM, "end", number(back(y0))),
      label(LEFT, HEIGHT - 8, "start", number(x0)),
      label(WIDTH - 8, HEIGHT - 8, "end", number(x1)),
      label((LEFT + WIDTH) / 2, HEIGHT - 8, "middle", log ? "epoch (log scale above)" : "epoch"),
    ];
    const said = lines.map((line) => `${line.name}: ${told(line)}`).join("; ");
    const svg = element(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": `${title} by epoch. ${said}`,
      },
      ...axes,
      ...drawn,
    );
    const legend = lines.map((line, place) =>
      element("span", { class: `key colour-${place % COLOURS}` }, line.name),
    );
    return element("figure", { class: "chart" }, element("figcaption", {}, title), svg,
      element("p", { class: "legend", "aria-hidden": "true" }, ...legend));
  };

  const label = (x, y, anchor, text) => element("text", { x, y, "text-anchor": anchor }, text);
  const range = (values) =>
    values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)],
      [Infinity, -Infinity]);
  const spread = (points) => {
    const [low, high] = range(points.map(([, y]) => y));
    return high / low;
  };
  const told = (line) => {
    const values = line.values.filter(finite);
    if (!values.length) return "no finite value";
    const best = range(values);
    return `${number(values[0])} first, ${number(values.at(-1))} last, ` +
      `${number(best[0])} lowest, ${number(best[1])} highest`;
  };
})();
