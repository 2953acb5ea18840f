// Who looks: a session that ended asks for its token, a server that began anew is met anew.
"use strict";
(() => {
  const AWAY = 10_000, EVERY = 3000; // ms after which the plots have given up, too; between tries
  let lost = 0, asking = null;

  async function ask() {
    const answer = await fetch("/whoami", { headers: { Accept: "application/json" } });
    if (answer.status === 401) location.reload(); // which asks for a token
    return answer.ok ? answer.json() : null;
  }
  async function met() {
    const told = await ask();
    if (!told) return;
    const other = told.served !== document.documentElement.dataset.served;
    if (other || Date.now() - lost > AWAY) location.reload();
    lost = 0;
  }
  addEventListener("streamproc-state", ({ detail }) => {
    const tries = (what) => what().catch(() => { /* not there: it is tried again */ });
    if (detail === "lost") {
      lost = Date.now();
      asking = setInterval(() => tries(ask), EVERY);
      tries(ask);
    } else if (lost) {
      clearInterval(asking);
      tries(met);
    }
  });
  const link = document.getElementById("sign-in");
  if (link) link.href = `/login?next=${encodeURIComponent(location.pathname)}`;
})();
