// The official parsers, asked line by line: one JSON request on standard input, one JSON answer on standard output.
// Bytes are written {"$bytes": base64} on both ways.

import { createInterface } from "node:readline";
import * as engine from "engine.io-parser";
import { Decoder, Encoder } from "socket.io-parser";

const bare = (value) => {
  if (Buffer.isBuffer(value)) return { $bytes: value.toString("base64") };
  if (Array.isArray(value)) return value.map(bare);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bare(inner)]));
};
const full = (value) => {
  if (Array.isArray(value)) return value.map(full);
  if (value === null || typeof value !== "object") return value;
  if ("$bytes" in value) return Buffer.from(value.$bytes, "base64");
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, full(inner)]));
};

const operations = {
  encode: (packet) => new Encoder().encode(packet),
  decode: (parts) => {
    const decoder = new Decoder();
    let decoded = null;
    decoder.on("decoded", (packet) => (decoded = packet));
    for (const part of parts) decoder.add(part);
    return decoded;
  },
  encodePayload: (packets) => new Promise((resolve) => engine.encodePayload(packets, resolve)),
  decodePayload: (payload) => engine.decodePayload(payload, "nodebuffer"),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, argument } = JSON.parse(line);
  let answer;
  try {
    answer = { result: bare(await operations[operation](full(argument))) };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
