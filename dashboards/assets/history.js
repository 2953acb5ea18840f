// Objects of the run: table, scatter and histogram, linked with each other and the picture.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const page = window.streamproc, { say, number } = page;
  const PAGE = 100, PACE = 500; // rows; ms between two looks at frames that go on
  const ask = { sort: "frame", descending: false, offset: 0, filter: "", all: false };
  let columns = [], rows = [], total = null, points = null, plots = null;
  let loading = null, plotting = null, loaded = 0, waiting = null, anchor = 0, cursor = 0;

  const isSeen = () => document.documentElement.dataset.view === "history";
  const plain = (column) => column.kind !== "TEXT";
  const named = (name) => columns.find((column) => column.name === name);
  const titled = (column) => (column.unit ? `${column.name}, ${column.unit}` : column.name);
  const given = () => ({ table: page.table, frame: ask.all ? null : page.frame, filter: ask.filter });
  const labels = () => page.about.tables[page.table].labels;

  // --- what is looked at ------------------------------------------------------------

  function chooseTable(name) {
    page.table = name;
    columns = page.about.tables[name].columns;
    Object.assign(ask, { sort: "frame", descending: false, offset: 0 });
    const numbers = columns.filter(plain).map((column) => column.name);
    const own = numbers.filter((n) => !/^([xyz]|frame|label|bbox.*|.*centroid.*)$/.test(n));
    const first = own[0] || numbers[0], second = own[1] || numbers.find((n) => n !== first) || first;
    for (const [id, value] of [["scatter-x", first], ["scatter-y", second], ["histogram-of", first]]) {
      page.options($(id), numbers.map((name) => [name, name]));
      $(id).value = value;
    }
    page.outline(labels());
    page.select([], "table", labels());
    head();
    reload();
  }
  function learn(about) {
    const names = Object.keys(about.tables);
    page.options($("table"), names.map((name) => [name, name]));
    $("table-of").hidden = names.length < 2;
    if (names.length && !names.includes(page.table)) chooseTable(names[0]);
    else if (!names.length) $("page-of").textContent = "this run saves no table";
  }
  $("table").onchange = () => chooseTable($("table").value);
  function whichFrames(all) {
    ask.all = all;
    ask.offset = 0;
    $("this-frame").setAttribute("aria-pressed", String(!all));
    $("all-frames").setAttribute("aria-pressed", String(all));
    reload();
  }
  $("this-frame").onclick = () => whichFrames(false);
  $("all-frames").onclick = () => whichFrames(true);
  $("sieve").onchange = $("sieve").onsearch = () => {
    if (ask.filter === $("sieve").value) return;
    ask.filter = $("sieve").value;
    ask.offset = 0;
    reload();
  };
  $("page-back").onclick = () => turn(-PAGE);
  $("page-on").onclick = () => turn(PAGE);
  function turn(by) {
    ask.offset = Math.max(0, ask.offset + by);
    load().then(() => { $("scroll").scrollTop = 0; });
  }

  function reload() {
    if (!page.table || !isSeen()) return;
    loaded = performance.now();
    const csv = Object.entries(given()).filter(([, value]) => value !== null && value !== "");
    $("csv").href = `data/csv?${new URLSearchParams(csv)}`;
    load();
    plot();
  }
  // a filter that means nothing is said where it stands, and nothing is shown for it
  function wrong(error) {
    if (error.name === "AbortError") return;
    $("sieve-error").textContent = error.message;
    $("sieve-error").hidden = false;
    $("sieve").setAttribute("aria-invalid", "true");
    rows = [];
    total = null;
    fill();
    $("page-of").textContent = "–";
  }
  async function load(around = null) {
    if (loading) loading.abort();
    const own = loading = new AbortController();
    const question = { ...given(), sort: ask.sort, descending: Number(ask.descending), offset: ask.offset, limit: PAGE, around };
    try {
      const told = await page.ask("rows", question, own.signal);
      if (loading !== own) return null;
      ({ rows, total } = told);
      ask.offset = told.offset;
      $("sieve-error").hidden = true;
      $("sieve").removeAttribute("aria-invalid");
      cursor = anchor = told.found === null ? 0 : told.found;
      fill();
      announced();
      return told;
    } catch (error) {
      wrong(error);
      return null;
    } finally {
      if (loading === own) loading = null;
    }
  }
  function announced() {
    page.listed = { table: page.table, frame: ask.all ? null : page.frame, rows, total, offset: ask.offset };
    const last = ask.offset + rows.length;
    const whole = total === null ? (rows.length < PAGE ? number(last) : "many") : number(total);
    $("page-of").textContent = rows.length ? `${number(ask.offset + 1)}–${number(last)} of ${whole}` : ask.offset ? `– of ${whole}` : "no rows";
    if (total === null && rows.length === PAGE) $("page-of").title = "counting them took too long";
    $("page-back").disabled = ask.offset === 0;
    $("page-on").disabled = total === null ? rows.length < PAGE : last >= total;
  }

  // --- the table --------------------------------------------------------------------

  function head() {
    $("objects-table").tHead.rows[0].replaceChildren(...columns.map((column) => {
      const cell = document.createElement("th"), button = document.createElement("button"), unit = document.createElement("small");
      cell.scope = "col";
      button.append(column.name, " ", unit);
      unit.textContent = column.unit;
      button.title = column.description;
      button.onclick = () => {
        ask.descending = ask.sort === column.name && !ask.descending;
        ask.sort = column.name;
        ask.offset = 0;
        sorted();
        load();
      };
      cell.dataset.name = column.name;
      cell.append(button);
      return cell;
    }));
    sorted();
  }
  function sorted() {
    for (const cell of $("objects-table").tHead.rows[0].cells) {
      const is = cell.dataset.name === ask.sort;
      cell.setAttribute("aria-sort", !is ? "none" : ask.descending ? "descending" : "ascending");
    }
  }
  const place = (name) => columns.findIndex((column) => column.name === name);
  const object = (row) => [row[place("frame")], row[place("label")]];
  const isSelected = ([frame, label]) => page.selected.has(frame) && page.selected.get(frame).has(label);
  const listed = () => [...page.selected].flatMap(([frame, numbers]) => [...numbers].map((label) => [frame, label]));

  function fill() {
    const body = $("objects-table").tBodies[0], focused = body.contains(document.activeElement);
    body.replaceChildren(...rows.map((row, i) => {
      const line = document.createElement("tr");
      line.tabIndex = i === cursor ? 0 : -1;
      line.append(...row.map((value, j) => {
        const cell = document.createElement("td");
        cell.textContent = value === null ? "–" : typeof value !== "number" ? value : Number.isInteger(value) ? value : shortened(value);
        if (plain(columns[j])) cell.className = "number";
        cell.title = value === null ? "no value" : value;
        return cell;
      }));
      return line;
    }));
    highlight();
    if (focused && body.rows[cursor]) body.rows[cursor].focus();
  }
  const shortened = (value) => (Math.abs(value) >= 1e7 || Math.abs(value) < 0.001 ? value.toPrecision(5) : String(Number(value.toFixed(3))));
  function highlight() {
    [...$("objects-table").tBodies[0].rows].forEach((line, i) => {
      line.setAttribute("aria-selected", String(isSelected(object(rows[i]))));
    });
  }
  function pick(i, event) {
    const one = object(rows[i]);
    if (event.shiftKey) {
      page.select(rows.slice(Math.min(anchor, i), Math.max(anchor, i) + 1).map(object), "table", labels());
    } else if (event.ctrlKey || event.metaKey) {
      const others = listed().filter(([f, l]) => f !== one[0] || l !== one[1]);
      page.select(isSelected(one) ? others : [one, ...others], "table", labels());
    } else page.select([one], "table", labels());
    if (!event.shiftKey) anchor = i;
    move(i);
  }
  function move(i) {
    const lines = $("objects-table").tBodies[0].rows;
    if (!lines[i]) return;
    if (lines[cursor]) lines[cursor].tabIndex = -1;
    cursor = i;
    lines[i].tabIndex = 0;
    lines[i].focus({ preventScroll: true });
    reveal(i);
  }
  // below the head, which stays
  function reveal(i) {
    const line = $("objects-table").tBodies[0].rows[i], box = $("scroll");
    if (!line) return;
    const above = $("objects-table").tHead.offsetHeight;
    if (line.offsetTop < box.scrollTop + above) box.scrollTop = line.offsetTop - above;
    const below = line.offsetTop + line.offsetHeight - box.clientHeight;
    if (below > box.scrollTop) box.scrollTop = below;
  }
  $("objects-table").tBodies[0].onclick = (event) => {
    const line = event.target.closest("tr");
    if (line) pick(line.sectionRowIndex, event);
  };
  $("objects-table").tBodies[0].onkeydown = (event) => {
    const to = { ArrowDown: cursor + 1, ArrowUp: cursor - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (event.key === "Escape") page.select([], "table", labels());
    else if (event.key === "PageDown" && !$("page-on").disabled) turn(PAGE);
    else if (event.key === "PageUp" && !$("page-back").disabled) turn(-PAGE);
    else if (to !== undefined && rows[to]) pick(to, event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  $("clear").onclick = () => page.select([], "table", labels());

  // --- the plots --------------------------------------------------------------------

  async function embedded() {
    if (plots === null) {
      plots = page.ask("plots", {}).then(async (items) => {
        const made = {};
        for (const [name, item] of Object.entries(items)) {
          const [view] = (await Bokeh.embed.embed_item(item, name)).roots;
          made[name] = { view, model: view.model, source: view.model.renderers[0].data_source };
        }
        made.scatter.source.selected.properties.indices.change.connect(fromScatter);
        made.histogram.source.selected.properties.indices.change.connect(fromBins);
        return made;
      });
    }
    return plots;
  }
  let quiet = false; // while the page itself selects
  function chosenIn(indices, by) {
    if (quiet || points === null) return;
    page.select(indices.map((i) => [points.frame[i], points.label[i]]), by, labels());
  }
  async function fromScatter() {
    const { scatter } = await plots;
    chosenIn(scatter.source.selected.indices.map((i) => points.of[i]), "scatter");
  }
  async function fromBins() {
    const { histogram } = await plots, { left, right } = histogram.source.data;
    const bins = new Set(histogram.source.selected.indices);
    const within = points.h.flatMap((value, i) => (bins.has(binOf(value, left, right)) ? [i] : []));
    chosenIn(within, "histogram");
  }
  const isNumber = (value) => typeof value === "number";
  function binOf(value, left, right) {
    if (!isNumber(value) || !left.length) return -1;
    const at = Math.floor((value - left[0]) / (right[0] - left[0]));
    return Math.max(0, Math.min(left.length - 1, at));
  }

  async function plot() {
    if (plotting) plotting.abort();
    const own = plotting = new AbortController();
    const [x, y, h] = ["scatter-x", "scatter-y", "histogram-of"].map((id) => $(id).value);
    const names = [...new Set([x, y, h])], frame = page.frame;
    try {
      const made = await embedded();
      const told = await page.ask("points", { ...given(), columns: names.join("\n") }, own.signal);
      if (plotting !== own) return;
      const [xs, ys, hs] = [x, y, h].map((name) => told.values[names.indexOf(name)]);
      const of = told.frame.map((_, i) => i).filter((i) => isNumber(xs[i]) && isNumber(ys[i]));
      points = { frame: told.frame, label: told.label, h: hs, of };
      quiet = true;
      made.scatter.source.selected.indices = [];
      made.scatter.source.data = {
        x: of.map((i) => xs[i]), y: of.map((i) => ys[i]),
        frame: of.map((i) => told.frame[i]), label: of.map((i) => told.label[i]),
      };
      quiet = false;
      made.scatter.model.below[0].axis_label = titled(named(x));
      made.scatter.model.left[0].axis_label = titled(named(y));
      bins(made.histogram, named(h));
      const some = told.known < told.total ? ` · ${number(told.total - told.known)} have no value` : "";
      const sampled = told.frame.length < told.known;
      const text = sampled ? `${number(told.frame.length)} of ${number(told.known)}` : `${number(told.known)} objects`;
      for (const id of ["scatter-of", "histogram-sample"]) {
        $(id).textContent = text + some;
        $(id).title = sampled ? `a sample: ${text} objects${some}` : text + some;
      }
      page.plotted = { x: of.map((i) => xs[i]), y: of.map((i) => ys[i]), total: told.total, frame: ask.all ? null : frame };
      onPlots(made);
    } catch (error) {
      if (error.name === "AbortError") return;
      $("scatter-of").textContent = $("histogram-sample").textContent = "–";
      if ($("sieve-error").hidden) wrong(error);
    } finally {
      if (plotting === own) plotting = null;
    }
  }
  function bins({ source, model }, column) {
    const values = points.h.filter(isNumber);
    const least = values.reduce((a, b) => Math.min(a, b), Infinity), most = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const whole = column.kind === "INTEGER";
    // bins of whole numbers hold equally many of them
    const width = whole ? Math.max(1, Math.ceil((most - least + 1) / 40)) : (most - least) / 40 || 1;
    const first = whole ? least - 0.5 : least;
    const count = values.length ? Math.max(1, whole ? Math.ceil((most - least + 1) / width) : Math.min(40, Math.round((most - least) / width) || 1)) : 0;
    const left = Array.from({ length: count }, (_, i) => first + i * width), right = left.map((edge) => edge + width);
    const top = left.map(() => 0);
    for (const value of values) top[binOf(value, left, right)]++;
    quiet = true;
    source.selected.indices = [];
    source.data = { left, right, top, chosen: left.map(() => 0) };
    quiet = false;
    model.below[0].axis_label = titled(column);
    model.left[0].axis_label = "objects";
  }
  // what is selected is seen in both plots
  function onPlots(made) {
    if (!made || points === null) return;
    const is = points.frame.map((frame, i) => isSelected([frame, points.label[i]]));
    quiet = true;
    made.scatter.source.selected.indices = points.of.flatMap((i, at) => (is[i] ? [at] : []));
    const { left, right, top } = made.histogram.source.data, chosen = left.map(() => 0);
    is.forEach((yes, i) => { if (yes && isNumber(points.h[i])) chosen[binOf(points.h[i], left, right)]++; });
    made.histogram.source.data = { left, right, top, chosen };
    quiet = false;
  }
  for (const id of ["scatter-x", "scatter-y", "histogram-of"]) $(id).onchange = () => plot();

  // --- the picture and time ---------------------------------------------------------

  addEventListener("streamproc-about", ({ detail }) => learn(detail));
  addEventListener("streamproc-view", () => {
    if (isSeen()) reload();
  });
  addEventListener("streamproc-drawn", () => {
    if (isSeen()) spots();
    if (ask.all || !isSeen() || waiting !== null) return;
    if (page.listed && page.listed.frame === page.frame && page.listed.table === page.table) return;
    // frames go on: the last one is looked at
    waiting = setTimeout(() => {
      waiting = null;
      ask.offset = page.isFollowing() ? ask.offset : 0;
      reload();
    }, Math.max(0, page.isFollowing() ? loaded + PACE - performance.now() : 0));
  });
  addEventListener("streamproc-selected", async ({ detail: by }) => {
    const objects = listed(), frames = page.selected.size;
    $("chosen").textContent = objects.length < 2 ? "" : `${number(objects.length)} selected${frames > 1 ? ` in ${number(frames)} frames` : ""}`;
    $("clear").hidden = objects.length === 0;
    highlight();
    if (plots !== null) onPlots(await plots);
    details(objects);
    spots();
    if (by === "picture" && objects.length && isSeen()) find(objects[0]);
  });
  // the page of the table that has an object
  async function find([frame, label]) {
    let at = rows.findIndex((row) => object(row)[0] === frame && object(row)[1] === label);
    if (at < 0) {
      const told = await load(`${frame}:${label}`);
      if (told === null) return;
      if (told.found === null) {
        $("chosen").textContent = `object ${label} is not among these rows`;
        return;
      }
      at = told.found;
    }
    cursor = anchor = at;
    reveal(at);
  }
  async function details(objects) {
    const title = $("object-title"), list = $("object");
    title.textContent = objects.length > 1 ? `${number(objects.length)} objects` : "Object";
    list.replaceChildren();
    $("object-hint").hidden = objects.length > 0;
    if (objects.length !== 1 || !page.table) return;
    const [frame, label] = objects[0];
    title.textContent = `Object ${label} of frame ${number(frame)}`;
    let told = null;
    try {
      told = await page.ask("rows", { table: page.table, frame, filter: `label = ${label}` });
    } catch { return; }
    if (!isSelected([frame, label]) || !told.rows.length) return;
    list.replaceChildren(...columns.flatMap((column, i) => {
      if (column.name === "frame" || column.name === "label") return [];
      const pair = document.createElement("div"), name = document.createElement("dt"), value = document.createElement("dd");
      name.textContent = column.name;
      name.title = column.description;
      value.textContent = page.valued(column, told.rows[0][i]);
      pair.append(name, value);
      return [pair];
    }));
  }
  // objects without a label image are where their columns say
  async function spots() {
    const { frame, selected } = page, numbers = [...(selected.get(frame) || [])];
    const at = page.table && !labels() && ["y", "x"].map(place);
    if (!at || at.includes(-1) || !numbers.length) return;
    try {
      const filter = `label in (${numbers.slice(0, 100).join()})`;
      const told = await page.ask("rows", { table: page.table, frame, filter });
      if (page.selected === selected && page.frame === frame) page.ring(told.rows.map((row) => at.map((i) => row[i])));
    } catch (error) {
      say(error.message);
    }
  }
  // a click on a plot over time shows the frame of that moment
  addEventListener("streamproc-moment", async ({ detail: time }) => {
    try {
      const { frame } = await page.ask("frame", { time });
      if (frame !== null) page.show(frame);
    } catch (error) {
      say(error.message);
    }
  });

  // --- export -----------------------------------------------------------------------

  $("save-plots").onclick = () => {
    const parts = [...document.querySelectorAll(".plots figure, .plots section")].flatMap((part) => {
      const box = part.querySelector(".plot");
      if (!box || !box.clientWidth) return [];
      const view = Bokeh.index.roots.find((root) => box.contains(root.el));
      const caption = part.querySelector("figcaption");
      const title = caption ? caption.firstChild.textContent : part.getAttribute("aria-label");
      return view ? [{ title, canvas: view.export("png", true).canvas, sample: part.querySelector(".sample") }] : [];
    });
    const style = getComputedStyle(document.documentElement), gap = 30 * devicePixelRatio;
    const across = parts.length > 3 ? 3 : parts.length;
    const rowsOf = Array.from({ length: Math.ceil(parts.length / across) }, (_, i) => parts.slice(i * across, (i + 1) * across));
    const canvas = document.createElement("canvas"), drawing = canvas.getContext("2d");
    canvas.width = Math.max(...rowsOf.map((line) => line.reduce((sum, { canvas: c }) => sum + c.width + gap, gap)));
    canvas.height = rowsOf.reduce((sum, line) => sum + Math.max(...line.map(({ canvas: c }) => c.height)) + 2 * gap, gap);
    drawing.fillStyle = style.getPropertyValue("--panel");
    drawing.fillRect(0, 0, canvas.width, canvas.height);
    drawing.fillStyle = style.getPropertyValue("--ink");
    drawing.font = `600 ${15 * devicePixelRatio}px sans-serif`;
    let top = gap;
    for (const line of rowsOf) {
      let left = gap;
      for (const { title, canvas: part, sample } of line) {
        drawing.fillText(`${title.trim()}${sample ? ` (${sample.textContent})` : ""}`, left, top, part.width);
        drawing.drawImage(part, left, top + gap / 3);
        left += part.width + gap;
      }
      top += Math.max(...line.map(({ canvas: c }) => c.height)) + 2 * gap;
    }
    page.save(canvas, "plots.png");
  };
})();
