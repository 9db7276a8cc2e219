"use strict";
// Zooming: all charts show the same part of the horizontal axis. Those on the screen follow at once, and the others when
// they are seen, or once the page is at rest, so that a frame draws no more than what is looked at.

/** The part that all charts show, unless they show all. */
let shownPart = null;

/** How long the page is at rest before the charts that nobody sees follow, in milliseconds. */
const REST = 250;

/** Notices which charts are on the screen, or almost. */
const screenWatch = new IntersectionObserver((places) => {
  for (const { target, isIntersecting } of places) {
    const chart = charts.find((chart) => chart.element === target);
    if (!chart) continue;
    chart.isSeen = isIntersecting;
    if (isIntersecting) chart.catchUp();
  }
}, { rootMargin: "200px" });

let resting = null;

/** Lets the charts that nobody sees follow once the page is at rest. */
function catchUpSoon() {
  clearTimeout(resting);
  resting = setTimeout(catchUpAll, REST);
}

function catchUpAll() {
  for (const chart of charts) chart.catchUp();
}

/** Moves every chart to where this plot is. */
function follow(plot) {
  if (!plot.data[0].length) return;
  const { min, max } = plot.scales.x;
  const [first, last] = [plot.data[0][0], plot.data[0][plot.data[0].length - 1]];
  if (!(min > first || max < last)) {
    if (shownPart) resetZoom();
  } else if (shownPart?.min !== min || shownPart.max !== max) {
    shownPart = { min, max };
    for (const chart of charts) chart.moveTo(shownPart);
  }
}

/** Forgets the part that is shown, before all charts are drawn again. */
function forgetZoom() {
  shownPart = null;
  for (const chart of charts) chart.part = null;
}

/** Shows all of every chart. */
function resetZoom() {
  forgetZoom();
  for (const chart of charts) chart.plot?.setData(chart.plot.data);
}

/** Shows this share of what is shown, around a place in pixels that stays where it is. */
function zoomBy(plot, share, at) {
  const x = plot.data[0], width = plot.over.clientWidth;
  if (!x.length || !width) return;
  const [first, last] = [x[0], x[x.length - 1]];
  const low = Math.max(first, plot.posToVal(at - at * share, "x"));
  const high = Math.min(last, plot.posToVal(at + (width - at) * share, "x"));
  if (low <= first && high >= last) resetZoom();
  else if (share > 1 || high - low > 1e-7 * (last - first)) plot.setScale("x", { min: low, max: high });
}

/** Zooms around the pointer by Ctrl and the wheel, or by two fingers. The wheel alone scrolls the page. */
function zoomByWheel(plot) {
  let turned = 0;
  plot.over.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const isWaiting = turned !== 0;
    // In pixels, lines or pages.
    turned += event.deltaY * [1, 16, 400][event.deltaMode];
    const at = event.clientX - plot.over.getBoundingClientRect().left;
    if (isWaiting || turned === 0) return;
    // A wheel may turn several times in a frame.
    requestAnimationFrame(() => {
      const share = 2 ** Math.max(-2, Math.min(2, turned / 200));
      turned = 0;
      zoomBy(plot, share, at);
    });
  }, { passive: false });
}
