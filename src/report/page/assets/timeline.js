"use strict";
// The time line: checkpoints as marks, and the beginnings, kills, changes and ends of processes, one lane for each run.

/** The kinds of events: their sign, and their name. Checkpoints are ticks below the signs. */
const KINDS = {
  deleted: { name: "deleted checkpoint" },
  checkpoint: { name: "checkpoint" },
  begin: { sign: "▶", name: "begin" },
  resume: { sign: "▷", name: "continued" },
  change: { sign: "◆", name: "changed" },
  stop: { sign: "■", name: "stopped" },
  finish: { sign: "●", name: "finished" },
  kill: { sign: "✕", name: "killed", isBad: true },
  fail: { sign: "✖", name: "failed", isBad: true },
};

class Timeline extends Chart {
  constructor(view) {
    super({ title: "Time line", isWide: true, lines: () => [] }, view);
    this.log.remove();
    this.legend = make("p", { class: "signs" });
    this.summary.replaceWith(this.legend);
  }

  /** The events of the runs that are drawn, with their places. */
  events() {
    return shownRuns().flatMap((run, lane) => {
      const place = placer(run, this.view.axis);
      return run.events.map((event) => ({ ...event, run, lane, at: place(event.step - (this.view.axis === "step" ? 0 : 1)) }))
        .filter(({ at }) => at !== null && (!this.view.logX || at > 0));
    });
  }

  height() {
    return 46 + 44 * Math.max(1, shownRuns().length);
  }

  draw() {
    this.shown = this.events();
    super.draw();
    this.plot.setSize({ width: this.plot.width, height: this.height() });
  }

  refresh() {
    this.shown = this.events();
    this.setTable();
    this.say();
  }

  table() {
    const places = [...new Set(this.shown.map((event) => event.at))].sort((a, b) => a - b);
    return withEnds([places, places.map(() => 0)], this.view);
  }

  plotOptions(width) {
    const options = super.plotOptions(width);
    const lanes = shownRuns();
    return {
      ...options,
      scales: { x: options.scales.x, y: { range: () => [0.5 - lanes.length, 0.5] } },
      axes: [options.axes[0], { ...options.axes[1], show: lanes.length > 1, splits: () => lanes.map((_, lane) => -lane),
        values: () => lanes.map((run) => (run.name.length > 14 ? `${run.name.slice(0, 13)}…` : run.name)), size: 110, grid: { show: false } }],
      series: [{}, { paths: () => null, points: { show: false } }],
      cursor: { ...options.cursor, points: { show: false }, y: false },
      hooks: { ...options.hooks, draw: [(plot) => this.drawSigns(plot)] },
    };
  }

  drawSigns(plot) {
    const { ctx } = plot;
    const ratio = devicePixelRatio;
    const [bad, text] = [variable("--bad"), variable("--text")];
    ctx.save();
    ctx.beginPath();
    ctx.rect(plot.bbox.left - 30 * ratio, plot.bbox.top, plot.bbox.width + 60 * ratio, plot.bbox.height);
    ctx.clip();
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.font = `${14 * ratio}px system-ui, sans-serif`;
    for (const event of this.shown.filter(({ kind }) => !KINDS[kind].sign)) {
      const x = plot.valToPos(event.at, "x", true), y = plot.valToPos(-event.lane, "y", true);
      const isThere = event.kind === "checkpoint";
      ctx.fillStyle = isThere ? color(event.run) : faint(color(event.run), 0.35);
      ctx.fillRect(x - ratio, y + 3 * ratio, (isThere ? 2 : 1) * ratio, (isThere ? 13 : 8) * ratio);
    }
    for (let lane = 0; lane < shownRuns().length; lane++) {
      const y = plot.valToPos(-lane, "y", true) - 8 * ratio;
      const signs = this.shown.filter((event) => event.lane === lane && KINDS[event.kind].sign);
      const at = signs.map((event) => plot.valToPos(event.at, "x", true));
      for (const [place, x] of apart(at, 14 * ratio).entries()) {
        const { sign, isBad } = KINDS[signs[place].kind];
        ctx.fillStyle = isBad ? bad : text;
        ctx.fillText(sign, x, y);
      }
    }
    ctx.restore();
  }

  read() {
    const { plot } = this;
    const at = plot.cursor.idx === null || plot.cursor.idx === undefined ? null : plot.data[0][plot.cursor.idx];
    const here = this.shown.filter((event) => event.at === at);
    const words = here.map((event) => `${runs.length > 1 ? `${event.run.name}: ` : ""}${event.text}${event.time ? `, ${time(event.time)}` : ""}`);
    const hint = at === null ? [make("span", { class: "muted" }, "Point at a sign for its step and time.")] : [];
    this.readout.replaceChildren(...hint, ...here.slice(0, 8).map((event, place) => make("span", {}, swatchOf(event.run), words[place])));
    return words;
  }

  say() {
    const counts = new Map();
    for (const { kind } of this.shown) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const kinds = Object.entries(KINDS).filter(([kind]) => counts.has(kind));
    this.legend.replaceChildren(...kinds.map(([kind, { sign, name, isBad }]) =>
      make("span", { class: isBad ? "bad" : null }, `${sign ?? (kind === "checkpoint" ? "❙" : "╷")} ${name}: ${number(counts.get(kind))}`)));
    this.box.setAttribute("aria-label", `Time line. ${kinds.map(([kind, { name }]) => `${name}: ${counts.get(kind)}`).join(", ")}`);
    this.read();
  }

  fillTable() {
    const rows = this.shown.filter((event) => event.kind !== "deleted");
    this.data.replaceChildren(table("Events", ["step", "run", "event", "time"],
      rows.slice(0, 500).map((event) => [number(event.step), event.run.name, event.text, time(event.time)])));
  }
}

/** Moves rising places apart, so that neighbours have a distance: each group stays around its middle. */
function apart(places, distance) {
  const groups = [];
  for (const place of places) {
    let group = { sum: place, count: 1 };
    const left = ({ sum, count }) => sum / count - ((count - 1) * distance) / 2;
    while (groups.length && left(group) < left(groups.at(-1)) + groups.at(-1).count * distance) {
      const before = groups.pop();
      group = { sum: group.sum + before.sum, count: group.count + before.count };
    }
    groups.push(group);
  }
  return groups.flatMap(({ sum, count }) => Array.from({ length: count }, (_, place) => sum / count + (place - (count - 1) / 2) * distance));
}
