// One job in the list: what of it is shown, in words. All text is set as text; names are isolated in <bdi>, and in
// attributes between the characters that do the same, so that none of them turns or marks up what stands around it.

import { hasEnded } from "./job.js";
import { url } from "./session.js";
import { counted, isolated, lengthOf, moment, roughly, sentences, sizeOf } from "./words.js";

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

export class Row {
  #parts;
  #shown = {};
  #trouble = "";
  /** How many of its person's exports have their turn before it; null until it was counted. */
  before = null;

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
        "summary",
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
    this.focus({ preventScroll: true });
  }

  focus(options) {
    this.#parts.h3.focus(options);
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
    const { cancel, download, progress, problem, summary } = this.#parts;
    const ended = hasEnded(job);
    const expired = job.status === "completed" && (!job.archive || Date.parse(job.expires) <= now);
    const hadFocus = [cancel, download].includes(document.activeElement);
    this.element.dataset.status = job.cancelling && !ended ? "cancelling" : job.status;
    this.element.classList.toggle("warned", job.status === "completed" && job.warnings.length > 0);
    this.#text("name", job.name);
    this.#text("state", stateOf(job, ended));
    this.#text("percent", ended || job.status === "pending" ? "" : `${Math.floor(job.progress)} %`);
    progress.value = job.progress;
    progress.ariaHidden = String(ended); // Only a picture by then, of how far it came.
    this.#name(progress, `Progress of the export of ${isolated(job.name)}`);
    if (ended) this.#write("facts", endOf(job));
    else if (job.status === "pending") this.#text("facts", turnOf(this.before));
    else this.#stages(job);
    this.#write("rest", restOf(job, ended, expired));
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
    this.#name(summary, `Details of the export of ${isolated(job.name)}`);
    this.#describe(job);
    if (hadFocus && document.activeElement === document.body) (download.hidden ? this.#parts.h3 : download).focus();
  }

  #text(part, words) {
    // Untouched where nothing changed: a screen reader keeps its place, and nothing is laid out again.
    if (this.#shown[part] !== words) this.#parts[part].textContent = this.#shown[part] = words;
  }

  /** Write words and moments (dates). */
  #write(part, pieces) {
    const key = JSON.stringify(pieces);
    if (this.#shown[part] === key) return;
    this.#shown[part] = key;
    this.#parts[part].replaceChildren(...pieces.map((piece) => (piece instanceof Date ? moment(piece) : piece)));
  }

  /** The stages run side by side; first stands the one that is not done, where there is no room for all. */
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
      ["Images", job.total ? String(job.total) : ""],
      ...job.warnings.map((warning) => ["Warning", warning]),
      ["Started", new Date(job.created)],
      ["Command", `exportctl ${COMMANDS[job.status] ?? "status"} ${name} --server ${url("").href.replace(/\/$/, "")}`],
    ].filter(([, words]) => words);
    const key = JSON.stringify(rows);
    if (this.#shown.dl === key) return;
    this.#shown.dl = key;
    this.#parts.dl.replaceChildren(
      ...rows.map(([term, words]) => {
        const tags = ["div", "dt", "dd", term === "Command" ? "code" : "bdi"];
        const [group, dt, dd, what] = tags.map((tag) => document.createElement(tag));
        dt.textContent = term;
        what.append(words instanceof Date ? moment(words) : words);
        dd.append(what);
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

/** From its start to its archive, as the reader waited for it: in the queue too. */
function endOf(job) {
  if (!job.completed) return [];
  const end = new Date(job.completed);
  return job.status === "completed" ? [end, ` · ready after ${lengthOf((end - new Date(job.created)) / 1000)}`] : [end];
}

function restOf(job, ended, expired) {
  if (job.status === "completed") return expired ? ["Archive no longer kept"] : ["Kept until ", new Date(job.expires)];
  if (ended) return job.status === "gone" ? [] : [`Stopped at ${Math.floor(job.progress)} %`];
  const isForeseen = job.eta !== null && job.eta !== undefined;
  return isForeseen ? [`${roughly(job.eta)} left`] : ["Since ", new Date(job.created)];
}

function turnOf(before) {
  if (before === null) return "In the queue";
  return before === 0 ? "Next in your queue" : `In the queue behind ${before} of yours`;
}

function problemOf(job) {
  if (job.status === "gone") return "The server no longer knows this export.";
  if (job.status !== "failed") return "";
  return sentences(job.error?.message ?? job.message, job.error?.hint);
}
