"use strict";
// One chart: a figure with its title, a summary in words, the plot, the values at the cursor, and a table of its data.

/** Colours that stay apart for the colour-blind, on light and on dark. */
const COLORS = {
  light: ["#0068b3", "#c44e00", "#00805f", "#a3428a", "#8a6d00", "#1b7f9e", "#5b5bd6", "#6b6b6b"],
  dark: ["#58a9ff", "#ff8f4d", "#35c9a0", "#e48bd0", "#e0bd3d", "#62cbe8", "#a3a3ff", "#b5b5b5"],
};

function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

/** The colour of a run. */
function color(run) {
  const colors = isDark() ? COLORS.dark : COLORS.light;
  return colors[run.place % colors.length];
}

/** A colour with an opacity, as a canvas takes it. */
function faint(hex, opacity) {
  return hex + Math.round(opacity * 255).toString(16).padStart(2, "0");
}

/** The colours of the theme, by their names. To ask the page for one costs more than to draw with it. */
const variables = new Map();

function variable(name) {
  if (!variables.has(name)) variables.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return variables.get(name);
}

/** The charts of the page. */
const charts = [];

/** What one chart tells the others by itself. Zooming goes through `follow`, so that each chart draws once. */
const TOLD = ["mousemove", "mouseleave"];

