// A peer for scm interop: it reads commands on standard input and answers on standard output.
// Call your library in librarySend and libraryRecv. Throw Unsupported if it has no interface for the
// command. Any other error becomes an error answer.
//
//     node peer.js
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");

const MAX_INT = 2 ** 31 - 1;
const MAX_PAYLOAD = 64 << 20;

class Unsupported extends Error {}

// Sends the payload (a Buffer) and the descriptors, and returns the count that the library reports.
async function librarySend(sock, payload, fds) {
  throw new Unsupported();
}

// Receives at most this many bytes and descriptors, and returns {payload, fds, flags}. flags is
// msg_flags, and undefined if the library does not report them.
async function libraryRecv(sock, most, room) {
  throw new Unsupported();
}

const held = new Set(); // the socket of the case, its files, and the descriptors received
let caseSock = -1;

function close(fds) {
  if (!fds.every((fd) => held.has(fd))) throw new Unsupported();
  for (const fd of new Set(fds)) {
    held.delete(fd);
    try {
      fs.closeSync(fd);
    } catch {
      // the library may have reported a descriptor that is not open
    }
  }
}

function formed(form, text) {
  if (!form.test(text)) throw new Unsupported();
  return text;
}

function integer(text, least = 0, most = MAX_INT) {
  const n = Number(formed(/^(0|-?[1-9]\d{0,9})$/, text));
  if (n < least || n > most) throw new Unsupported();
  return n;
}

const integers = (text, least) => (text === "-" ? [] : text.split(",").map((word) => integer(word, least)));

// Returns the bytes of the payload @N.
function pattern(length, at) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (at + i) % 251;
  return bytes;
}

function payloadOf(text, at) {
  if (text === "-") return Buffer.alloc(0);
  if (text.startsWith("@")) return pattern(integer(text.slice(1), 1, MAX_PAYLOAD), at);
  return Buffer.from(formed(/^([0-9a-f]{2})+$/, text), "hex");
}

function shown(payload, at) {
  if (payload.length <= 4096) return payload.toString("hex") || "-";
  const wanted = pattern(payload.length, at);
  return payload.equals(wanted) ? `@${payload.length}` : `!${payload.findIndex((byte, i) => byte !== wanted[i])}`;
}

function shownFlags(flags) {
  flags &= ~0x40000000; // MSG_CMSG_CLOEXEC is not reported
  const names = [];
  for (const [name, bit] of [["oob", 0x1], ["ctrunc", 0x8], ["trunc", 0x20], ["eor", 0x80]]) {
    if (flags & bit) names.push(name);
    flags &= ~bit;
  }
  if (flags) names.push(`0x${(flags >>> 0).toString(16)}`);
  return names.join(",") || "-";
}

async function send(fields) {
  const payload = payloadOf(fields.get("payload"), integer(fields.get("at") ?? "0"));
  const fds = integers(fields.get("fds"), -MAX_INT - 1);
  if (!held.has(caseSock)) throw new Unsupported();
  return `ok n=${await librarySend(caseSock, payload, fds)}`;
}

async function recv(fields) {
  const at = integer(fields.get("at") ?? "0");
  const most = integer(fields.get("bytes"), 0, MAX_PAYLOAD);
  const room = integer(fields.get("fds"), 0, 65535);
  if (!held.has(caseSock)) throw new Unsupported();
  const { payload, fds, flags } = await libraryRecv(caseSock, most, room);
  for (const fd of fds) held.add(fd);
  const said = `ok n=${payload.length} payload=${shown(payload, at)} fds=${fds.join(",") || "-"}`;
  return flags === undefined ? said : `${said} flags=${shownFlags(flags)}`;
}

function use(fields) {
  const sock = integer(fields.get("sock"));
  const fds = integers(fields.get("fds") ?? "-");
  close([...held]);
  for (const fd of [sock, ...fds]) held.add(fd);
  caseSock = sock;
}

async function answer(line) {
  const [verb, ...words] = line.split(" ");
  const fields = new Map(
    words.map((word) => {
      const [key] = word.split("=", 1);
      return [key, word.slice(key.length + 1)];
    }),
  );
  if (fields.size < words.length) throw new Unsupported(); // a field occurs twice
  switch ([verb, ...[...fields.keys()].sort()].join(" ")) {
    case "hello":
      // Use your library's name and version. Expected failures can depend on the version.
      // In can=, multi promises several descriptors in a message, iov several buffers, and flags
      // calls with flags of the caller's choice, rather than the flags that a receive reports.
      // If the library waits in an event loop, add polls=yes.
      return "ok name=mine lang=javascript version=0 can=stream,dgram,seqpacket,multi";
    case "send fds payload":
    case "send at fds payload":
      return send(fields);
    case "recv bytes fds":
    case "recv at bytes fds":
      return recv(fields);
    case "close fds":
      close(integers(fields.get("fds")));
      return "ok";
    case "use sock":
    case "use fds sock":
      use(fields);
      return "ok";
    case "end":
      close([...held]);
      return "ok";
    default:
      throw new Unsupported();
  }
}

function failure(error) {
  if (error instanceof Unsupported) return "unsupported";
  // Node's streams close their socket on an error. If your library does so too, add closes=yes to the
  // answer to hello, and do not close that descriptor again: held.delete(caseSock).
  const errno = Math.abs(error?.errno);
  if (errno >= 1 && errno <= 4095) return `err ${errno}`;
  return `err lib ${String(error?.message ?? error).replace(/[^ -~]/g, "?")}`;
}

process.on("SIGPIPE", () => {});
(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    fs.writeSync(1, (await answer(line).catch(failure)) + "\n");
  }
  process.exit(0); // even if the library still has pending work
})();
