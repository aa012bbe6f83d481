// One job in the list: what of it is shown, in words. All text is set as text; names are isolated in <bdi>, and in
// attributes between the characters that do the same, so that none of them turns or marks up what stands around it.

import { hasEnded } from "./job.js";
import { sentences, url } from "./session.js";

const NAMES = {
  images: "Originals",
  visualizations: "Overlays",
  annotations: "Annotations",
  metrics: "Metrics",
  compression: "Archive",
};
const STATES = {
  pending: "Waiting",
  processing: "Running",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  gone: "Unknown",
};
const COMMANDS = { pending: "follow", processing: "follow", completed: "download" };
const moment = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const amount = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

const TURNS = /[\u0590-\u08ff\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufefc]|[\ud802-\ud803\ud83a-\ud83b]/;

/**
 * A name for places that take plain text only, between U+2068 and U+2069 (first strong isolate) where something in it
 * runs from right to left: elsewhere they would be in the way of whoever chooses by typing.
 */
export function isolated(name) {
  return TURNS.test(name) ? `\u2068${name.replace(/[\u2066-\u2069]/g, "")}\u2069` : name;
}

export class Row {
  #parts;
  #shown = {};
  #trouble = "";

  /** `act.cancel(id)` and `act.download(id)` are called by its buttons. */
  constructor(template, id, act) {
    this.element = template.content.firstElementChild.cloneNode(true);
    const part = (selector) => this.element.querySelector(selector);
    this.#parts = Object.fromEntries(
      [
        "h3",
        ".name",
        ".state",
        ".percent",
        "progress",
        ".facts",
        ".rest",
        ".problem",
        ".cancel",
        ".download",
        "dl",
      ].map((selector) => [selector.replace(".", ""), part(selector)]),
    );
    this.element.id = `job-${id}`;
    this.element.dataset.job = id;
    this.#parts.cancel.addEventListener("click", () => act.cancel(id));
    this.#parts.download.addEventListener("click", (event) => act.download(id, event));
  }

  /** Bring it before the reader, with the focus. */
  show() {
    this.element.scrollIntoView({ block: "center" });
    this.#parts.h3.focus({ preventScroll: true });
  }

  /** Say what went wrong with what was asked of this job; "": nothing any more. */
  complain(words) {
    this.#trouble = words;
  }

  /** Note which event the job has taken, at once; what it looks like is drawn when there is time. */
  note(job) {
    this.element.dataset.seq = job.seq;
  }

  /** Draw the job as it is now (`now`: milliseconds). */
  draw(job, now) {
    const { cancel, download, progress, problem } = this.#parts;
    const ended = hasEnded(job);
    const expired = job.status === "completed" && (!job.archive || Date.parse(job.expires) <= now);
    const hadFocus = [cancel, download].includes(document.activeElement);
    this.element.dataset.status = job.cancelling && !ended ? "cancelling" : job.status;
    this.#text("name", job.name);
    this.#text("state", stateOf(job, ended));
    this.#text("percent", ended || job.status === "pending" ? "" : `${Math.floor(job.progress)} %`);
    progress.value = job.progress;
    progress.ariaHidden = String(ended); // Only a picture by then, of how far it came.
    this.#name(progress, `Progress of the export of ${isolated(job.name)}`);
    if (ended || job.status === "pending") this.#text("facts", ended ? endOf(job, expired) : "In the queue");
    else this.#stages(job);
    this.#text("rest", restOf(job, ended, expired));
    const wrong = problemOf(job) || this.#trouble;
    problem.hidden = !wrong;
    this.#text("problem", wrong);
    cancel.hidden = ended;
    cancel.setAttribute("aria-disabled", String(job.cancelling));
    this.#name(cancel, `Cancel the export of ${isolated(job.name)}`);
    download.hidden = job.status !== "completed" || expired;
    if (!download.hidden) {
      download.href = `api/projects/${job.project}/export/${job.id}/download`;
      this.#text("download", `Download ${sizeOf(job.archive.fileSize)}`);
      this.#name(download, `Download ${isolated(job.archive.fileName)}, ${sizeOf(job.archive.fileSize)}`);
    }
    this.#describe(job);
    if (hadFocus && document.activeElement === document.body) (download.hidden ? this.#parts.h3 : download).focus();
  }

  #text(part, words) {
    // Untouched where nothing changed: a screen reader keeps its place, and nothing is laid out again.
    if (this.#shown[part] !== words) this.#parts[part].textContent = this.#shown[part] = words;
  }

  /** The stages run side by side; on a narrow screen only the first that is not done is shown. */
  #stages(job) {
    const isDone = ({ current, total } = { current: 0, total: 1 }) => current >= total;
    const first = job.wanted.find((stage) => !isDone(job.stages[stage]));
    const stages = job.wanted.filter((stage) => stage !== "compression" || stage === first);
    const words = stages.map((stage) => {
      const done = job.stages[stage];
      if (isDone(done)) return `${NAMES[stage]} ✓`;
      return done ? `${NAMES[stage]} ${done.current}/${done.total}` : NAMES[stage];
    });
    if (this.#shown.facts === words.join()) return;
    this.#shown.facts = words.join();
    const spans = words.map((text, index) => {
      const span = document.createElement("span");
      span.textContent = text;
      span.className = stages[index] === first ? "stage now" : "stage";
      return span;
    });
    this.#parts.facts.replaceChildren(...spans.flatMap((span) => [span, " "]));
  }

  #name(element, words) {
    if (element.getAttribute("aria-label") !== words) element.setAttribute("aria-label", words);
  }

  #describe(job) {
    const name = `${job.project}/${job.id}`;
    const rows = [
      ["Step", hasEnded(job) ? "" : job.message],
      [
        "Contents",
        job.wanted
          .filter((stage) => stage !== "compression")
          .map((stage) => NAMES[stage])
          .join(", "),
      ],
      ["Images", job.total ? number.format(job.total) : ""],
      ...job.warnings.map((warning) => ["Warning", warning]),
      ["Started", moment.format(new Date(job.created))],
      ["Command", `exportctl ${COMMANDS[job.status] ?? "status"} ${name} --server ${url("").href.replace(/\/$/, "")}`],
    ].filter(([, words]) => words);
    const key = JSON.stringify(rows);
    if (this.#shown.dl === key) return;
    this.#shown.dl = key;
    this.#parts.dl.replaceChildren(
      ...rows.map(([term, words]) => {
        const [group, dt, dd, bdi] = ["div", "dt", "dd", "bdi"].map((tag) => document.createElement(tag));
        dt.textContent = term;
        bdi.textContent = words;
        dd.append(bdi);
        group.append(dt, dd);
        return group;
      }),
    );
  }
}

