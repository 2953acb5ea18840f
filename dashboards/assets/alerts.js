// What is wrong with the run, said to everyone until it is right again; and notes.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const MOST = 3; // alerts side by side; what is more is a number
  const WORDS = {
    no_objects: "No objects", loss_rate: "Losses", failed: "Failures", lag_frames: "Behind",
    lag_seconds: "Behind", disk_hours: "Disk", stalled: "Camera stalls",
  };
  // what this viewer has seen: an alert is shown anew when it is raised anew
  const seen = new Set(JSON.parse(sessionStorage.streamprocSeen || "[]"));
  const known = (alert) => `${alert.rule} ${alert.time}`;
  let shown = null, newest = null, timer;

  function dismiss(alerts) {
    alerts.forEach((alert) => seen.add(known(alert)));
    sessionStorage.streamprocSeen = JSON.stringify([...seen].slice(-100));
    show(window.streamproc.told.alerts);
  }

  function line(alert) {
    const part = document.createElement("div"), text = document.createElement("span"), close = document.createElement("button");
    const when = new Date(alert.time * 1000).toISOString().slice(11, 19);
    const rule = document.createElement("b");
    rule.textContent = WORDS[alert.rule] || alert.rule.replace(/^drop/, "Drop");
    text.append(rule, `: ${alert.text}`);
    text.title = `${rule.textContent}: ${alert.text}; since ${when} UTC`;
    close.textContent = "×";
    close.setAttribute("aria-label", `Dismiss: ${rule.textContent}`);
    close.onclick = () => dismiss([alert]);
    part.append(text, close);
    return part;
  }

  function show(alerts) {
    const left = alerts.filter((alert) => !seen.has(known(alert)));
    const now = left.map(known).join();
    if (now === shown) return; // or it would be read out twice a second
    shown = now;
    $("alerts").hidden = !left.length;
    document.documentElement.style.setProperty("--banner", left.length ? "48px" : "0px");
    const parts = left.slice(0, MOST).map(line);
    if (left.length > MOST) {
      const more = document.createElement("button");
      more.textContent = `and ${left.length - MOST} more ×`;
      more.title = left.slice(MOST).map((alert) => `${alert.rule}: ${alert.text}`).join("\n");
      more.onclick = () => dismiss(left.slice(MOST));
      parts.push(more);
    }
    $("alerts").replaceChildren(...parts);
    dispatchEvent(new Event("resize"));
  }

  // a note of anybody is shown to everybody, once
  function marks(events) {
    const notes = events.filter((event) => event.kind === "mark");
    const last = notes.length ? notes[0].time : 0;
    if (newest !== null && last > newest) {
      const { frame, message } = notes[0];
      $("marked").textContent = frame === null ? message : `Frame ${frame.toLocaleString("en")}: ${message}`;
      $("marked").hidden = false;
      clearTimeout(timer);
      timer = setTimeout(() => { $("marked").hidden = true; }, 8000);
    }
    newest = Math.max(newest || 0, last);
  }

  addEventListener("told", ({ detail }) => {
    show(detail.alerts);
    marks(detail.events);
    const going = detail.state === "running" || detail.state === "paused";
    $("mark").disabled = !going || document.documentElement.dataset.role !== "operator";
  });

  const mark = () => {
    if ($("mark").disabled) return;
    $("note-text").value = "";
    $("note").showModal();
  };
  $("mark").onclick = mark;
  $("note-no").onclick = () => $("note").close();
  $("note").querySelector("form").onsubmit = () => {
    const text = $("note-text").value.trim();
    if (text) window.streamproc.send({ mark: text });
  };
  window.streamproc.keys.m = mark;
})();
