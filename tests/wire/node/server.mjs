// The official Socket.IO server on a free loopback port, which is printed as the first line.
// It does what the client asks for by event, and ends when its standard input does: it cannot outlive the tests.

import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { pingInterval: 200, pingTimeout: 10_000, maxHttpBufferSize: 100_000 });

io.use((socket, next) => {
  const { refuse } = socket.handshake.auth;
  if (!refuse) return next();
  const error = new Error(refuse);
  error.data = { code: "REFUSED", retry: false };
  next(error);
});

io.on("connection", (socket) => {
  socket.emit("welcome", { auth: socket.handshake.auth, transport: socket.conn.transport.name });

  // Everything back, as an acknowledgement if one is asked for, else as an event.
  socket.on("echo", (...args) => {
    if (typeof args.at(-1) === "function") args.pop()(...args);
    else socket.emit("echoed", ...args);
  });

  // The server asks with `question`, and passes on what the client acknowledged.
  socket.on("ask me", (...args) => {
    socket.emit("question", ...args, (...answer) => socket.emit("answered", ...answer));
  });

  socket.on("many", (count) => {
    for (let number = 0; number < count; number += 1) socket.emit("one of many", number);
  });

  socket.on("put me out", () => socket.disconnect(false));
  socket.on("hang up", () => socket.disconnect(true));
  socket.on("cut", () => socket.conn.transport.socket?.terminate());
  socket.on("disconnect", (reason) => io.emit("somebody left", socket.id, reason));
});

http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.resume().on("end", () => process.exit(0));
