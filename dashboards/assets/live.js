// The live picture, the numbers and the controls of the page; the plots are Bokeh's.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  // After Okabe and Ito: apart for every kind of eye. White is for what is selected.
  const COLOURS = [
    [86, 180, 233], [230, 159, 0], [240, 228, 66], [0, 200, 150],
    [255, 122, 60], [222, 140, 190], [178, 164, 255],
  ];
  const PAINT = new Uint32Array(256);
  COLOURS.forEach(([r, g, b], i) => { PAINT[i + 1] = (0xff000000 | (b << 16) | (g << 8) | r) >>> 0; });
  const HEADER = 40; // as dashboards/picture.py packs it
  const ICONS = {
    running: "M4 2l10 6-10 6z", paused: "M3 2h4v12H3zM9 2h4v12H9z",
    finished: "M2 8l4 4 8-9-2-1-6 7-3-3z", stopped: "M2 2h12v12H2z",
    interrupted: "M2 2h12v12H2z", gone: "M8 1l7 13H1z", lost: "M8 1l7 13H1z",
  };
  const WORDS = {
    running: "Running", paused: "Paused", finished: "Finished", stopped: "Stopped",
    interrupted: "Interrupted", gone: "Folder is gone", lost: "No connection",
  };
  const image = $("image").getContext("2d", { alpha: false });
  const labels = $("labels").getContext("2d");
  let socket, pixels, words, shown = null, overlay = "outline";
  let state = "", taken = 0, skew = 0, adjusting = null, retry = 500;
  const send = (request) => { if (socket && socket.readyState === 1) socket.send(JSON.stringify(request)); };
  // what tests, curious people and the other scripts look at; these are told the event
  // "told", and may add to what keys do
  const page = window.streamproc = { drawn: 0, frame: -1, told: null, errors: [], send, keys: {} };
  const announce = (what, detail) => dispatchEvent(new CustomEvent(`streamproc-${what}`, { detail }));
  const number = (value, digits = 0) =>
    value === null || value === undefined ? "–"
      : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

  function paint({ map, width, height }) {
    if (!pixels || pixels.width !== width || pixels.height !== height) {
      pixels = new ImageData(width, height);
      words = new Uint32Array(pixels.data.buffer);
      $("labels").width = width;
      $("labels").height = height;
    }
    words.fill(0);
    if (overlay === "fill") {
      for (let i = 0; i < map.length; i++) words[i] = PAINT[map[i]];
    } else if (overlay === "outline") {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const i = y * width + x, own = map[i];
          if (own && ((x && map[i - 1] !== own) || (x < width - 1 && map[i + 1] !== own)
            || (y && map[i - width] !== own) || (y < height - 1 && map[i + width] !== own))) {
            words[i] = PAINT[own];
          }
        }
      }
    }
    labels.putImageData(pixels, 0, 0);
  }

  // runs of one colour along the rows: all lengths, then all colours
  function unpack(buffer, start, runs, pixels) {
    const lengths = new Uint16Array(buffer.slice(start, start + 2 * runs));
    const colours = new Uint8Array(buffer, start + 2 * runs, runs);
    const map = new Uint8Array(pixels);
    for (let i = 0, at = 0; i < runs; at += lengths[i++]) {
      if (colours[i]) map.fill(colours[i], at, at + lengths[i]);
    }
    return map;
  }

  async function draw(buffer) {
    const view = new DataView(buffer);
    const frame = view.getUint32(4, true), width = view.getUint32(8, true), height = view.getUint32(12, true);
    const jpeg = view.getUint32(16, true), runs = view.getUint32(20, true);
    const bitmap = await createImageBitmap(new Blob([new Uint8Array(buffer, HEADER, jpeg)], { type: "image/jpeg" }));
    const map = unpack(buffer, HEADER + jpeg, runs, width * height);
    if ($("image").width !== width || $("image").height !== height) {
      $("image").width = width;
      $("image").height = height;
      root.style.setProperty("--ratio", width / height);
      announce("resized");
    }
    image.drawImage(bitmap, 0, 0);
    bitmap.close();
    shown = { map, width, height };
    paint(shown);
    await new Promise((drawn) => (document.hidden ? setTimeout(drawn, 250) : requestAnimationFrame(drawn)));
    taken = view.getFloat64(24, true);
    $("frame").textContent = `Frame ${number(frame)}`;
    page.drawn++;
    page.frame = frame;
    page.ends = [view.getFloat32(32, true), view.getFloat32(36, true)];
    send({ drawn: frame });
    announce("drawn", frame);
  }

  // a bar of 1, 2 or 5 times a power of ten, about a sixth of the picture
  function scale(field) {
    $("scale").hidden = !field;
    if (!field) return;
    const power = 10 ** Math.floor(Math.log10(field / 6));
    const length = [5, 2, 1].map((n) => n * power).find((n) => n <= field / 6);
    const bar = $("scale").firstElementChild;
    bar.style.width = `${(length / field) * $("stage").clientWidth}px`;
    bar.nextElementSibling.textContent = `${length.toLocaleString("en")} µm`;
  }

  function become(next) {
    if (next === state) return;
    state = next;
    announce("state", next);
    $("state").className = `state ${next}`;
    $("state-text").textContent = WORDS[next] || next;
    $("state-icon").setAttribute("d", ICONS[next] || ICONS.lost);
    const going = next === "running" || next === "paused";
    const controls = root.dataset.role === "operator";
    $("veil").hidden = next === "running" || next === "finished";
    $("veil").firstElementChild.textContent = WORDS[next] || next;
    for (const id of ["pause", "drain", "stop"]) $(id).disabled = !(going && controls);
    $("pause").firstChild.textContent = next === "paused" ? "Resume " : "Pause ";
  }

  function tell(told) {
    send({ heard: true });
    page.told = told;
    skew = Date.now() / 1000 - told.now;
    become(told.state);
    for (const key of ["done", "pending", "viewers", "admitted", "lost", "failed", "skipped"]) {
      $(key).textContent = number(told[key]);
    }
    $("lost-minute").textContent = number(told.lost_minute);
    $("objects").textContent = told.objects === null ? "–" : number(told.objects, told.objects % 1 ? 1 : 0);
    $("area").textContent = number(told.area);
    $("fps").textContent = number(told.fps, 1);
    $("p50").textContent = number(told.p50);
    $("p99").textContent = number(told.p99);
    $("tile-lost").className = told.lost_minute || told.failed ? "tile bad" : "tile";
    if (told.no_picture && !page.drawn) $("frame").textContent = told.no_picture;
    scale(told.field_um);
    parameters(told);
    $("events").replaceChildren(...told.events.map((event) => {
      const line = document.createElement("li");
      line.className = event.level;
      const when = new Date(event.time * 1000).toISOString().slice(11, 19);
      line.textContent = `${when}  ${event.kind}: ${event.message}`;
      return line;
    }));
    dispatchEvent(new CustomEvent("told", { detail: told }));
    document.title = `${state === "running" ? "" : (WORDS[state] || state) + " – "}${$("objects").textContent} objects – streamproc`;
  }

  function parameters(told) {
    const box = $("parameters");
    const fixed = (name) => Number(!told.adjustable.includes(name));
    const names = Object.keys(told.parameters).sort((a, b) => fixed(a) - fixed(b));
    if (box.dataset.names !== names.join()) {
      box.dataset.names = names.join();
      box.replaceChildren(...names.map((name) => {
        const line = document.createElement("label"), input = document.createElement("input");
        line.append(name, input);
        input.dataset.name = name;
        input.disabled = !told.adjustable.includes(name) || root.dataset.role !== "operator";
        input.title = !told.adjustable.includes(name) ? "not listed under adjustable"
          : input.disabled ? "needs the operator’s token" : "from the next frame on, for everyone";
        input.onfocus = () => { adjusting = name; };
        input.onblur = () => { adjusting = null; };
        input.onchange = () => {
          let value = input.value;
          try { value = JSON.parse(value); } catch { /* a word */ }
          send({ set: name, value });
          input.blur();
        };
        return line;
      }));
    }
    for (const input of box.querySelectorAll("input")) {
      if (input.dataset.name !== adjusting) {
        const value = told.parameters[input.dataset.name];
        input.value = typeof value === "string" ? value : JSON.stringify(value);
      }
    }
  }

  function say(text) {
    page.errors.push(text);
    $("said").textContent = text;
    $("said").hidden = false;
    setTimeout(() => { $("said").hidden = true; }, 8000);
  }

  function connect() {
    const at = new URL("live", location.href);
    at.protocol = location.protocol === "https:" ? "wss" : "ws";
    at.search = at.hash = "";
    socket = new WebSocket(at);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      retry = 500;
      announce("open");
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") { draw(data); return; }
      const told = JSON.parse(data);
      if (told.type === "stats") tell(told);
      else if (told.type === "error") say(told.message);
    };
    socket.onclose = () => {
      become("lost");
      setTimeout(connect, retry);
      retry = Math.min(2 * retry, 5000);
    };
  }

  // --- what people do ---------------------------------------------------------------

  function ask(title, text, verb) {
    $("sure-title").textContent = title;
    $("sure-text").textContent = text;
    $("sure-yes").textContent = title.replace("?", "");
    $("sure").onclose = () => { if ($("sure").returnValue === "yes") send({ do: verb }); };
    $("sure").returnValue = "no";
    $("sure").showModal();
  }
  const pause = () => { if (!$("pause").disabled) send({ do: state === "paused" ? "resume" : "pause" }); };
  const stop = () => {
    if (!$("stop").disabled) ask("Stop now?", "What is saved stays; frames in work are done by a later resume.", "stop");
  };
  $("pause").onclick = pause;
  $("stop").onclick = stop;
  $("drain").onclick = () => ask("Drain?", "No more frames are taken; those admitted are finished and saved.", "drain");
  for (const choice of document.querySelectorAll("[name=overlay]")) {
    choice.onchange = () => { overlay = choice.value; if (shown) paint(shown); };
  }
  $("opacity").oninput = () => { $("labels").style.opacity = $("opacity").value; };

  // a view is a button of the header, and the parts of the page that style.css shows with it
  const VIEWS = document.querySelectorAll("[id^=view-]");
  function view(name) {
    root.dataset.view = localStorage.streamprocView = name;
    for (const button of VIEWS) button.setAttribute("aria-pressed", String(button.id === `view-${name}`));
    announce("view", name);
    dispatchEvent(new Event("resize"));
  }
  function theme() {
    root.dataset.theme = localStorage.streamprocTheme = root.dataset.theme === "dark" ? "light" : "dark";
    ink();
  }
  // Bokeh draws its numbers itself: in the page's colour, which goes with the theme
  function ink() {
    const colour = getComputedStyle(root).getPropertyValue("--quiet").trim();
    for (const { _all_models: models } of (window.Bokeh && window.Bokeh.documents) || []) {
      for (const axis of models.values()) {
        if (/Axis$/.test(axis.type) && axis.major_label_text_color !== colour) axis.major_label_text_color = colour;
      }
    }
  }
  addEventListener("told", ink);
  for (const button of VIEWS) button.onclick = () => view(button.id.slice(5));
  $("theme").onclick = theme;
  Object.assign(page.keys, { " ": pause, t: theme, S: stop });
  addEventListener("keydown", (event) => {
    const tag = event.target.tagName;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || /INPUT|SELECT|TEXTAREA/.test(tag)) return;
    if (tag === "BUTTON" && (event.key === " " || event.key === "Enter")) return;
    const chosen = [...VIEWS].find((button) => button.getAttribute("aria-keyshortcuts") === event.key);
    const does = chosen ? () => chosen.click() : page.keys[event.key];
    if (does) { event.preventDefault(); does(); }
  });
  setInterval(() => {
    if (!taken) return;
    const seconds = Math.max(0, Date.now() / 1000 - skew - taken / 1000);
    const going = state === "running";
    $("age").textContent = !going ? "" : seconds < 1 ? `${Math.round(seconds * 1000)} ms ago` : `${seconds.toFixed(1)} s ago`;
    $("age").classList.toggle("old", going && seconds > 3);
  }, 200);
  // the other scripts of the page hear what is announced, and use these
  Object.assign(page, { say, number, announce });
  addEventListener("DOMContentLoaded", () => {
    view(root.dataset.view);
    connect();
  });
})();
