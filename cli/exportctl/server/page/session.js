// Who is signed in, and every request of the page.
//
// A token (typed, or brought by the address's fragment) is kept in sessionStorage: for this tab, until it is closed.
// Without one the session's cookies speak, which no script can read. They are renewed where a request is refused, by
// one tab at a time: a refresh token that is used twice ends its session.

import { alone } from "./turn.js";
import { sentences } from "./words.js";

const KEPT = "exportctl.token";
const tabs = new BroadcastChannel(`exportctl ${document.baseURI}`);

/** The server's refusal, in its own words. `status` 0: there was no answer. */
export class Refusal extends Error {
  constructor(status, { error, code, hint } = {}, wait = 0) {
    super(error ?? (status ? `The server answered ${status}` : "The server cannot be reached"));
    Object.assign(this, { status, code, hint, wait });
  }

  /** The message with what to do. */
  get words() {
    return sentences(this.message, [401, 404].includes(this.status) ? "" : this.hint); // Theirs are for programs.
  }
}

/** Take a token out of the address, so that it is in no history and no bookmark. */
export function tokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    keepToken(given);
    history.replaceState(null, "", location.pathname + location.search);
  }
}

export function token() {
  return sessionStorage.getItem(KEPT);
}

export function keepToken(given) {
  sessionStorage.setItem(KEPT, given);
}

export function url(path) {
  return new URL(path, document.baseURI);
}

/** Ask the server; returns its JSON, throws a Refusal. A session that is over is renewed first. */
export async function request(path, { method = "GET", body, headers = {} } = {}) {
  let answer = await send(path, method, body, headers);
  if (answer.status === 401 && !token() && (await renew())) answer = await send(path, method, body, headers);
  return read(answer);
}

/** Sign in with email and password. */
export async function signIn(email, password, rememberMe) {
  sessionStorage.removeItem(KEPT);
  await read(await send("api/auth/login", "POST", { email, password, rememberMe }));
}

/** End the session, or forget the token. The other tabs of a session are told. */
export async function signOut() {
  const byToken = token();
  sessionStorage.removeItem(KEPT);
  if (byToken) return;
  tabs.postMessage("signed out");
  await read(await send("api/auth/logout", "POST"));
}

/** Have `listener` called when another tab ends the session. */
export function onSignedOut(listener) {
  tabs.addEventListener("message", () => token() || listener());
}

/** Return who is signed in as the server shows it, null if nobody is. */
export async function who() {
  // The one cookie that scripts can read: it says that there is a session, not whose.
  if (!token() && !document.cookie.split("; ").includes("authenticated=1")) return null;
  try {
    return (await request("api/auth/profile")).data.email ?? "";
  } catch (refusal) {
    if (refusal.status === 401) return null;
    if (refusal.status !== 404) throw refusal;
  }
  // A server that signs nobody in: the token is good or it is not.
  try {
    await request("api/projects?limit=1");
    return "";
  } catch (refusal) {
    if (refusal.status === 401) return null;
    throw refusal;
  }
}

let renewing = null;

/** Renew the session; false if it is over for good. */
export function renew() {
  renewing ??= alone(renewed).finally(() => (renewing = null));
  return renewing;
}

async function renewed() {
  if ((await send("api/auth/profile")).ok) return true; // by another tab, meanwhile
  const answer = await send("api/auth/refresh", "POST");
  if (!answer.ok && answer.status !== 401) throw new Refusal(answer.status); // It could not say.
  return answer.ok;
}

async function send(path, method = "GET", body, headers = {}) {
  const given = { ...headers };
  const kept = token();
  if (kept) given.Authorization = `Bearer ${kept}`;
  if (body !== undefined) given["Content-Type"] = "application/json";
  try {
    return await fetch(url(path), { method, headers: given, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Refusal(0);
  }
}

async function read(answer) {
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  let body;
  try {
    body = await answer.json();
  } catch {
    throw new Refusal(answer.ok ? 0 : answer.status, {}, wait);
  }
  if (!answer.ok) throw new Refusal(answer.status, body, wait);
  return body;
}
