// What an engineer looks at: figures of steps, stages and workers, and the plan as it runs.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const BESIDE = { "(read)": "read", "(encode)": "encode", "(commit)": "commit", "(worker)": "worker lost" };
  const STAGES = {
    log: "into the raw log", worker: "for a worker", computing: "computing",
    turn: "for its turn", commit: "saving",
  };
  // where a node lies, in units of the drawing
  const WIDE = 168, HIGH = 98, SMALL = 54, LANE = 14, APART = 46, BETWEEN = 34, ROW = 88, EDGE = 26;
  let told = null, drawn = "", size = [0, 0];

  const known = (value) => value !== null && value !== undefined;
  const number = (value, digits = 0) =>
    (!known(value) ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const ms = (value) => number(value, !known(value) || value >= 100 ? 0 : value >= 10 ? 1 : 2);
  const part = (value) => (!known(value) ? "–" : `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %`);
  const plain = (name) => BESIDE[name] || name;
  function bytes(value) {
    if (!known(value)) return "–";
    const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
    return `${number(value / 1000 ** power, power && value / 1000 ** power < 99.5 ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
  }
  function hours(value) {
    if (!known(value)) return "–";
    return value >= 48 ? `${number(value / 24)} d` : value >= 1 ? `${number(value, value < 10 ? 1 : 0)} h` : `${number(value * 60)} min`;
  }

  // --- tables -----------------------------------------------------------------------

  function cell(content, kind = "") {
    const made = document.createElement("td");
    made.className = kind;
    made.append(content);
    return made;
  }
  function bar(value, kind = "") {
    const made = cell("", "bar");
    const line = document.createElement("i"), text = document.createElement("span");
    line.className = kind;
    line.style.setProperty("--part", known(value) ? Math.min(1, value) : 0);
    text.textContent = part(value);
    made.append(line, text);
    return made;
  }
  function fill(id, rows, none) {
    const made = rows.map((cells) => {
      const line = document.createElement("tr");
      line.append(...cells);
      return line;
    });
    if (!rows.length) {
      const line = document.createElement("tr");
      const only = cell(none, "quiet");
      only.colSpan = 9;
      line.append(only);
      made.push(line);
    }
    $(id).replaceChildren(...made);
  }
  function head(name) {
    const made = document.createElement("th");
    made.scope = "row";
    made.textContent = made.title = name;
    return made;
  }

  function steps(work) {
    fill("steps", work.steps.filter((step) => step.frames || step.failed).map((step) => [
      head(plain(step.name)), bar(step.share), cell(ms(step.ms), "n"), cell(ms(step.p50), "n"), cell(ms(step.p99), "n"),
      cell(number(step.frames), "n"), cell(step.failed ? number(step.failed) : "0", step.failed ? "n bad" : "n quiet"),
    ]), "no frame is committed yet");
    $("steps-of").textContent = work.is_on ? "last 512 frames" : "whole run; p50, p99: last 512 frames";
  }
  function stages(work) {
    const most = Math.max(...work.stages.map((stage) => stage.p99 || 0), 1e-9);
    fill("stages", work.stages.map((stage) => {
      const span = cell("", "span"), line = document.createElement("i");
      line.style.setProperty("--p50", (stage.p50 || 0) / most);
      line.style.setProperty("--p99", (stage.p99 || 0) / most);
      span.append(line);
      return [head(STAGES[stage.name] || stage.name), span, cell(ms(stage.p50), "n"), cell(ms(stage.p99), "n")];
    }), "no frame is committed yet");
  }
  function workers(work) {
    fill("workers", work.workers.map((worker) => {
      const busy = worker.state === "busy" && work.is_on;
      const at = busy && known(worker.frame) ? `frame ${number(worker.frame)}` : busy ? "busy" : work.is_on ? "idle" : "ended";
      const late = busy && worker.since > 2 ? `, ${number(worker.since)} s` : "";
      const full = worker.memory && worker.limit ? worker.memory / worker.limit : null;
      return [
        head(worker.threads > 1 ? `${worker.name} ×${worker.threads}` : worker.name),
        cell(at + late, late ? "warn" : busy ? "good" : "quiet"), bar(worker.occupancy),
        full === null ? cell(known(worker.memory) ? bytes(worker.memory) : "shared", known(worker.memory) ? "n" : "n quiet")
          : cell(`${bytes(worker.memory)} of ${bytes(worker.limit)}`, full > 0.85 ? "n bad" : "n"),
        cell(ms(worker.ms), "n"), cell(number(worker.fps, 1), "n"), cell(number(worker.frames), "n"),
      ];
    }), "none yet");
    const flight = work.flight;
    $("workers-of").textContent = `${work.executor} · ${work.ended ? "whole session" : work.is_on ? "last 10 s" : "its last 10 s"} · process ${bytes(work.memory)}`
      + (work.is_on ? ` · in work ${number(flight.frames)} of ${number(flight.most_frames)} frames, ${bytes(flight.bytes)}` : "");
    $("page").hidden = !work.page;
    if (work.page) $("page").href = work.page;
  }

  function sums() {
    const sum = told.done + told.failed + told.skipped + told.pending;
    const holds = sum === told.admitted;
    for (const key of ["admitted", "done", "failed", "skipped", "pending"]) $(`sum-${key}`).textContent = number(told[key]);
    $("sum-holds").textContent = holds ? "✓ adds up" : `≠ ${number(sum)}`;
    $("sum-holds").className = holds ? "good" : "bad";
  }
  function losses(bench) {
    fill("losses", bench.losses.map((loss) => {
      const where = head(loss.place);
      const why = cell(loss.reason, "why");
      why.title = loss.reason;
      return [where, why, cell(loss.frames || loss.gaps === 0 ? number(loss.frames) : "?", "n bad")];
    }), "nothing was lost");
    $("losses-of").textContent = told.lost ? `${number(told.lost)} frames` : "";
  }
  function tiles(bench) {
    const limit = bench.limit;
    $("limit").textContent = limit ? limit.what : "–";
    const going = told.state === "running";
    $("limit-why").textContent = limit ? limit.why : going ? "not known yet" : told.state === "paused" ? "paused" : "the run has ended";
    $("lag").textContent = number(bench.lag.frames);
    $("lag-bytes").textContent = bytes(bench.lag.bytes);
    const disk = bench.disk;
    $("disk-rate").textContent = known(disk.rate) ? bytes(disk.rate) : "–";
    const saved = `saved ${bytes(disk.written)}`;
    $("disk-said").textContent = known(disk.hours) ? `${hours(disk.hours)} left of ${bytes(disk.free)}, ${saved}` : `${saved}, ${bytes(disk.free)} free`;
    $("tile-disk").classList.toggle("bad", known(disk.hours) && disk.hours < 1);
  }

  // --- the plan ---------------------------------------------------------------------

  function nodes(work) {
    const saved = {};
    for (const output of work.graph.outputs) (saved[output.step] ||= []).push(output);
    const found = work.graph.steps.map((step) => ({
      name: step.name, inputs: step.inputs, level: step.role === "ordered" || step.name !== "source" ? step.level : null,
      joined: step.joined, role: step.role,
      said: step.name === "source" ? work.graph.source.source : step.operator === step.name ? step.kind : step.operator,
      of: step.name === "source" ? "(read)" : step.name, saved: saved[step.name] || [],
    }));
    const outputs = work.graph.outputs;
    found.push({
      name: "save", inputs: [...new Set(outputs.map((output) => output.step))], level: null, joined: null, role: "save",
      said: "encode, then commit", of: null, saved: [],
    });
    for (const [i, sink] of work.graph.sinks.entries()) {
      found.push({
        name: `sink ${i}`, title: sink.name, inputs: ["save"], level: null, joined: null, role: "sink",
        said: sink.tables === null ? "all tables" : sink.tables.join(", ") || "frames", of: null, saved: [],
      });
    }
    if (!outputs.length) found.find((node) => node.role === "save").inputs = [found.at(-1 - work.graph.sinks.length - 1).name];
    return found;
  }

  // layers from left to right; an edge over several of them gets a place in each
  function layered(all) {
    const depth = new Map();
    for (const node of all) {
      const above = Math.max(-1, ...node.inputs.map((name) => depth.get(name) ?? -1));
      depth.set(node.name, above + 1);
    }
    const last = Math.max(...all.filter((node) => node.role !== "sink").map((node) => depth.get(node.name)));
    depth.set("save", last);
    for (const node of all) if (node.role === "sink") depth.set(node.name, last + 1);
    const layers = Array.from({ length: Math.max(...depth.values()) + 1 }, () => []);
    const edges = [];
    for (const node of all) {
      const place = { node, key: node.name, high: { sink: SMALL, save: HIGH + 18 }[node.role] || HIGH, from: [] };
      layers[depth.get(node.name)].push(place);
    }
    const at = new Map(layers.flat().map((place) => [place.key, place]));
    for (const node of all) {
      for (const name of new Set(node.inputs)) {
        let before = at.get(name);
        for (let d = depth.get(name) + 1; d < depth.get(node.name); d++) {
          const key = `${name} ${d}`; // shared by all that go on from here
          let lane = at.get(key);
          if (!lane) {
            lane = { node: null, key, high: LANE, from: [before] };
            layers[d].push(lane);
            at.set(key, lane);
            edges.push([before, lane]);
          }
          before = lane;
        }
        at.get(node.name).from.push(before);
        edges.push([before, at.get(node.name)]);
      }
    }
    for (const layer of layers.slice(1)) {
      const before = new Map(layers[layers.indexOf(layer) - 1].map((place, i) => [place, i]));
      const middle = (place) => place.from.reduce((sum, from) => sum + (before.get(from) ?? 0), 0) / (place.from.length || 1);
      layer.sort((a, b) => middle(a) - middle(b) || Number(!a.node) - Number(!b.node));
    }
    return { layers, edges };
  }

  // as many rows as let the drawing be largest
  function placed({ layers }, width, height) {
    let best = null;
    for (let rows = 1; rows <= Math.min(4, layers.length); rows++) {
      const each = Math.ceil(layers.length / rows);
      const highs = [], middles = [];
      for (let row = 0; row * each < layers.length; row++) {
        const tall = layers.slice(row * each, (row + 1) * each).map((layer) => high(layer));
        highs.push(Math.max(...tall));
      }
      const wide = 2 * EDGE + each * (WIDE + APART) - APART + (rows > 1 ? 2 * EDGE : 0);
      const tall = 2 * EDGE + highs.reduce((sum, one) => sum + one, 0) + (highs.length - 1) * ROW + 18;
      const scale = Math.min(width / wide, height / tall, 2.2);
      if (!best || scale > best.scale * 1.02) best = { scale, each, highs, wide, tall, rows: highs.length, middles };
    }
    layers.forEach((layer, d) => {
      const row = Math.floor(d / best.each);
      const top = EDGE + 18 + best.highs.slice(0, row).reduce((sum, one) => sum + one + ROW, 0);
      let y = top + (best.highs[row] - high(layer)) / 2;
      for (const place of layer) {
        Object.assign(place, { x: EDGE + (best.rows > 1 ? EDGE : 0) + (d % best.each) * (WIDE + APART), y, row, foot: top + best.highs[row] });
        y += place.high + BETWEEN;
      }
    });
    return best;
  }
  const high = (layer) => layer.reduce((sum, place) => sum + place.high + BETWEEN, -BETWEEN);

  function svg(name, values, ...inside) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  }
  function text(x, y, content, kind) {
    return svg("text", { x, y, class: kind }, content);
  }
  function short(content, most) {
    return content.length > most ? `${content.slice(0, most - 1)}…` : content;
  }

  function edge([a, b], turn) {
    const x1 = a.node ? a.x + WIDE : a.x, y1 = a.y + a.high / 2, x2 = b.x, y2 = b.y + b.high / 2;
    const on = b.node ? "" : ` H${b.x + WIDE}`;
    const start = a.node ? `M${x1} ${y1}` : `M${a.x + WIDE} ${y1}`;
    const from = a.node ? x1 : a.x + WIDE;
    if (a.row === b.row) {
      const half = APART / 2;
      return `${start} C${from + half} ${y1} ${x2 - half} ${y2} ${x2} ${y2}${on}`;
    }
    // to the next row: each on a line of its own, between the rows
    const side = 17 + 4 * (turn % 7), gutter = a.foot + 20 + 5 * (turn % 7);
    return `${start} H${from + side} V${gutter} H${x2 - side} V${y2} H${x2}${on}`;
  }

  function boxes(layers) {
    const found = [];
    const groups = new Map();
    const join = (key, kind, label, place) => {
      if (!groups.has(key)) groups.set(key, { kind, label, places: [] });
      groups.get(key).places.push(place);
    };
    for (const place of layers.flat()) {
      const node = place.node;
      if (!node || node.level === null) continue;
      const ordered = node.level % 2;
      join(`${node.level} ${place.row}`, ordered ? "ordered" : "stage", ordered ? "in frame order" : "one task of a worker", place);
      if (node.joined !== null) join(`joined ${node.joined} ${place.row}`, "joined", "pixel-wise, together", place);
    }
    for (const { kind, label, places } of groups.values()) {
      if (kind === "joined" && places.length < 2) continue;
      const pad = kind === "joined" ? 6 : 13;
      const x = Math.min(...places.map((p) => p.x)) - pad, right = Math.max(...places.map((p) => p.x + WIDE)) + pad;
      const y = Math.min(...places.map((p) => p.y)) - pad, foot = Math.max(...places.map((p) => p.y + p.high)) + pad;
      found.push(svg("g", { class: `group ${kind}` },
        svg("rect", { x, y, width: right - x, height: foot - y, rx: 14 }),
        text(kind === "joined" ? right - 6 : x + 6, kind === "joined" ? foot + 20 : y - 5, label, kind === "joined" ? "caption end" : "caption")));
    }
    return found;
  }

  function draw(work) {
    const all = nodes(work);
    const room = $("graph").getBoundingClientRect();
    const layout = layered(all);
    const best = placed(layout, room.width - 4, room.height - 4);
    const scale = Math.max(best.scale, 0.72);
    const canvas = svg("svg", {
      viewBox: `0 0 ${best.wide} ${best.tall}`, width: best.wide * scale, height: best.tall * scale, role: "group",
      "aria-label": "The plan as it runs",
    });
    canvas.append(...boxes(layout.layers));
    const turns = [...new Set(layout.edges.filter(([a, b]) => a.row !== b.row).map(([a]) => a))];
    canvas.append(svg("g", { class: "edges" }, ...layout.edges.map((one) => svg("path", { d: edge(one, turns.indexOf(one[0])) }))));
    for (const { node, x, y, high: tall } of layout.layers.flat().filter((place) => place.node)) {
      canvas.append(svg("g", { class: `node ${node.role}`, "data-node": node.name, transform: `translate(${x} ${y})`, tabindex: 0, role: "img" },
        svg("title", {}), svg("rect", { class: "box", width: WIDE, height: tall, rx: 10 }),
        text(12, 23, short(node.title || node.name, 19), "name"),
        text(12, 41, short(node.said, 24), "said"),
        svg("rect", { class: "track", x: 12, y: 50, width: WIDE - 24, height: 6, rx: 3 }),
        svg("rect", { class: "share", x: 12, y: 50, width: 0, height: 6, rx: 3 }),
        text(12, 74, "", "figures"), text(WIDE - 12, 74, "", "figures end"), text(12, tall - 8, "", "count"),
        ...(node.role === "save" ? [text(12, 90, "commit", "said"), text(WIDE - 12, 90, "", "said end more")] : []),
        text(WIDE - 12, tall - 8, "", "count end good")));
    }
    $("graph").replaceChildren(canvas);
  }

  function figures(work) {
    const steps = Object.fromEntries(work.steps.map((step) => [step.name, step]));
    for (const node of nodes(work)) {
      const made = document.querySelector(`[data-node="${node.name}"]`);
      if (!made) continue;
      const write = (selector, content) => { const at = made.querySelector(selector); if (at.textContent !== content) at.textContent = content; };
      let share = null, left = "", right = "", count = "", failed = 0;
      if (node.role === "save") {
        const encode = steps["(encode)"], commit = steps["(commit)"];
        share = encode?.share ?? null;
        left = part(share);
        right = `${ms(encode?.ms)} ms`;
        count = `${number(commit?.frames ?? 0)} frames`;
        write(".more", `${ms(commit?.ms)} ms`);
        failed = (encode?.failed || 0) + (commit?.failed || 0);
        if (failed) count = `${number(failed)} failed`;
      } else if (node.role !== "sink") {
        const step = steps[node.of]; // none before the first frame
        share = step?.share ?? null;
        left = part(share);
        right = `${ms(step?.ms)} ms`;
        count = `${number(step?.frames ?? 0)} frames`;
        failed = step?.failed || 0;
        if (failed) count = `${number(failed)} of ${number(step.frames + failed)} failed`;
      }
      made.querySelector(".share").setAttribute("width", (WIDE - 24) * Math.min(1, share || 0));
      made.querySelector(".track").style.visibility = node.role === "sink" ? "hidden" : "";
      write(".figures", left);
      write(".figures.end", right);
      write(".count", count);
      write(".count.end", node.saved.length && !failed ? "saved" : "");
      made.classList.toggle("failed", failed > 0);
      made.classList.toggle("hot", share !== null && share >= 0.4);
      write("title", node.role === "sink" ? `${node.title}: is handed ${node.said}`
        : `${node.name} (${node.said}): ${left} of computing, ${right} per frame, ${count}${node.saved.length ? `, saved as ${node.saved.map((output) => output.name).join(", ")}` : ""}`);
      made.setAttribute("aria-label", made.querySelector("title").textContent);
    }
    $("graph-of").textContent = work.is_on ? "share of computing, ms per frame: last 512 frames" : "share of computing, ms per frame: whole run";
  }

  function graph(work) {
    if (document.documentElement.dataset.view !== "graph") return;
    if (!work) return;
    const room = $("graph").getBoundingClientRect();
    const now = JSON.stringify(work.graph);
    if (now !== drawn || Math.abs(room.width - size[0]) > 2 || Math.abs(room.height - size[1]) > 2) {
      drawn = now;
      size = [room.width, room.height];
      draw(work);
    }
    figures(work);
  }

  function show() {
    if (!told) return;
    const bench = told.bench, work = bench.work;
    tiles(bench);
    sums();
    losses(bench);
    $("graph-none").hidden = Boolean(work);
    if (work) {
      steps(work);
      stages(work);
      workers(work);
    }
    graph(work);
  }
  addEventListener("told", (event) => { told = event.detail; show(); });
  addEventListener("resize", () => graph(told && told.bench.work));
})();
