// The picture's choices, the pixel under the cursor, frames of the past, marked objects.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const page = window.streamproc, { send, say, number, announce } = page;
  const PACE = 150; // ms between two questions of a cursor that rests on moving frames
  const marks = $("marks").getContext("2d");
  const look = { channel: 0, z: null, ends: null, labels: null }, PLAIN = JSON.stringify(look);
  let about = null, newest = -1, pinned = null, cursor = null, asking = false, asked = 0, marking = null, selectedOf = null;
  // frame -> numbers of its objects that are selected
  page.selected = new Map();

  // ask the server for something of the run's past
  page.ask = async (what, given, signal) => {
    const known = Object.entries(given).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const answer = await fetch(`data/${what}?${new URLSearchParams(known)}`, { signal });
    if (!answer.ok) throw new Error(`the page's server answers ${answer.status}`);
    if (answer.headers.get("content-type").startsWith("application/octet")) return answer.arrayBuffer();
    const told = await answer.json();
    if (told.error) throw new Error(told.error);
    return told;
  };
  const chosen = () => ({ channel: look.channel, z: look.z, labels: look.labels });
  // the label image that is outlined
  const outlined = () => look.labels || (about && about.labels && about.labels[0]) || null;

  // --- which frame ------------------------------------------------------------------

  page.show = (frame) => {
    pinned = frame;
    $("follow").setAttribute("aria-pressed", String(frame === null));
    if (frame !== null) $("past").value = frame;
    send({ show: frame });
    announce("pinned", frame);
  };
  page.isFollowing = () => pinned === null;
  const step = (by) => page.show(Math.min(newest, Math.max(0, (pinned === null ? page.frame : pinned) + by)));
  $("past").oninput = () => page.show(Number($("past").value));
  $("follow").onclick = () => page.show(null);
  $("at").onchange = () => {
    const frame = Number($("at").value);
    if ($("at").value !== "" && Number.isInteger(frame) && frame >= 0 && frame <= newest) page.show(frame);
    else say(`there are frames 0 to ${number(newest)}, got ${$("at").value || "nothing"}`);
    $("at").blur();
  };
  addEventListener("keydown", (event) => {
    const busy = event.target.closest("input, select, textarea, dialog, [role=grid], .bk-Figure");
    if (event.ctrlKey || event.metaKey || event.altKey || busy || newest < 0) return;
    const does = {
      ArrowLeft: () => step(event.shiftKey ? -10 : -1), ArrowRight: () => step(event.shiftKey ? 10 : 1),
      Home: () => page.show(0), End: () => page.show(null),
    }[event.key];
    if (does) { event.preventDefault(); does(); }
  });
  addEventListener("told", ({ detail: told }) => {
    newest = told.newest === null ? -1 : told.newest;
    $("past").max = Math.max(0, newest);
    if (pinned === null) $("past").value = Math.max(0, newest);
    if (about === null) learn();
  });
  addEventListener("streamproc-open", () => {
    // who was away wants what it had
    if (JSON.stringify(look) !== PLAIN) send({ look });
    if (pinned !== null) page.show(pinned);
  });
  async function fate(frame) {
    let told = null;
    try { told = await page.ask("frame", { frame }); } catch { return; }
    if (page.frame !== frame || told.state === "done" || told.state === null) return;
    $("frame").textContent = `Frame ${number(frame)} – ${told.state}${told.error ? `: ${told.error}` : ""}`;
  }

  // --- how it is shown --------------------------------------------------------------

  function choose(change) {
    Object.assign(look, change);
    // those who look alike are sent one picture
    if (look.labels === about.labels[0]) look.labels = null;
    send({ look });
    if (pinned !== null) send({ show: pinned });
    $("auto").setAttribute("aria-pressed", String(look.ends === null));
    hover();
  }
  function byHand() {
    const ends = [Number($("black").value), Number($("white").value)];
    if ($("black").value === "" || $("white").value === "" || ends[0] >= ends[1]) {
      say(`black must be below white, got ${$("black").value || "nothing"} and ${$("white").value || "nothing"}`);
      return;
    }
    choose({ ends });
  }
  $("black").onchange = $("white").onchange = byHand;
  $("auto").onclick = () => choose({ ends: null });
  $("channel").onchange = () => choose({ channel: Number($("channel").value) });
  $("plane").onchange = () => choose({ z: $("plane").value === "" ? null : Number($("plane").value) });
  $("outlined").onchange = () => choose({ labels: $("outlined").value || null });
  page.outline = (labels) => {
    if (!labels || outlined() === labels || !about.labels.includes(labels)) return;
    $("outlined").value = labels;
    choose({ labels });
  };
  const options = (select, entries) => select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  page.options = options;
  async function learn() {
    about = {};
    try { about = await page.ask("about", {}); } catch { about = null; return; }
    // a run that has just begun has no tables yet
    const { shape, channels, z } = about.picture;
    if (!shape) { about = null; return; }
    options($("channel"), channels.map((name, i) => [i, name]));
    options($("plane"), [["", "Brightest"], ...Array.from({ length: z }, (_, i) => [i, i])]);
    options($("outlined"), about.labels.map((name) => [name, name]));
    $("channel-of").hidden = channels.length < 2;
    $("plane-of").hidden = z < 2;
    $("objects-of").hidden = about.labels.length < 2;
    page.about = about;
    announce("about", about);
    if (!Object.keys(about.tables).length) setTimeout(() => { about = null; }, 2000);
  }
  function showEnds([black, white]) {
    const whole = about && about.picture && about.picture.dtype && !about.picture.dtype.startsWith("float");
    const text = (value) => (whole ? String(Math.round(value)) : String(Number(value.toPrecision(4))));
    if (document.activeElement !== $("black")) $("black").value = text(black);
    if (document.activeElement !== $("white")) $("white").value = text(white);
  }

  // what stands under the picture takes from its height: it may need another line
  function fit() {
    const under = document.querySelector(".under"), style = document.documentElement.style;
    style.setProperty("--under", "86px");
    const one = under.offsetHeight;
    style.setProperty("--under", `${one}px`);
    style.setProperty("--under", `${Math.max(one, under.offsetHeight)}px`);
  }
  for (const what of ["streamproc-resized", "streamproc-about", "streamproc-view", "resize"]) addEventListener(what, fit);

  // --- the cursor -------------------------------------------------------------------

  // a column's value with its unit
  page.valued = (column, value) => {
    const digits = typeof value === "number" && !Number.isInteger(value) ? 2 : 0;
    const text = value === null ? "–" : typeof value === "number" ? readable(value, digits) : value;
    return column.unit && value !== null ? `${text} ${column.unit}` : text;
  };
  const readable = (value, digits) =>
    value !== 0 && (Math.abs(value) < 0.01 || Math.abs(value) >= 1e9) ? value.toPrecision(4) : number(value, digits);
  const told = (name) => !/^(frame|label|bbox.*|.*centroid.*)$/.test(name);

  async function hover() {
    if (!cursor || asking || !page.about || page.frame < 0) return;
    asking = true;
    const at = cursor, frame = page.frame, [height, width] = about.picture.shape.slice(-2);
    const x = Math.min(width - 1, Math.floor(at.x * width)), y = Math.min(height - 1, Math.floor(at.y * height));
    const names = [page.table, ...Object.keys(about.tables)];
    const table = names.find((name) => name in about.tables && about.tables[name].labels === outlined()) || null;
    asked = performance.now();
    try {
      const found = await page.ask("pixel", { ...chosen(), frame, y, x, table });
      if (cursor) $("cursor").replaceChildren(...lines(frame, x, y, found, table));
    } catch (error) {
      $("cursor").textContent = error.message;
    }
    asking = false;
    // the cursor moved, or the frame is another one: the newest is asked for
    if (cursor && (cursor !== at || page.frame !== frame)) setTimeout(hover, Math.max(0, asked + PACE - performance.now()));
  }
  function lines(frame, x, y, { value, label, row }, table) {
    const line = (text) => Object.assign(document.createElement("div"), { textContent: text });
    const text = value === null ? "" : `  ·  ${typeof value === "number" ? readable(value, Number.isInteger(value) ? 0 : 4) : value}`;
    const first = line(`x ${x}  y ${y}${text}${frame === page.frame ? "" : `  ·  frame ${number(frame)}`}`);
    first.dataset.value = value;
    if (!label) return [first];
    const columns = row ? about.tables[table].columns.filter(({ name }) => told(name)).slice(0, 2) : [];
    const [own, ...more] = columns.map((column) => `${column.name} ${page.valued(column, row[column.name])}`);
    const second = line(`object ${label}${own ? `  ·  ${own}` : ""}`);
    second.dataset.label = label;
    return [first, second, ...more.map(line)];
  }
  const place = (event) => {
    const box = $("stage").getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  };
  $("stage").onpointermove = (event) => {
    cursor = place(event);
    hover();
  };
  $("stage").onpointerleave = () => {
    cursor = null;
    $("cursor").replaceChildren();
  };
  $("stage").onclick = async (event) => {
    if (!page.about || page.frame < 0) return;
    const { x, y } = place(event), frame = page.frame, [height, width] = about.picture.shape.slice(-2);
    try {
      const found = await page.ask("pixel", { ...chosen(), frame, y: Math.floor(y * height), x: Math.floor(x * width) });
      page.select(found.label ? [[frame, found.label]] : [], "picture", outlined());
    } catch (error) {
      say(error.message);
    }
  };

  // --- selected objects -------------------------------------------------------------

  // objects are those of a label image; without one there is nothing to outline
  page.select = (objects, by, labels) => {
    page.selected = new Map();
    page.marked = marking = undefined;
    selectedOf = labels;
    for (const [frame, label] of objects) {
      if (!page.selected.has(frame)) page.selected.set(frame, new Set());
      page.selected.get(frame).add(label);
    }
    // they are looked at: the picture stays with them
    if (page.selected.size) {
      const frame = page.selected.has(page.frame) ? page.frame : page.selected.keys().next().value;
      if (pinned !== frame) page.show(frame);
    }
    announce("selected", by);
    mark();
  };
  async function mark() {
    const frame = page.frame, labels = page.selected.get(frame);
    const key = labels && selectedOf ? `${frame}:${selectedOf}:${look.z}:${[...labels].join()}` : null;
    if (key === marking || marking === `rings ${frame}`) return;
    marking = key;
    if (key === null) {
      marks.clearRect(0, 0, $("marks").width, $("marks").height);
      page.marked = null;
      return;
    }
    try {
      const packed = await page.ask("mask", { ...chosen(), labels: selectedOf, frame, marked: [...labels].slice(0, 5000).join() });
      const [height, width] = new Uint32Array(packed.slice(0, 8));
      const stream = new Blob([packed.slice(8)]).stream().pipeThrough(new DecompressionStream("deflate"));
      const mask = new Uint8Array(await new Response(stream).arrayBuffer());
      if (marking === key) outline(mask, width, height);
    } catch (error) {
      if (marking === key) marking = null;
      say(error.message);
    }
  }
  // white, on both sides of the border; a dark rim lets it be seen on bright ground
  function outline(mask, width, height) {
    $("marks").width = width;
    $("marks").height = height;
    const pixels = new ImageData(width, height), words = new Uint32Array(pixels.data.buffer);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const i = y * width + x, own = mask[i];
        if ((x && mask[i - 1] !== own) || (x < width - 1 && mask[i + 1] !== own)
          || (y && mask[i - width] !== own) || (y < height - 1 && mask[i + width] !== own)) {
          words[i] = 0xffffffff;
          for (const [dy, dx] of [[0, 1], [0, -1], [1, 0], [-1, 0]]) {
            const near = i + dy * width + dx, inside = x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height;
            if (inside && !words[near] && !mask[near]) words[near] = 0xc0000000;
          }
        }
      }
    }
    marks.putImageData(pixels, 0, 0);
    page.marked = page.frame;
  }
  // a ring around each place, given in the frame's pixels
  page.ring = (places) => {
    const { width, height } = $("image"), [tall, wide] = page.about.picture.shape.slice(-2);
    $("marks").width = width;
    $("marks").height = height;
    const radius = Math.max(6, Math.max(width, height) / 70);
    for (const [colour, thick] of [["#000a", 4], ["#fff", 2]]) {
      marks.strokeStyle = colour;
      marks.lineWidth = thick;
      for (const [y, x] of places) {
        marks.beginPath();
        marks.arc((x + 0.5) / wide * width, (y + 0.5) / tall * height, radius, 0, 2 * Math.PI);
        marks.stroke();
      }
    }
    page.marked = page.frame;
    marking = `rings ${page.frame}`; // another frame's are others
  };
  addEventListener("streamproc-drawn", ({ detail: frame }) => {
    if (document.activeElement !== $("at")) $("at").value = frame;
    showEnds(page.ends);
    if (pinned !== null) fate(frame);
    mark();
    if (cursor && performance.now() - asked >= PACE) hover();
  });

  // --- export -----------------------------------------------------------------------

  page.save = (canvas, name) => canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  $("save-picture").onclick = () => {
    const { width, height } = $("image");
    const grown = Math.max(1, Math.floor(1024 / Math.max(width, height)));
    const canvas = document.createElement("canvas"), drawing = canvas.getContext("2d");
    canvas.width = width * grown;
    canvas.height = height * grown;
    drawing.imageSmoothingEnabled = false;
    const opacity = { image: 1, labels: Number($("opacity").value), marks: 1 };
    for (const [name, alpha] of Object.entries(opacity)) {
      drawing.globalAlpha = alpha;
      drawing.drawImage($(name), 0, 0, canvas.width, canvas.height);
    }
    scaleBar(drawing, canvas);
    page.save(canvas, `frame-${page.frame}.png`);
  };
  function scaleBar(drawing, { width, height }) {
    if ($("scale").hidden) return;
    const [bar, text] = $("scale").children, size = Math.round(width / 40), margin = size;
    const length = bar.clientWidth / $("stage").clientWidth * width;
    drawing.fillStyle = "#000a";
    drawing.font = `${size}px sans-serif`;
    drawing.textBaseline = "middle";
    drawing.fillRect(margin / 2, height - 2.2 * size, length + 3 * margin + drawing.measureText(text.textContent).width, 1.7 * size);
    drawing.fillStyle = "#fff";
    drawing.fillRect(margin, height - 1.5 * size, length, Math.max(2, size / 4));
    drawing.fillText(text.textContent, 2 * margin + length, height - 1.35 * size);
  }
})();
