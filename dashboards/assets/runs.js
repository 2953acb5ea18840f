// The list of runs: asked for once a second while somebody looks at it.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const ICONS = {
    running: "M4 2l10 6-10 6z", paused: "M3 2h4v12H3zM9 2h4v12H9z",
    finished: "M2 8l4 4 8-9-2-1-6 7-3-3z", stopped: "M2 2h12v12H2z",
    interrupted: "M2 2h12v12H2z", gone: "M8 1l7 13H1z",
  };
  const EVERY = 1000;
  let rows = [], skew = 0;
  const lines = new Map();
  window.streamprocRuns = { told: 0 };

  const number = (value, digits = 0) =>
    value === null || value === undefined ? "–"
      : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const moment = (seconds) => (seconds === null ? "–" : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " "));
  function ago(seconds) {
    if (seconds === null) return "–";
    const age = Math.max(0, Date.now() / 1000 - skew - seconds);
    const [size, name] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([s]) => age >= s) || [1, "s"];
    return `${Math.floor(age / size)} ${name} ago`;
  }

  function made(name) {
    const line = document.createElement("tr");
    line.innerHTML = `<td><span class="state"><svg viewBox="0 0 16 16" aria-hidden="true"><path/></svg><span></span></span></td>
      <th scope="row"><a></a></th><td class="n"></td><td class="n"></td><td class="n"></td><td class="n"></td><td></td><td></td>`;
    const link = line.querySelector("a");
    link.textContent = name;
    link.href = `/run/${name.split("/").map(encodeURIComponent).join("/")}/`;
    line.onclick = (event) => { if (event.target !== link) link.click(); };
    return line;
  }
  function fill(line, row) {
    const [state, , done, failed, lost, fps, begun, last] = line.cells;
    const badge = state.firstElementChild;
    badge.className = `state ${row.state}`;
    badge.querySelector("path").setAttribute("d", ICONS[row.state] || ICONS.gone);
    badge.lastElementChild.textContent = row.state[0].toUpperCase() + row.state.slice(1);
    done.textContent = number(row.done);
    failed.textContent = number(row.failed);
    failed.classList.toggle("bad", row.failed > 0);
    lost.textContent = number(row.lost);
    lost.classList.toggle("bad", row.lost > 0);
    fps.textContent = number(row.fps, 1);
    begun.textContent = moment(row.begun);
    last.textContent = ago(row.last);
  }
  function show() {
    const wanted = $("filter").value.trim().toLowerCase();
    const shown = rows.filter((row) => row.name.toLowerCase().includes(wanted));
    const kept = shown.map((row) => {
      if (!lines.has(row.name)) lines.set(row.name, made(row.name));
      const line = lines.get(row.name);
      fill(line, row);
      return line;
    });
    const now = [...$("runs").children];
    // what stays in place keeps the keyboard's focus
    if (now.length !== kept.length || kept.some((line, i) => line !== now[i])) {
      const focused = document.activeElement;
      $("runs").replaceChildren(...kept);
      if (focused && focused.isConnected) focused.focus();
    }
    $("none").hidden = kept.length > 0;
    $("none").textContent = wanted ? "No run of this name." : "No run is in this folder any more.";
    $("on").textContent = number(rows.filter((row) => row.state === "running" || row.state === "paused").length);
    $("all").textContent = number(rows.length);
  }

  async function look() {
    if (!document.hidden) {
      try {
        const answer = await fetch("/runs.json", { headers: { Accept: "application/json" } });
        if (answer.status === 401) { location.reload(); return; }
        if (!answer.ok) throw new Error(String(answer.status));
        const told = await answer.json();
        rows = told.runs;
        skew = Date.now() / 1000 - told.now;
        for (const name of lines.keys()) if (!rows.some((row) => row.name === name)) lines.delete(name);
        $("away").hidden = true;
        show();
        window.streamprocRuns.told++;
      } catch {
        $("away").hidden = false;
      }
    }
    setTimeout(look, EVERY);
  }
  function theme() {
    root.dataset.theme = localStorage.streamprocTheme = root.dataset.theme === "dark" ? "light" : "dark";
  }
  $("theme").onclick = theme;
  $("filter").oninput = show;
  addEventListener("visibilitychange", () => { if (!document.hidden && rows.length) show(); });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === $("filter")) {
      if (event.key === "Escape") { $("filter").value = ""; show(); $("filter").blur(); }
      return;
    }
    if (event.key === "t") theme();
    else if (event.key === "/") { event.preventDefault(); $("filter").focus(); }
  });
  look();
})();
