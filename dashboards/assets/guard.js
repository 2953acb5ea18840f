// Who looks: a session that ended asks for its token, a server that began anew is met anew.
"use strict";
(() => {
  const AWAY = 10_000; // after so many ms the plots have given up, too
  let served = null, lost = 0;

  async function ask() {
    const answer = await fetch("/whoami", { headers: { Accept: "application/json" } });
    if (answer.status === 401) location.reload(); // which asks for a token
    return answer.ok ? answer.json() : null;
  }
  async function met() {
    const told = await ask();
    if (!told) return;
    const other = served !== null && served !== told.served;
    if (other || (lost && Date.now() - lost > AWAY)) location.reload();
    served = told.served;
    lost = 0;
  }
  addEventListener("streamproc-state", ({ detail }) => {
    if (detail === "lost") {
      lost = lost || Date.now();
      ask().catch(() => { /* not there: the page goes on trying */ });
    } else if (lost || served === null) {
      met().catch(() => { /* gone again */ });
    }
  });
  const link = document.getElementById("sign-in");
  if (link) link.href = `/login?next=${encodeURIComponent(location.pathname)}`;
})();
