// The official Socket.IO client: `client.mjs URL OPTIONS`. Everything it is told is a line of JSON on standard output.
// It does what it is asked by lines of JSON on standard input, and ends when that does: it cannot outlive the tests.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const say = (...what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const [url, options] = process.argv.slice(2);
const socket = io(url, { reconnectionDelay: 10, ...JSON.parse(options) });

socket.on("connect", () => say("connect", socket.io.engine.transport.name));
socket.on("connect_error", (error) => say("connect_error", error.message));
socket.on("disconnect", (reason) => say("disconnect", reason));
socket.onAny((name, ...args) => say("event", name, ...args));

const doings = {
  emit: ({ id, args }) => socket.emit(...args, (...answer) => say("ack", id, ...answer)),
  // As if the cable was pulled: the client comes again by itself.
  drop: () => socket.io.engine.close(),
  leave: () => socket.disconnect(),
};
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  doings[asked.do](asked);
}
process.exit(0);
