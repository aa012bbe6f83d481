// All jobs of the user, live over the socket: protocol 2's history, subscriptions and replay.
//
// The log is the truth. Every job is followed by the number of the last event it took; after a connection was lost,
// and wherever a number is missing, the rest is asked for from there. So nothing is lost, and nothing is taken twice.

import { io } from "./vendor/socket.io.esm.min.js";
import { EVENTS, after, fromStatus, hasEnded, place } from "./job.js";
import { request, token, url } from "./session.js";

const CALLS_AT_ONCE = 8; // of the 16 that the server works on for one socket
const ANSWER_WITHIN = 60_000;
const CANCEL_WITHIN = 15_000;
/** A running job is heard of every 5 seconds; a socket that is mute this long is dead, whatever the network says. */
const MUTE = 16_000;
const REFUSED_AGAIN = 5000;

export class Follower {
  #socket;
  #projects;
  #limit;
  #jobs = new Map();
  #calls = 0;
  #waiting = [];
  #subscribing = new Set();
  #heard = 0;
  #watch;
  #tell;
  #isOver = false;

  /**
   * `tell.job(job, before)` for every change of a job (before: null for one that is new), `tell.state(state)` with
   * "connecting", "live", "lost", and `tell.listed()` when all histories are there. `tell.refused()` is asked, and
   * awaited, when the server knows the session no more: true if it is to be tried again.
   */
  constructor(projects, limit, tell) {
    this.#projects = projects;
    this.#limit = limit;
    this.#tell = tell;
    this.#socket = io(url("").origin, {
      path: url("socket.io/").pathname,
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 5000,
      auth: (give) => give(token() ? { token: token() } : {}),
    });
    this.#socket.on("connect", () => this.#connected());
    this.#socket.on("disconnect", (reason) => {
      if (this.#isOver) return;
      tell.state("lost");
      if (reason === "io server disconnect") this.#socket.connect();
    });
    this.#socket.on("connect_error", (refusal) => this.#failed(refusal));
    for (const name of EVENTS) this.#socket.on(name, (data) => this.#take(name, data));
    this.#socket.on("export:status-sync", (data) => this.#sync(data));
    this.#socket.on("export:heartbeat", (data) => this.#beat(data));
    this.#socket.on("export:history", (data) => this.add(data.job));
    this.#socket.onAny(() => (this.#heard = Date.now()));
    this.#watch = setInterval(() => this.#endMute(), MUTE / 4);
    addEventListener("online", this.#online);
    tell.state("connecting");
  }

  close() {
    this.#isOver = true;
    clearInterval(this.#watch);
    removeEventListener("online", this.#online);
    this.#socket.disconnect();
  }

  /** Try at once, where it does not by itself: the server refused us. */
  retry() {
    if (!this.#isOver) this.#socket.connect();
  }

  get jobs() {
    return [...this.#jobs.values()];
  }

  /** Take in a job as the server describes it; one that is known is not moved by that, its events move it. */
  add(status) {
    const known = this.#jobs.get(status.id);
    if (known === undefined) {
      this.#put(fromStatus(status), null);
    } else if (hasEnded(known) && known.archive && !status.archive) {
      this.#put({ ...known, archive: null }, known);
    }
    const job = this.#jobs.get(status.id);
    if (!hasEnded(job) && known === undefined) this.#subscribe(job.id);
  }

  /** Show this many jobs of each project. */
  async more(limit) {
    this.#limit = limit;
    await this.#list();
  }

  /** Ask for a job's cancellation: over the socket, or by a request where that is down or does not answer. */
  async cancel(id) {
    this.#change(id, { cancelling: true });
    try {
      const answer = await this.#call("export:cancel", { jobId: id }, CANCEL_WITHIN).catch(() => null);
      if (!answer?.ok)
        await request(`api/projects/${this.#jobs.get(id).project}/export/${id}/cancel`, { method: "POST" });
    } catch (refusal) {
      this.#change(id, { cancelling: false });
      throw refusal;
    }
  }

  #online = () => {
    if (!this.#socket.connected) this.#socket.disconnect().connect();
  };

  async #connected() {
    this.#heard = Date.now();
    this.#tell.state("live");
    for (const job of this.jobs) if (!hasEnded(job)) this.#subscribe(job.id);
    await this.#list();
  }

  async #failed(refusal) {
    this.#tell.state("lost");
    if (this.#socket.active) return; // It tries again by itself.
    const isOfWho = refusal.message.startsWith("Authentication"); // Else of too many sockets, for one.
    if (!isOfWho) setTimeout(() => this.retry(), REFUSED_AGAIN);
    else if (await this.#tell.refused()) this.retry();
  }

  async #list() {
    const asked = this.#projects.map(async (project) => {
      const answer = await this.#call("export:history", { projectId: project.id, limit: this.#limit });
      if (!answer.ok) return 0; // A project that is served no more since this page asked.
      for (const status of [...answer.jobs, ...answer.running]) this.add(status);
      return answer.jobs.length;
    });
    const counts = await Promise.allSettled(asked);
    if (counts.every((count) => count.status === "fulfilled")) {
      this.#tell.listed(counts.some((count) => count.value >= this.#limit));
    }
  }

  /** Ask for what a job's log holds beyond what is known, and for what comes. */
  async #subscribe(id) {
    if (this.#subscribing.has(id) || !this.#socket.connected) return;
    this.#subscribing.add(id);
    const { seq, log } = this.#jobs.get(id);
    let answer;
    try {
      answer = await this.#call("export:subscribe", { jobId: id, after: seq, log });
    } catch {
      return; // The connection is lost; its successor subscribes.
    } finally {
      this.#subscribing.delete(id);
    }
    const job = this.#jobs.get(id);
    if (answer.ok && seq < job.seq && job.seq < answer.lastSeq) this.#subscribe(id);
    if (!answer.ok && answer.code === "JOB_NOT_FOUND") this.#change(id, { status: "gone", eta: null });
  }

  #take(name, data) {
    const job = this.#jobs.get(data.jobId);
    if (job === undefined) return; // The history tells of it.
    const where = place(job, data);
    if (where === "next") this.#put(after(job, name, data), job);
    if (where === "gap") this.#subscribe(job.id);
  }

  /** Begin anew where the server's log is another one than that in which was counted; else it only informs. */
  #sync(data) {
    const job = this.#jobs.get(data.jobId);
    if (job && (data.log !== job.log || data.lastSeq < job.seq)) this.#change(job.id, { log: data.log, seq: 0 });
  }

  #beat(data) {
    const job = this.#jobs.get(data.jobId);
    if (job && !hasEnded(job) && job.seq < data.lastSeq) this.#subscribe(job.id);
  }

  #endMute() {
    const isExpected = this.jobs.some((job) => !hasEnded(job));
    if (!isExpected || !this.#socket.connected) this.#heard = Date.now();
    else if (Date.now() - this.#heard > MUTE) this.#socket.io.engine.close();
  }

  async #call(name, data, within = ANSWER_WITHIN) {
    if (this.#calls >= CALLS_AT_ONCE) await new Promise((resolve) => this.#waiting.push(resolve));
    this.#calls += 1;
    try {
      if (!this.#socket.connected) throw new Error("not connected");
      return await this.#socket.timeout(within).emitWithAck(name, data);
    } finally {
      this.#calls -= 1;
      this.#waiting.shift()?.();
    }
  }

  #change(id, changes) {
    const job = this.#jobs.get(id);
    this.#put({ ...job, ...changes }, job);
  }

  #put(job, before) {
    this.#jobs.set(job.id, job);
    this.#tell.job(job, before);
  }
}
