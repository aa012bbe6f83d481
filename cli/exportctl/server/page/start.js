// The form that starts exports: what can be chosen comes from the server.

import { Refusal, request } from "./session.js";
import { counted, isolated } from "./words.js";

const TRIES = 4;

/** Fill the form: projects (all pages of them), formats, and what is chosen where nobody chooses. */
export async function fill(form) {
  const [projects, formats] = await Promise.all([allProjects(), request("api/export/formats")]);
  const chosen = form.elements.project.value;
  form.elements.project.replaceChildren(
    ...projects.map((project) => {
      const many = project.imageCount === null ? "" : ` (${counted(project.imageCount, "image")})`;
      return new Option(isolated(project.title) + many, project.id, false, project.id === chosen);
    }),
  );
  if (!form.dataset.filled) fillOptions(form, formats);
  form.dataset.filled = "yes";
  form.defaults = formats.options;
  return projects;
}

/** Start what the form says, once however often it must be sent; returns the job's id. */
export async function start(form) {
  const body = { options: optionsOf(form) };
  const project = form.elements.project.value;
  // The same wish keeps its key until it is answered: a second press after a lost answer starts nothing twice.
  const wish = JSON.stringify([project, body]);
  if (form.wish !== wish) Object.assign(form, { wish, key: randomKey() });
  for (let attempt = 1; ; attempt += 1) {
    try {
      const headers = { "Idempotency-Key": form.key };
      const answer = await request(`api/projects/${project}/export`, { method: "POST", body, headers });
      form.wish = null;
      return answer.jobId;
    } catch (refusal) {
      // What the server itself says, a full disk for one, has a code, and is for the person to know; that it stops is not.
      const isOthers = !refusal.code || refusal.code === "SERVER_STOPPING";
      const passes = refusal instanceof Refusal && [0, 502, 503, 504].includes(refusal.status) && isOthers;
      if (!passes || attempt === TRIES) throw refusal;
      await new Promise((resolve) => setTimeout(resolve, refusal.wait * 1000 || 500 * 2 ** attempt));
    }
  }
}

async function allProjects() {
  const found = [];
  for (let page = 1, pages = 1; page <= pages; page += 1) {
    const answer = await request(`api/projects?page=${page}&limit=100`);
    found.push(...answer.data);
    pages = answer.pagination.totalPages;
  }
  return found;
}

function fillOptions(form, { annotations, metrics, options }) {
  const style = options.visualizationOptions;
  checks(form, "annotations", annotations, options.annotationFormats);
  checks(form, "metrics", metrics, options.metricsFormats);
  const { elements } = form;
  elements.images.checked = options.includeOriginalImages;
  elements.visualizations.checked = options.includeVisualizations;
  elements.docs.checked = options.includeDocumentation;
  elements.numbers.checked = style.showNumbers;
  elements.external.value = style.polygonColors.external;
  elements.internal.value = style.polygonColors.internal;
  elements.stroke.value = style.strokeWidth;
  elements.font.value = style.fontSize;
  elements.fill.value = style.transparency;
}

function checks(form, name, formats, chosen) {
  form.querySelector(`#${name}`).append(
    ...formats.map((format) => {
      const [label, input] = ["label", "input"].map((tag) => document.createElement(tag));
      Object.assign(input, { type: "checkbox", name, value: format.id, checked: chosen.includes(format.id) });
      Object.assign(label, { className: "check", title: format.description });
      label.append(input, ` ${format.name}`);
      return label;
    }),
  );
}

function optionsOf(form) {
  const { elements, defaults } = form;
  const ticked = (name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((input) => input.value);
  const amount = (name) => (elements[name].value === "" ? null : elements[name].valueAsNumber);
  return {
    ...defaults,
    includeOriginalImages: elements.images.checked,
    includeVisualizations: elements.visualizations.checked,
    includeDocumentation: elements.docs.checked,
    annotationFormats: ticked("annotations"),
    metricsFormats: ticked("metrics"),
    pixelToMicrometerScale: amount("scale"),
    visualizationOptions: {
      showNumbers: elements.numbers.checked,
      polygonColors: { external: elements.external.value, internal: elements.internal.value },
      strokeWidth: amount("stroke"),
      fontSize: amount("font"),
      transparency: amount("fill"),
    },
  };
}

/** `crypto.randomUUID` is there over TLS and on this machine only. */
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
