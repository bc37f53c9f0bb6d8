"use strict";
// Colours, and what a page does that is served while a run goes on.
(() => {
  // Storage may be forbidden where a page comes from a disk.
  const kept = (store, key, value) => {
    try {
      if (value === undefined) return window[store].getItem(key);
      window[store].setItem(key, value);
    } catch {
      return null;
    }
    return value;
  };

  const theme = document.getElementById("theme");
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const told = () => theme.setAttribute("aria-pressed", String(dark()));
  const before = kept("localStorage", "xmft-theme");
  if (before === "dark" || before === "light") document.documentElement.dataset.theme = before;
  theme.hidden = false;
  told();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", told);
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    kept("localStorage", "xmft-theme", document.documentElement.dataset.theme);
    told();
  });

  // Only `xmft report --watch` makes pages anew under a reader's eyes.
  if (!["127.0.0.1", "localhost"].includes(location.hostname)) return;
  const version = document.querySelector('meta[name="xmft-version"]').content;
  const dialog = document.getElementById("details");
  const news = document.getElementById("news");
  const filters = kept("sessionStorage", "xmft-filters");
  if (filters && xmft.filters) xmft.filters.set(JSON.parse(filters));
  kept("sessionStorage", "xmft-filters", "");
  const reload = () => {
    if (xmft.filters) kept("sessionStorage", "xmft-filters", JSON.stringify(xmft.filters.get()));
    location.reload();
  };
  let missed = 0;
  const look = async () => {
    try {
      const answer = await fetch("version.txt", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      missed = 0;
      if ((await answer.text()).trim() !== version) {
        if (!dialog.open) return reload();
        news.textContent = "There are newer results.";
        document.addEventListener("xmft-closed", reload, { once: true });
        return;
      }
    } catch {
      missed += 1;
      if (missed === 3) {
        news.textContent = "This page is no longer kept up to date: nothing serves it.";
        return;
      }
    }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
})();
