// What the backend's export asks its database for, read from a folder of images with annotations.json: its own answers
// cost it nothing here, so the comparison is in its favour.
import fs from "node:fs";
import path from "node:path";

const coco = JSON.parse(fs.readFileSync(path.join(process.env.UPLOAD_DIR, "annotations.json"), "utf8"));
const polygons = new Map(coco.images.map((image) => [image.id, []]));
for (const { id, image_id, segmentation } of coco.annotations) {
  const [ring] = segmentation;
  const points = Array.from({ length: ring.length / 2 }, (_, at) => ({ x: ring[2 * at], y: ring[2 * at + 1] }));
  polygons.get(image_id).push({ id: String(id), type: "external", class: "cell", points });
}
const now = new Date();
const images = coco.images.map(({ id, file_name, width, height }) => ({
  id: String(id), name: file_name, originalPath: file_name, thumbnailPath: null, segmentationThumbnailPath: null,
  width, height, fileSize: 1, mimeType: "image/png", projectId: "project", segmentationStatus: "segmented",
  createdAt: now, updatedAt: now, isVideoContainer: false, parentVideoId: null, frameIndex: null,
  segmentation: {
    id: `of ${id}`, createdAt: now, updatedAt: now, imageId: String(id), model: "hrnet", threshold: 0.5,
    confidence: 1, processingTime: 1, imageHeight: height, imageWidth: width,
    polygons: JSON.stringify(polygons.get(id)),
  },
}));
const project = { id: "project", title: "bench", type: "spheroid", userId: "user", images };
export const prisma = { project: { findUnique: async () => project, findFirst: async () => project } };
export class PrismaClient {}
export const Prisma = {};
