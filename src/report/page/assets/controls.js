"use strict";
// The controls at the top: smoothing, the horizontal axis, the theme, and which runs are drawn.

const AXES = { step: "step", epoch: "epoch", time: "time in hours" };

const find = (id) => document.getElementById(id);

/** Keeps a choice for the next visit, where the browser allows it. */
function remember(name, value) {
  try {
    localStorage.setItem(`rekindle-${name}`, value);
  } catch {
    // A file may not have a store.
  }
}

function remembered(name) {
  try {
    return localStorage.getItem(`rekindle-${name}`);
  } catch {
    return null;
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  variables.clear();
  find("theme").textContent = theme === "dark" ? "Light" : "Dark";
  find("theme").setAttribute("aria-label", theme === "dark" ? "Use the light theme" : "Use the dark theme");
  for (const swatch of document.querySelectorAll("[data-run]")) {
    const run = runs.find((run) => run.name === swatch.dataset.run);
    if (run) swatch.style.background = color(run);
  }
}

/** A small square in the colour of a run. */
function swatchOf(run) {
  const swatch = make("i", { class: "swatch", "data-run": run.name, "aria-hidden": "true" });
  swatch.style.background = color(run);
  return swatch;
}

const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function themeNow() {
  return remembered("theme") ?? (prefersDark.matches ? "dark" : "light");
}

function changeTheme(theme) {
  setTheme(theme);
  for (const chart of charts) chart.plot?.redraw(false);
  for (const chart of charts) chart.read();
}

function showSmooth() {
  find("smooth-value").textContent = view.smooth === 0 ? "off" : view.smooth.toFixed(2);
}

function showChips() {
  if (runs.length < 2) return find("chips").replaceChildren();
  find("chips").replaceChildren(...runs.map((run) => make("button", {
    type: "button", class: "chip", "aria-pressed": String(!view.hidden.has(run.name)),
    onclick: (event) => {
      const isHidden = view.hidden.delete(run.name);
      if (!isHidden) view.hidden.add(run.name);
      event.currentTarget.setAttribute("aria-pressed", String(isHidden));
      redraw();
    },
  }, swatchOf(run), run.name)));
}

function showControls() {
  find("title").textContent = runs.length === 1 ? runs[0].name : `${runs.length} runs`;
  const facts = runs.length === 1 ? runs[0].facts.map(({ key, value }) => `${key} ${value}`) : [];
  find("subtitle").textContent = facts.join(" · ");
  const axes = Object.keys(AXES).filter((axis) => axis === "step" ||
    runs.some((run) => (axis === "epoch" ? run.steps_per_epoch : run.times.length > 1)));
  find("axis").replaceChildren(...axes.map((axis) => make("option", { value: axis }, AXES[axis])));
  find("axis").onchange = (event) => {
    view.axis = event.target.value;
    forgetZoom();
    redraw();
  };
  find("log-x").onchange = (event) => {
    view.logX = event.target.checked;
    forgetZoom();
    redraw();
  };
  find("smooth").value = view.smooth;
  find("smooth").oninput = (event) => {
    view.smooth = Number(event.target.value);
    showSmooth();
    refreshSoon((chart) => chart.options.isNoisy);
  };
  find("reset").onclick = resetZoom;
  find("theme").onclick = () => {
    const theme = isDark() ? "light" : "dark";
    remember("theme", theme);
    changeTheme(theme);
  };
  showSmooth();
  showChips();
  setTheme(themeNow());
  prefersDark.onchange = () => changeTheme(themeNow());
  // Paper is light.
  window.onbeforeprint = () => {
    catchUpAll();
    changeTheme("light");
  };
  window.onafterprint = () => changeTheme(themeNow());
}
