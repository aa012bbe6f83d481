// One export by the backend's own service; the last line says its seconds and its archive.
import path from "node:path";
import { pathToFileURL } from "node:url";

const { ExportService } = await import(pathToFileURL(path.resolve("src/services/exportService.ts")));
const service = ExportService.getInstance();
const began = performance.now();
const id = await service.startExportJob("project", "user", {
  includeOriginalImages: true,
  includeVisualizations: true,
  annotationFormats: ["coco", "yolo", "json"],
  metricsFormats: ["excel", "csv", "json"],
  includeDocumentation: true,
});
let job;
do {
  await new Promise((done) => setTimeout(done, 10));
  job = service.exportJobs.get(id);
} while (job.status === "pending" || job.status === "processing");
const seconds = (performance.now() - began) / 1000;
console.log(JSON.stringify({ status: job.status, message: job.message, seconds, archive: job.filePath }));
process.exit(0);
