// The page: signing in, the form, the list of exports, and what is said aloud.

import { Follower } from "./follow.js";
import { hasEnded } from "./job.js";
import { Row, counted, isolated } from "./row.js";
import * as session from "./session.js";
import { fill, start } from "./start.js";

const DRAW_EVERY = 100;
const SAY_AFTER = 800;
/** A connection that is back within this was never worth a word. */
const LOST_AFTER = 3000;
const STEP = 10;
const WIDE = matchMedia("(min-width: 60rem)");
const CONNECTIONS = { connecting: "Connecting", live: "Live", lost: "Connection lost, trying again" };

const by = (id) => document.getElementById(id);
const rows = new Map();
let follower = null;
let shown = STEP;
let isListed = false;
let byToken = document.documentElement.dataset.asks === "token";

// ---- What is said aloud: few words, those that come at once together ----

const saying = [];
let sayingSoon = 0;

function say(words) {
  saying.push(words);
  clearTimeout(sayingSoon);
  sayingSoon = setTimeout(() => {
    const all = saying.splice(0);
    by("said").textContent = all.length > 3 ? `${counted(all.length, "change")}. ${all.at(-1)}` : all.join(" ");
  }, SAY_AFTER);
}

// ---- Signing in and out ----

async function open() {
  session.tokenFromAddress();
  try {
    const user = await session.who();
    if (user === null) askWho(session.token() ? "This token is not valid." : "");
    else await work(user);
  } catch (refusal) {
    askWho(refusal.words ?? String(refusal));
  }
}

function askWho(problem = "") {
  follower?.close();
  follower = null;
  rows.clear();
  by("jobs").replaceChildren();
  by("work").hidden = by("account").hidden = by("skip").hidden = true;
  by("signing").hidden = false;
  byToken ||= Boolean(session.token());
  drawWays();
  by("sign-in-problem").textContent = problem;
  document.title = "Sign in – Exports";
  by(byToken ? "token" : "email").focus();
}

function drawWays() {
  for (const part of document.querySelectorAll(".by-password, .by-token")) {
    part.hidden = part.classList.contains("by-token") !== byToken;
    for (const input of part.querySelectorAll("input")) input.disabled = part.hidden;
  }
  by("other-way").textContent = byToken ? "Use email and password" : "Use a token";
}

by("other-way").addEventListener("click", () => {
  byToken = !byToken;
  by("sign-in-problem").textContent = "";
  drawWays();
  by(byToken ? "token" : "email").focus();
});

by("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const { email, password, remember, token } = event.target.elements;
  busy(event.target, async () => {
    by("sign-in-problem").textContent = "";
    try {
      if (byToken) session.keepToken(token.value.trim());
      else await session.signIn(email.value, password.value, remember.checked);
      const user = await session.who();
      if (user === null) throw new session.Refusal(401, { error: "This token is not valid" });
      event.target.reset();
      await work(user);
      by("work-title").focus(); // what had the focus is gone
    } catch (refusal) {
      byToken ||= refusal.code === "NO_SIGN_IN";
      drawWays();
      by("sign-in-problem").textContent = refusal.words ?? String(refusal);
      (byToken ? token : password).focus();
    }
  });
});

by("sign-out").addEventListener("click", async () => {
  let problem = "";
  try {
    await session.signOut();
  } catch (refusal) {
    problem = `${refusal.words} You may still be signed in.`;
  }
  askWho(problem);
});

session.onSignedOut(() => follower && askWho("You signed out in another tab."));

/** Run `act` unless the form is at it already. */
async function busy(form, act) {
  if (form.getAttribute("aria-busy") === "true") return;
  form.setAttribute("aria-busy", "true");
  try {
    await act();
  } finally {
    form.removeAttribute("aria-busy");
  }
}

// ---- The work ----

async function work(user) {
  const projects = await fill(by("start"));
  by("who").textContent = user;
  by("new").open = WIDE.matches;
  by("signing").hidden = true;
  by("work").hidden = by("account").hidden = by("skip").hidden = false;
  document.title = "Exports";
  shown = STEP;
  isListed = false;
  follower = new Follower(projects, shown, {
    job: changed,
    state: drawConnection,
    refused: refusedSocket,
    listed(isMore) {
      isListed = true;
      by("older").hidden = !isMore;
      by("empty").hidden = rows.size > 0;
    },
  });
}

async function refusedSocket() {
  try {
    if (!session.token() && (await session.renew())) return true;
    askWho("Your session is over. Sign in again.");
  } catch {
    setTimeout(() => follower?.retry(), LOST_AFTER);
  }
  return false;
}

let lost = 0;
let saidLost = false;

function drawConnection(state) {
  const shown = by("connection");
  shown.dataset.state = state;
  shown.textContent = CONNECTIONS[state];
  if (state === "lost") {
    lost ||= setTimeout(() => {
      saidLost = true;
      say("The connection is lost. Exports go on; this page tries again.");
    }, LOST_AFTER);
  } else if (state === "live") {
    clearTimeout(lost);
    lost = 0;
    if (saidLost) say("The connection is back. All exports are up to date.");
    saidLost = false;
  }
}

