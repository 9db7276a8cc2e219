// A page that follows its runs. `followed` says which, and what the page has seen of them.
(() => {
  /** How long a hidden page stays connected, and how long a lost connection waits, in milliseconds. */
  const HIDDEN = 30000, LOST = 3000;

  /** Curves that are not in the log. */
  const OTHERS = ["steps_per_second", "memory"];

  const badge = make("span", { id: "live", role: "status" });
  let source = null, seen = followed.seen, hiding = null;
  const saved = new Map(), rows = new Map();

  /** Predictions: the runs whose newest ones are to be asked for, and whether their place is on the screen. */
  const unasked = new Set(followed.runs);
  let isSeen = false, isAsking = false;

  function place() {
    const back = followed.has_list ? make("a", { href: "/" }, "← All runs") : null;
    document.querySelector("header").prepend(make("p", { class: "live" }, back, badge));
  }

  /** Says how it stands: with the connection, and with the runs. */
  function tell(problem) {
    const all = [...rows.values()];
    const ended = all.filter((row) => row.state !== "running");
    const states = [...new Set(ended.map((row) => row.state))].join(", ");
    badge.className = problem ? "lost" : ended.length === all.length ? "ended" : "";
    if (problem) badge.textContent = problem;
    else if (!all.length) badge.textContent = "connecting";
    else if (ended.length === all.length) badge.textContent = states;
    else badge.textContent = ended.length ? `${all.length - ended.length} of ${all.length} live; others: ${states}` : "live";
  }

  /** Removes the points from step `from` on. */
  function cut(points, from) {
    while (points.x.length && points.x[points.x.length - 1] >= from) {
      points.x.pop();
      points.y.pop();
    }
  }

  /** Takes the points of the log that are new, and those that were made again. */
  function take(run, { from, curves }) {
    if (from === null) return;
    for (const [name, curve] of run.curves) {
      if (OTHERS.includes(name)) continue;
      cut(curve, from);
      if (curve.means) cut(curve.means, from);
    }
    let isNew = false;
    for (const more of curves.map(readCurve)) {
      const curve = run.curves.get(more.name);
      isNew ||= !curve;
      if (!curve || !curve.x.length) {
        run.curves.set(more.name, more);
        continue;
      }
      for (const [to, points] of [[curve, more], [curve.means, more.means]]) {
        if (to && points) for (const axis of ["x", "y"]) to[axis].push(...points[axis]);
      }
    }
    if (isNew) addCharts();
  }

  function onNews(event) {
    seen = event.lastEventId;
    const news = JSON.parse(event.data);
    const run = runs.find((run) => run.name === news.name);
    if (!run) return;
    take(run, news);
    const { row } = news;
    rows.set(news.id, row);
    update(run.name, { state: row.state, step: row.step, problem: row.problem, written: row.written_at });
    tell();
    const mark = `${row.saved_step} ${row.state}`;
    if (saved.has(news.id) && saved.get(news.id) !== mark) {
      askForRest(news.id, run.name);
      unasked.add(news.id);
      askForPredictions();
    }
    saved.set(news.id, mark);
  }

  /** Asks for what a save has changed: marks, times, speed, the rates ahead. */
  async function askForRest(id, name) {
    const answer = await fetch(`/rest.json?run=${id}`).catch(() => null);
    if (!answer?.ok) return;
    const { curves, ...rest } = await answer.json();
    const run = runs.find((run) => run.name === name);
    for (const curve of curves.map(readCurve)) run.curves.set(curve.name, curve);
    addCharts();
    update(name, rest);
  }

  /** Asks for the predictions of the newest checkpoints, one run after the other, while their place is seen. */
  async function askForPredictions() {
    if (isAsking) return;
    isAsking = true;
    while (isSeen && !document.hidden && unasked.size) {
      const [id] = unasked;
      unasked.delete(id);
      const run = runs[followed.runs.indexOf(id)];
      const asked = fetch(`/predictions.json?run=${id}`).then((answer) => (answer.ok ? answer.json() : null));
      const shown = await asked.catch(() => null);
      if (!shown) continue;
      run.predictions = shown.predictions;
      showPredictionsOf(run);
      // There is a newer checkpoint, and its predictions wait a while, so that the training is left alone.
      if (shown.again_in !== null) setTimeout(() => unasked.add(id) && askForPredictions(), 1000 * shown.again_in);
    }
    isAsking = false;
  }

  /** Shows where the predictions come, and notices when that place is seen. */
  function awaitPredictions() {
    const note = "Made with the newest checkpoint when this is seen …";
    for (const run of runs) run.predictions ??= { review: null, note };
    showPredictions();
    new IntersectionObserver((places) => {
      isSeen = places.at(-1).isIntersecting;
      askForPredictions();
    }).observe(find("outcome"));
  }

  function connect() {
    disconnect();
    const chosen = followed.runs.map((run) => `run=${run}`).join("&");
    source = new EventSource(`/events?${chosen}&seen=${seen}`);
    source.addEventListener("news", onNews);
    source.onopen = () => tell();
    source.onerror = () => {
      tell("not connected; trying again");
      // A browser tries again by itself, unless the server has refused.
      if (source?.readyState === EventSource.CLOSED) setTimeout(connect, LOST);
    };
  }

  function disconnect() {
    source?.close();
    source = null;
  }

  // A page that nobody sees costs nothing after a while, and has everything again when it is seen.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(disconnect, HIDDEN);
    else {
      if (!source) connect();
      askForPredictions();
    }
  });
  place();
  awaitPredictions();
  tell();
  connect();
})();
