// The official Node client, following the story. `count` only receives; `lines` also writes each event's data.
//
//     node client.mjs URL count|lines JOB
import { writeSync } from "node:fs";
import { io } from "socket.io-client";

const [url, mode, job] = process.argv.slice(2);
const socket = io(url, { transports: ["websocket"], reconnection: false });
socket.on("export:progress", mode === "lines" ? (data) => writeSync(1, JSON.stringify(data) + "\n") : () => {});
socket.on("export:completed", () => socket.disconnect());
socket.on("connect", () => socket.emit("export:subscribe", { jobId: job, after: 0 }, () => {}));
