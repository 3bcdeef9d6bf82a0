// A peer for scm interop: it reads commands on standard input and answers on standard output.
// Call your library in librarySend and libraryRecv.
//
//     node peer.js
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");

class Unsupported extends Error {}

// Sends the payload (a Buffer) and the descriptors, and returns the count that the library reports.
async function librarySend(sock, payload, fds) {
  throw new Unsupported();
}

// Receives at most so many bytes and descriptors, and returns {payload, fds}.
async function libraryRecv(sock, most, room) {
  throw new Unsupported();
}

let held = []; // the socket of the case, its files, and what was received

function close(fds) {
  if (!fds.every((fd) => held.includes(fd))) throw new Unsupported();
  for (const fd of fds) {
    try {
      fs.closeSync(fd);
    } catch {
      // the library may have reported what is not open
    }
  }
  held = held.filter((fd) => !fds.includes(fd));
}

function formed(form, text) {
  if (!form.test(text)) throw new Unsupported();
  return text;
}

const number = (text) => Number(formed(/^(0|[1-9]\d{0,8})$/, text));
const numbers = (text) => (formed(/^(-|-?\d+(,-?\d+)*)$/, text) === "-" ? [] : text.split(",").map(Number));

// The bytes that @N stands for.
const pattern = (length, at) => Buffer.from({ length }, (_, i) => (at + i) % 251);

function shown(payload, at) {
  if (payload.length <= 4096) return payload.toString("hex") || "-";
  const wanted = pattern(payload.length, at);
  return payload.equals(wanted) ? `@${payload.length}` : `!${payload.findIndex((byte, i) => byte !== wanted[i])}`;
}

async function send(payload, fds, at) {
  const data = payload.startsWith("@")
    ? pattern(number(payload.slice(1)), at)
    : Buffer.from(formed(/^(-|([0-9a-f]{2})+)$/, payload).replace("-", ""), "hex");
  return `ok n=${await librarySend(held[0], data, numbers(fds))}`;
}

async function recv(most, room, at) {
  const { payload, fds } = await libraryRecv(held[0], number(most), number(room));
  held.push(...fds);
  return `ok n=${payload.length} payload=${shown(payload, at)} fds=${fds.join(",") || "-"}`;
}

async function answer(line) {
  const [verb, ...words] = line.split(" ");
  const fields = Object.fromEntries(words.map((word) => word.split("=", 2)));
  const at = number(fields.at ?? "0");
  delete fields.at;
  switch ([verb, ...Object.keys(fields).sort()].join(" ")) {
    case "hello":
      return "ok name=mine lang=javascript version=0 can=stream,dgram,seqpacket,multi";
    case "send fds payload":
      return send(fields.payload, fields.fds, at);
    case "recv bytes fds":
      return recv(fields.bytes, fields.fds, at);
    case "close fds":
      close(numbers(fields.fds));
      return "ok";
    case "use fds sock":
      close(held);
      held = [number(fields.sock), ...numbers(fields.fds)];
      return "ok";
    case "end":
      close(held);
      return "ok";
    default:
      throw new Unsupported();
  }
}

process.on("SIGPIPE", () => {});
(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let said;
    try {
      said = await answer(line);
    } catch (error) {
      if (error instanceof Unsupported) said = "unsupported";
      else said = typeof error.errno === "number" ? `err ${Math.abs(error.errno)}` : `err lib ${error.message}`;
    }
    fs.writeSync(1, said + "\n");
  }
})();
