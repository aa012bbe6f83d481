// A job as the page knows it, and what each event makes of it. Pure: the same events give the same job.
//
// `seq` is the last event it has taken: an event is taken once and in order, or not at all.

export const STAGES = ["images", "visualizations", "annotations", "metrics", "compression"];

/** How many of the latest events are asked for of a job that is met while it runs: they say all that is shown. */
const LATEST = 2000;

export function hasEnded(job) {
  return ["completed", "failed", "cancelled", "gone"].includes(job.status);
}

/** Make a job of the status that the server tells of it. One that runs is to be followed from `seq` on. */
export function fromStatus(status) {
  const ended = hasEnded(status);
  return {
    id: status.id,
    project: status.projectId,
    name: status.projectName,
    status: status.status,
    log: status.log,
    seq: ended ? status.lastSeq : Math.max(0, status.lastSeq - LATEST),
    progress: status.progress,
    message: status.message,
    stages: {},
    wanted: wanted(status.options ?? {}),
    eta: ended ? null : status.estimatedTimeRemaining,
    archive: status.archive,
    expires: status.expiresAt,
    error: status.error,
    warnings: status.warnings ?? [],
    created: status.createdAt,
    completed: status.completedAt,
    total: null,
    cancelling: false,
  };
}

/** Say whether the event is the next one: "next", "known", or "gap" where some are missing before it. */
export function place(job, data) {
  if (data.seq <= job.seq) return "known";
  return data.seq === job.seq + 1 ? "next" : "gap";
}

/** Return the job after its next event. */
export function after(job, event, data) {
  return { ...job, ...CHANGES[event]?.(data, job), seq: data.seq };
}

const CHANGES = {
  "export:started": (data) => ({ status: "processing", name: data.projectName, total: data.total ?? null }),
  "export:progress": (data, job) => ({
    status: "processing",
    progress: Math.max(job.progress, data.progress),
    message: data.message,
    eta: data.estimatedTimeRemaining,
    stages: data.stage ? { ...job.stages, [data.stage]: data.stageProgress } : job.stages,
  }),
  "export:phase-changed": (data) => ({ progress: 100, message: data.message, eta: null }),
  "export:download-ready": (data) => ({
    archive: { fileName: data.fileName, fileSize: data.fileSize },
    expires: data.expiresAt,
  }),
  "export:completed": (data) => ({
    status: "completed",
    progress: 100,
    message: data.message,
    warnings: data.warnings ?? [],
    completed: data.timestamp,
    eta: null,
  }),
  "export:failed": (data) => ({
    status: "failed",
    error: { code: data.code, message: data.error, hint: data.hint },
    completed: data.timestamp,
    archive: null,
    eta: null,
  }),
  "export:cancelled": (data) => ({
    status: "cancelled",
    message: data.message,
    completed: data.timestamp,
    archive: null,
    eta: null,
  }),
};

export const EVENTS = Object.keys(CHANGES);

function wanted(options) {
  const is = {
    images: options.includeOriginalImages !== false,
    visualizations: options.includeVisualizations !== false,
    annotations: options.annotationFormats?.length !== 0,
    metrics: options.metricsFormats?.length !== 0,
    compression: true,
  };
  return STAGES.filter((stage) => is[stage]);
}
