// The list of exports: its rows, their order, how many of them are shown, and when they are drawn.

import { hasEnded } from "./job.js";
import { Row } from "./row.js";

const DRAW_EVERY = 100;
/** So many of the exports that had ended are shown, and so many more whenever older ones are asked for. */
const STEP = 20;

const by = (id) => document.getElementById(id);

export class List {
  #rows = new Map();
  #stale = new Set();
  #drawing = 0;
  #jobs;
  #act;
  #isListed = false;
  #hasOlder = false;
  /** How many of each project are to be asked for: the latest of all are among the latest of each. */
  limit = STEP;

  /** `jobs()` returns what there is, null where nobody is signed in; `act.cancel(id)` and `act.download(id)` are called by the rows' buttons. */
  constructor(jobs, act) {
    this.#jobs = jobs;
    this.#act = act;
    // Times go by without an event: what is left, and archives whose time is over.
    setInterval(() => this.#drawAll(), 30_000);
  }

  clear() {
    this.#rows.clear();
    this.#isListed = this.#hasOlder = false;
    this.limit = STEP;
    by("jobs").replaceChildren();
    by("empty").hidden = by("older").hidden = true;
  }

  has(id) {
    return this.#rows.has(id);
  }

  /** Bring a row before the reader. */
  show(id) {
    this.#rows.get(id)?.show();
  }

  /** Say at a row what went wrong with what was asked of its job. */
  complain(id, words) {
    this.#rows.get(id)?.complain(words);
    this.#stale.add(id);
    this.#draw();
  }

  /** Take in a job that is new or has changed. */
  take(job) {
    let row = this.#rows.get(job.id);
    if (row === undefined) {
      row = new Row(by("row"), job.id, this.#act);
      this.#rows.set(job.id, row);
      row.draw(job, Date.now());
      this.#place(job, row);
    }
    row.note(job);
    this.#stale.add(job.id);
    // Not an animation frame: the title of a tab in the background is all that is seen of it.
    this.#drawing ||= setTimeout(() => this.#draw(), DRAW_EVERY);
  }

  /** All that there is was told; `hasOlder`: but for what is older. */
  listed(hasOlder) {
    this.#isListed = true;
    this.#hasOlder = hasOlder;
    this.#draw();
  }

  /** Show older ones, which `ask(limit)` may have to bring, and put the focus on the first of them. */
  async more(ask) {
    const last = [...by("jobs").children].findLast((element) => !element.hidden);
    this.limit += STEP;
    this.#draw();
    await ask(this.limit);
    const next = last?.nextElementSibling;
    if (next && !next.hidden) this.#rows.get(next.dataset.job).focus();
  }

  /**
   * Put a row where it stays: nothing jumps while it is read. First what began since the page was opened, newest first;
   * then what it found without an end, in the order of its turn; then what had ended, newest first.
   */
  #place(job, row) {
    row.rank = hasEnded(job) ? 2 : this.#isListed ? 0 : 1;
    row.created = job.created;
    row.element.hidden = row.rank === 2; // until there is seen to be room
    const comes = (other) => {
      if (other.rank !== row.rank) return other.rank > row.rank;
      return row.rank === 1 ? other.created > row.created : other.created < row.created;
    };
    const next = [...by("jobs").children].find((element) => comes(this.#rows.get(element.dataset.job)));
    by("jobs").insertBefore(row.element, next ?? null);
  }

  #drawAll() {
    for (const id of this.#rows.keys()) this.#stale.add(id);
    this.#drawing ||= setTimeout(() => this.#draw(), 0);
  }

  #draw() {
    clearTimeout(this.#drawing);
    this.#drawing = 0;
    const jobs = this.#jobs();
    if (jobs === null) return;
    const now = Date.now();
    const running = jobs.filter((job) => job.status === "processing").length;
    // The oldest of one person's exports is the first of them to have its turn.
    const waiting = jobs.filter((job) => job.status === "pending").sort((a, b) => (a.created < b.created ? -1 : 1));
    waiting.forEach((job, before) => {
      const row = this.#rows.get(job.id);
      if (row.before !== before) this.#stale.add(job.id);
      row.before = before;
    });
    for (const job of jobs) if (this.#stale.delete(job.id)) this.#rows.get(job.id).draw(job, now);
    let room = this.limit;
    for (const element of by("jobs").children) {
      element.hidden = this.#rows.get(element.dataset.job).rank === 2 && room-- <= 0;
    }
    const counts = [running && `${running} running`, waiting.length && `${waiting.length} waiting`].filter(Boolean);
    by("count").textContent = counts.join(", ");
    document.title = counts.length ? `${counts.join(", ")} – Exports` : "Exports";
    by("empty").hidden = !this.#isListed || jobs.length > 0;
    by("older").hidden = !this.#hasOlder && room >= 0;
  }
}