const stale = new Set();
let drawing = 0;

function changed(job, before) {
  let row = rows.get(job.id);
  if (row === undefined) {
    row = new Row(by("row"), job.id, { cancel: ask, download });
    rows.set(job.id, row);
    row.draw(job, Date.now());
    place(job, row);
  }
  row.note(job);
  stale.add(job.id);
  // Not an animation frame: the title of a tab in the background is all that is seen of it.
  drawing ||= setTimeout(draw, DRAW_EVERY);
  if (before !== null && hasEnded(job) && !hasEnded(before)) {
    sayEnd(job);
    if (asking === job.id && by("asking").open) by("asking").close();
  }
}

/**
 * Put a row where it stays: nothing jumps while it is read. First what began since the page was opened, newest first;
 * then what it found without an end, in the order of its turn; then what had ended, newest first.
 */
function place(job, row) {
  row.rank = hasEnded(job) ? 2 : isListed ? 0 : 1;
  row.created = job.created;
  const comes = (other) => {
    if (other.rank !== row.rank) return other.rank > row.rank;
    return row.rank === 1 ? other.created > row.created : other.created < row.created;
  };
  const next = [...by("jobs").children].find((element) => comes(rows.get(element.dataset.job)));
  by("jobs").insertBefore(row.element, next ?? null);
}

function draw() {
  drawing = 0;
  if (follower === null) return;
  const now = Date.now();
  const jobs = follower.jobs;
  for (const job of jobs) if (stale.delete(job.id)) rows.get(job.id).draw(job, now);
  const running = jobs.filter((job) => job.status === "processing").length;
  const waiting = jobs.filter((job) => job.status === "pending").length;
  const parts = [running && `${running} running`, waiting && `${waiting} waiting`].filter(Boolean);
  by("count").textContent = parts.join(", ");
  document.title = parts.length ? `${parts.join(", ")} – Exports` : "Exports";
  by("empty").hidden = jobs.length > 0 || by("empty").hidden;
}

// Times go by without an event: what is left, and archives whose time is over.
setInterval(() => {
  for (const id of rows.keys()) stale.add(id);
  drawing ||= setTimeout(draw, 0);
}, 30_000);

function sayEnd(job) {
  const words = {
    completed: "is completed, its archive can be downloaded.",
    failed: "has failed.",
    cancelled: "is cancelled.",
    gone: "is no longer known to the server.",
  };
  say(`The export of ${isolated(job.name)} ${words[job.status]}`);
}

by("start").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(event.target, async () => {
    by("start-problem").textContent = "";
    try {
      const id = await start(event.target);
      if (!rows.has(id)) follower?.add(await session.request(`api/export/${id}`));
      say("The export is started.");
      if (!WIDE.matches) rows.get(id)?.show(); // It is far below the form.
    } catch (refusal) {
      by("start-problem").textContent = wordsOf(refusal);
    }
  });
});

by("older").addEventListener("click", async () => {
  shown += STEP;
  await follower.more(shown);
});

let asking = null;

/** Ask, then cancel; an export that ends meanwhile answers by itself. The dialog gives the focus back. */
function ask(id) {
  const job = follower.jobs.find((one) => one.id === id);
  if (job.cancelling) return;
  asking = id;
  by("asking-name").textContent = job.name;
  by("asking").showModal();
}

by("asking").addEventListener("submit", (event) => event.submitter.value === "yes" && cancel(asking));

async function cancel(id) {
  say("The export is being cancelled.");
  await attempt(id, "It could not be cancelled.", () => follower.cancel(id));
}

/** Do something with a job; what goes wrong is shown at its row, and said. */
async function attempt(id, sorry, act) {
  const complain = (words) => {
    rows.get(id)?.complain(words);
    stale.add(id);
    draw();
  };
  complain("");
  try {
    await act();
  } catch (refusal) {
    const words = `${sorry} ${wordsOf(refusal)}`;
    complain(words);
    say(words);
  }
}

/**
 * A link cannot send a token, and a session ends in the midst of a long download: the browser fetches the archive by a
 * token of its own, after an archive that is gone was told of here.
 */
async function download(id, event) {
  event.preventDefault();
  await attempt(id, "It could not be downloaded.", async () => {
    const status = await session.request(`api/export/${id}`);
    follower.add(status);
    if (!status.archive) throw new session.Refusal(410, { error: "The archive is no longer kept" });
    const path = `api/projects/${status.projectId}/export/${id}/download`;
    const { token } = await session.request(`${path}-token`, { method: "POST" });
    const link = document.createElement("a");
    link.href = session.url(`${path}?token=${encodeURIComponent(token)}`);
    link.download = "";
    link.click();
  });
}

function wordsOf(refusal) {
  if (refusal.status === 401) askWho("Your session is over. Sign in again.");
  return refusal.words ?? String(refusal);
}

open();
