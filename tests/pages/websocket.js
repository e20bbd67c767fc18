// What a test asks of this page: each function has WebSockets of its own, and resolves to what the browser said of them.
"use strict";

const PATIENCE = 20_000; // milliseconds, for each event

// The names of the events that are waited for, and of the fields that are told of them.
const FIELDS = { open: [], message: ["data"], error: [], close: ["code", "reason", "wasClean"] };

/** A queue: what was put in first is taken first, and whoever takes waits for it. */
class Queue {
  #items = [];
  #waiting = [];

  put(item) {
    const taker = this.#waiting.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  take(what) {
    if (this.#items.length) return Promise.resolve(this.#items.shift());
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no ${what} within ${PATIENCE} ms`)), PATIENCE);
      this.#waiting.push((item) => (clearTimeout(late), resolve(item)));
    });
  }
}

/** A WebSocket whose events are asked for one by one, in their order: another one than was expected is an error. */
class Line {
  #events = new Queue();

  constructor(path, protocols = []) {
    const url = new URL(path, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url, protocols);
    this.socket.binaryType = "arraybuffer";
    for (const kind of Object.keys(FIELDS)) this.socket.addEventListener(kind, (event) => this.#events.put(event));
  }

  async next(kind) {
    const event = await this.#events.take(kind);
    const told = Object.fromEntries(FIELDS[event.type].map((name) => [name, event[name]]));
    if (event.type !== kind) throw new Error(`${event.type} ${JSON.stringify(told)} instead of ${kind}`);
    return told;
  }

  async ask(message) {
    this.socket.send(message);
    return (await this.next("message")).data;
  }

  async closed(code, reason) {
    if (code === undefined) this.socket.close();
    else this.socket.close(code, reason);
    return this.next("close");
  }
}

async function opened(path, protocols) {
  const line = new Line(path, protocols);
  await line.next("open");
  return line;
}

/** What was agreed on in the handshake. */
async function agreed(path, protocols) {
  const line = await opened(path, protocols);
  const { protocol, extensions, readyState } = line.socket;
  await line.closed(1000, "");
  return { protocol, extensions: extensions.split(";")[0], readyState };
}

/** The texts that came back, and whether so many bytes did, as a buffer and as a blob. */
async function echoes(path, texts, size) {
  const line = await opened(path, ["chat"]);
  const heard = [];
  for (const text of texts) heard.push(await line.ask(text));
  // No two kibibytes are the same, so what is lost, doubled or moved shows; the rest is quick to compress.
  const sent = new Uint32Array(size / 4).map((_, index) => (index % 256 ? 0 : index));
  const same = (buffer) => {
    const words = new Uint32Array(buffer);
    return words.length === sent.length && words.every((word, index) => word === sent[index]);
  };
  const buffer = same(await line.ask(sent));
  line.socket.binaryType = "blob";
  const blob = await line.ask(new Blob([sent]));
  const kind = blob.constructor.name;
  const none = (await line.ask(new Blob([new Uint8Array([255, 0])]))).size;
  const end = await line.closed(1000, "");
  return { texts: heard, buffer, blob: [kind, same(await blob.arrayBuffer())], few: none, clean: end.wasClean };
}

/** How many of so many messages came back in their order; all are sent before the first is awaited. */
async function ordered(path, count) {
  const line = await opened(path, ["chat"]);
  for (let number = 0; number < count; number++) line.socket.send(String(number));
  let next = 0;
  while (next < count && (await line.next("message")).data === String(next)) next++;
  await line.closed(1000, "");
  return next;
}

/** What came before the application closed, and how it closed. */
async function closedByApplication(path) {
  const line = await opened(path, ["chat"]);
  const { data } = await line.next("message");
  return { last: data, close: await line.next("close"), readyState: line.socket.readyState };
}

/** How a close of this page ended; without a code if none is given. */
async function closedByPage(path, code, reason) {
  const line = await opened(path, ["chat"]);
  await line.ask("here");
  return line.closed(code, reason);
}

/** The two events of a handshake that was not accepted. */
async function refused(path) {
  const line = new Line(path);
  await line.next("error");
  const close = await line.next("close");
  return { close, readyState: line.socket.readyState };
}

/** Leave a WebSocket open for whoever takes this page away. */
async function left(path) {
  window.leftOpen = await opened(path, ["chat"]);
  return window.leftOpen.ask("here");
}

/** A cookie of a response of HTTP, as the handshake that comes next has it. */
async function cookie(set, path, value) {
  await fetch(`${set}?value=${value}`);
  const line = await opened(path);
  const { data } = await line.next("message");
  await line.closed(1000, "");
  return data;
}

/** Many WebSockets that are open together, by turns on these paths; what HTTP answers meanwhile, and what each hears. */
async function together(paths, count, beside) {
  const lines = [];
  // One by one: a browser delays those that are opened while others are.
  while (lines.length < count) lines.push(await opened(paths[lines.length % paths.length], ["chat"]));
  for (const [index, line] of lines.entries()) line.socket.send(`before ${index}`);
  const answers = await Promise.all(Array.from({ length: 4 }, async () => (await fetch(beside)).text()));
  for (const [index, line] of lines.entries()) line.socket.send(`after ${index}`);
  const heard = [];
  for (const line of lines) heard.push([(await line.next("message")).data, (await line.next("message")).data]);
  const ends = await Promise.all(lines.map((line) => line.closed(1000, "")));
  return { answers, heard, clean: ends.every((end) => end.wasClean) };
}