class Chart {
  /**
   * `options`: `title`, `unit` (formats a value), `isWide`, and `lines(view)`, which returns the lines:
   * `{ run, label, x, y, stroke, width, dash, points, isAhead }` with steps in `x`.
   */
  constructor(options, view) {
    // With whether it is on the screen, and the part that it moves to once it is.
    Object.assign(this, { options, view, logY: false, plot: null, lines: [], isSeen: true, part: null });
    this.summary = make("p", { class: "unseen" });
    this.readout = make("div", { class: "readout" });
    this.log = make("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggleLog() }, "log");
    this.log.title = "Logarithmic vertical axis";
    this.box = make("div", { class: "plot", tabindex: "0", role: "application", "aria-roledescription": "chart",
      "aria-describedby": "keys" });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.data = make("div", {});
    this.details = make("details", { ontoggle: () => this.details.open && this.fillTable() },
      make("summary", {}, "Data"), this.data);
    this.element = make("figure", { class: options.isWide ? "wide" : null },
      make("figcaption", {}, make("h2", {}, options.title), this.log, this.summary),
      this.box, this.readout, this.details);
    new ResizeObserver(() => this.resize()).observe(this.box);
    charts.push(this);
    screenWatch.observe(this.element);
  }

  toggleLog() {
    this.logY = !this.logY;
    this.log.setAttribute("aria-pressed", String(this.logY));
    this.draw();
  }

  height() {
    return this.options.height ?? (this.options.isWide ? 320 : 220);
  }

  resize() {
    const width = Math.floor(this.box.clientWidth);
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: this.height() });
  }

  /** Makes the plot from the data as it is now. The part that is zoomed to is kept. */
  draw() {
    this.plot?.destroy();
    this.lines = this.options.lines(this.view);
    const width = Math.floor(this.box.clientWidth) || 460;
    this.plot = new uPlot(this.plotOptions(width), this.table(), this.box);
    if (shownPart) this.plot.setScale("x", shownPart);
    this.part = null;
    this.say();
    if (this.details.open) this.fillTable();
  }

  /** Shows new data in the same plot. */
  refresh() {
    const lines = this.options.lines(this.view);
    const isSame = this.plot && lines.length === this.lines.length && lines.every((line, place) => line.label === this.lines[place].label);
    if (!isSame) return this.draw();
    this.lines = lines;
    this.setTable();
    this.say();
  }

  /** Gives the plot its table, and keeps the part that is shown. */
  setTable() {
    this.plot.setData(this.table(), !shownPart);
    if (shownPart) this.plot.setScale("x", shownPart);
    this.part = null;
  }

  table() {
    const tables = this.lines.map((line) => placed(line.x, line.y, line.run, this.view, this.logY));
    return withEnds(tables.length ? uPlot.join(tables) : [[]], this.view);
  }

  plotOptions(width) {
    const { view, options } = this;
    const axis = { stroke: () => variable("--muted"), grid: { stroke: () => variable("--grid"), width: 1 },
      ticks: { stroke: () => variable("--grid"), width: 1 }, font: "12px system-ui, sans-serif" };
    return {
      width, height: this.height(),
      legend: { show: false },
      scales: { x: { time: false, distr: view.logX ? 3 : 1 }, y: { distr: this.logY ? 3 : 1 } },
      axes: [
        { ...axis, values: (_, values) => ticks(values), size: 34 },
        { ...axis, values: (_, values) => (options.unit ? ticksOf(options.unit, values) : ticks(values)),
          size: (_, values) => 16 + 7 * Math.max(3, ...(values ?? []).map((text) => String(text ?? "").length)) },
      ],
      series: [{}, ...this.lines.map((line) => ({
        label: line.label, stroke: () => line.stroke(), width: line.width ?? 1.5, dash: line.dash,
        points: { show: line.points ?? false, size: 5, stroke: () => line.stroke(), fill: () => line.stroke() },
      }))],
      cursor: {
        sync: { key: "report", scales: ["x", null], filters: {
          pub: () => true,
          sub: (type) => TOLD.includes(type) && (this.isSeen || type === "mouseleave"),
        } },
        drag: { x: true, y: false },
        dataIdx: (plot, place, closest) => nearest(plot.data[place], closest),
        points: { size: 7 },
      },
      hooks: {
        setCursor: [() => this.read()],
        setScale: [(plot, key) => key === "x" && follow(plot)],
        ready: [(plot) => {
          plot.over.addEventListener("dblclick", () => resetZoom());
          zoomByWheel(plot);
        }],
      },
    };
  }

  /** Moves to a part: now, if this is seen. */
  moveTo(part) {
    this.part = part;
    if (this.isSeen) this.catchUp(); else catchUpSoon();
  }

  /** Moves to where the other charts are. */
  catchUp() {
    const { plot, part } = this;
    if (!plot || !part) return;
    this.part = null;
    // uPlot draws after every call, also if nothing changes.
    if (plot.scales.x.min !== part.min || plot.scales.x.max !== part.max) plot.setScale("x", part);
  }

  /** Shows the values at the cursor, or the last ones. */
  read() {
    const { plot } = this;
    const entries = [];
    const at = plot.cursor.idx;
    this.lines.forEach((line, place) => {
      const values = plot.data[place + 1];
      const index = at === null || at === undefined ? nearest(values, values.length - 1) : plot.cursor.idxs[place + 1];
      if (index === null || index === undefined || values[index] === null || values[index] === undefined) return;
      entries.push({ line, at: plot.data[0][index], value: values[index] });
    });
    const shown = this.options.unit ?? number;
    const here = at === null || at === undefined ? null : plot.data[0][at];
    const where = here === null ? "last" : placeName(this.view, here);
    this.readout.replaceChildren(make("span", { class: "muted" }, where), ...entries.map(({ line, at, value }) => {
      const swatch = make("i", { class: "swatch" });
      swatch.style.background = line.stroke();
      // A line with fewer points has its nearest one.
      const elsewhere = at === here ? null : make("span", { class: "muted" }, `at ${number(Number(at.toPrecision(7)))}`);
      return make("span", {}, swatch, line.label, make("b", {}, shown(value)), elsewhere);
    }));
    return entries.map(({ line, at, value }) => `${line.label} ${shown(value)} at ${placeName(this.view, at)}`);
  }

  /** Says in words what the chart shows. */
  say() {
    const shown = this.options.unit ?? number;
    const sentences = this.lines.filter((line) => !line.isAhead).map(({ label, x, y }) => {
      let first = null, last = null, low = null, high = null;
      for (let place = 0; place < y.length; place++) {
        if (y[place] === null) continue;
        first ??= place;
        last = place;
        if (low === null || y[place] < y[low]) low = place;
        if (high === null || y[place] > y[high]) high = place;
      }
      if (first === null) return `${label}: no numbers`;
      return `${label}: from ${shown(y[first])} to ${shown(y[last])}, lowest ${shown(y[low])} at step ${number(x[low])}, ` +
        `highest ${shown(y[high])} at step ${number(x[high])}`;
    });
    const text = sentences.join(". ");
    this.box.setAttribute("aria-label", this.options.title);
    this.summary.textContent = text;
    this.read();
  }

  key(event) {
    const { plot } = this;
    const x = plot.data[0];
    if (!x.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = plot.cursor.idx ?? x.length - 1;
    const move = { ArrowLeft: at - (event.shiftKey ? 10 : 1), ArrowRight: at + (event.shiftKey ? 10 : 1), Home: 0, End: x.length - 1 };
    if (event.key in move) {
      const place = Math.max(0, Math.min(x.length - 1, move[event.key]));
      plot.setCursor({ left: plot.valToPos(x[place], "x"), top: plot.over.clientHeight / 2 }, true, true);
      document.getElementById("spoken").textContent = this.read().join(", ");
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const { idx } = plot.cursor;
      const at = idx === null || idx === undefined ? plot.over.clientWidth / 2 : plot.valToPos(x[idx], "x");
      zoomBy(plot, event.key === "-" ? 2 : 0.5, at);
    } else if (event.key === "0" || event.key === "Escape") {
      resetZoom();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Writes the values of the lines as a table: at most 200 rows, evenly spread. */
  fillTable() {
    const { lines } = this;
    const all = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
    const stride = Math.max(1, Math.ceil(all.length / 200));
    const rows = all.filter((_, place) => place % stride === 0 || place === all.length - 1);
    const columns = lines.map((line) => new Map(line.x.map((step, place) => [step, line.y[place]])));
    const caption = stride > 1 ? `${this.options.title}, every ${stride}th point` : this.options.title;
    this.data.replaceChildren(table(caption, ["step", ...lines.map((line) => line.label)],
      rows.map((step) => [number(step), ...columns.map((column) => (column.has(step) ? String(column.get(step) ?? "not a number") : ""))])));
  }
}

/** Adds the ends of the horizontal axis, which are the same in all charts, to a table that does not reach them. */
function withEnds([x, ...columns], view) {
  const places = shownRuns().flatMap((run) => {
    const place = placer(run, view.axis);
    const firsts = [...run.curves.values()].map((curve) => curve.x[0] ?? Infinity);
    return [place(Math.min(run.step, ...firsts)), place(Math.max(0, run.step - 1))];
  }).filter((place) => place !== null && (!view.logX || place > 0));
  const [low, high] = [Math.min(...places), Math.max(...places)];
  const isBefore = places.length > 0 && x[0] > low, isAfter = places.length > 0 && x[x.length - 1] < high;
  const widened = (values, first, last) => [...(isBefore ? [first] : []), ...values, ...(isAfter ? [last] : [])];
  if (!isBefore && !isAfter) return [x, ...columns];
  return [widened(x, low, high), ...columns.map((values) => widened(values, undefined, undefined))];
}

/** Returns the place of the value nearest to a place that has one. */
function nearest(values, place) {
  for (let away = 0; away < values.length; away++) {
    if (values[place - away] !== null && values[place - away] !== undefined) return place - away;
    if (values[place + away] !== null && values[place + away] !== undefined) return place + away;
  }
  return null;
}

/** Names a place of the horizontal axis. */
function placeName(view, at) {
  if (view.axis === "time") return `${number(Number(at.toPrecision(4)))} h`;
  return `${view.axis} ${number(at)}`;
}
