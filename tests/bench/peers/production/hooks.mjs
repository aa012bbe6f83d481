// Puts rows.mjs in the place of the backend's database.
import { register } from "node:module";

if (process.env.ROWS) {
  register(import.meta.url);
}

export async function resolve(specifier, context, next) {
  const isDatabase = specifier === "@prisma/client" || /(^|\/)db(\/index|\/prismaClient)?(\.[jt]s)?$/.test(specifier);
  return isDatabase ? { url: process.env.ROWS, format: "module", shortCircuit: true } : next(specifier, context);
}