function stateOf(job, ended) {
  if (job.cancelling && !ended) return "Cancelling";
  const warnings = job.status === "completed" ? job.warnings.length : 0;
  return warnings ? `Completed with ${counted(warnings, "warning")}` : (STATES[job.status] ?? job.status);
}

function endOf(job, expired) {
  const when = job.completed ? moment.format(new Date(job.completed)) : "";
  if (job.status !== "completed") return when;
  const took = job.seconds ?? (Date.parse(job.completed) - Date.parse(job.created)) / 1000;
  return [when, `took ${lengthOf(took)}`, expired || !job.archive ? "" : sizeOf(job.archive.fileSize)]
    .filter(Boolean)
    .join(" · ");
}

function restOf(job, ended, expired) {
  if (job.status === "completed") {
    if (expired) return "Archive no longer kept";
    return `Kept until ${moment.format(new Date(job.expires))}`;
  }
  if (ended) return job.status === "gone" ? "" : `Stopped at ${Math.floor(job.progress)} %`;
  const isForeseen = job.eta !== null && job.eta !== undefined;
  return isForeseen ? `${lengthOf(job.eta)} left` : `Since ${moment.format(new Date(job.created))}`;
}

function problemOf(job) {
  if (job.status === "gone") return "The server no longer knows this export.";
  if (job.status !== "failed") return "";
  return sentences(job.error?.message ?? job.message, job.error?.hint);
}

export function counted(count, noun) {
  return `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function lengthOf(seconds) {
  if (seconds < 9.5) return `${number.format(Math.max(seconds, 0.1))} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${number.format(seconds / 3600)} h`;
}

function sizeOf(bytes) {
  const unit = ["B", "kB", "MB", "GB", "TB"];
  const step = bytes < 1000 ? 0 : Math.min(unit.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${amount.format(bytes / 1000 ** step)} ${unit[step]}`;
}
