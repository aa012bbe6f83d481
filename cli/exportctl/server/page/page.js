// The page: signing in, the form, and what is done with exports.

import { Follower } from "./follow.js";
import { hasEnded } from "./job.js";
import { List } from "./list.js";
import { say } from "./say.js";
import * as session from "./session.js";
import { fill, start } from "./start.js";
import { isolated } from "./words.js";

/** A connection that is back within this was never worth a word. */
const LOST_AFTER = 3000;
const WIDE = matchMedia("(min-width: 60rem)");
const CONNECTIONS = { connecting: "Connecting", live: "Live", lost: "Reconnecting" };

const by = (id) => document.getElementById(id);
const list = new List(() => follower?.jobs ?? null, { cancel: ask, download });
let follower = null;
let byToken = document.documentElement.dataset.asks === "token";

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
  forgetLoss();
  list.clear();
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

// A browser may show the page as it was when it was left, whoever is signed in by now.
addEventListener("pageshow", (event) => event.persisted && location.reload());

/** Run `act` unless the form is at it already. */
async function busy(form, act) {
  if (form.getAttribute("aria-busy") === "true") return;
  const button = form.querySelector("[type=submit]");
  const idle = button.textContent;
  form.setAttribute("aria-busy", "true");
  button.textContent = button.dataset.busy;
  try {
    await act();
  } finally {
    button.textContent = idle;
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
  follower = new Follower(projects, list.limit, {
    job: changed,
    state: drawConnection,
    refused: refusedSocket,
    listed: (hasOlder) => list.listed(hasOlder),
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
    if (saidLost) say("The connection is back. All exports are up to date.");
    forgetLoss();
  }
}

function forgetLoss() {
  clearTimeout(lost);
  lost = 0;
  saidLost = false;
}

function changed(job, before) {
  list.take(job);
  if (before === null || !hasEnded(job) || hasEnded(before)) return;
  list.complain(job.id, ""); // That it could not be cancelled is no matter any more.
  sayEnd(job);
  if (asking === job.id && by("asking").open) by("asking").close();
}

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
      if (!list.has(id)) follower?.add(await session.request(`api/export/${id}`));
      say("The export is started.");
      if (!WIDE.matches) list.show(id); // It is far below the form.
    } catch (refusal) {
      by("start-problem").textContent = wordsOf(refusal);
    }
  });
});

by("older").addEventListener("click", () => list.more((limit) => follower.more(limit)));

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
  list.complain(id, "");
  try {
    await act();
  } catch (refusal) {
    const words = `${sorry} ${wordsOf(refusal)}`;
    list.complain(id, words);
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
