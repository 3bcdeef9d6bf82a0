const library = require("./library.node"); // of node.c

function checked(n) {
  if (n < 0) throw Object.assign(new Error("the call failed"), { errno: n });
  return n;
}

async function librarySend(sock, payload, fds) {
  return checked(library.send(sock, payload, Buffer.from(Int32Array.from(fds).buffer), Buffer.alloc(0)));
}

async function libraryRecv(sock, most, room) {
  const payload = Buffer.alloc(most);
  const fds = new Int32Array(room);
  const told = new Int32Array(2);
  const n = checked(library.recv(sock, payload, Buffer.from(fds.buffer), Buffer.from(told.buffer)));
  return { payload: payload.subarray(0, n), fds: [...fds.subarray(0, told[0])], flags: told[1] };
}
