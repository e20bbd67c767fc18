// A client of Socket.IO in this page, `io` being the one of the package socket.io-client. Needs websocket.js.
"use strict";

let client;
let said; // what the application says to the room
let ends; // why the connection has ended
let starts; // the client's id, each time it has connected

/** Connect, and tell the transport of the beginning and the one after it. */
async function connected() {
  said = new Queue();
  ends = new Queue();
  starts = new Queue();
  const transports = [];
  client = io({ reconnectionDelay: 10, timeout: PATIENCE });
  client.io.on("open", () => transports.push(client.io.engine.transport.name));
  client.on("said", (...data) => said.put(data));
  client.on("disconnect", (reason) => ends.put(reason));
  client.on("connect", () => starts.put(client.id));
  await starts.take("connect");
  return [...transports, await upgraded()];
}

/** The name of the transport after the upgrade. */
async function upgraded() {
  const { engine } = client.io;
  if (engine.transport.name !== "websocket") {
    const upgrades = new Queue();
    engine.once("upgrade", (transport) => upgrades.put(transport.name));
    await upgrades.take("upgrade");
  }
  return engine.transport.name;
}

/** Emit, and wait for the acknowledgement. */
function emitted(event, ...data) {
  return client.timeout(PATIENCE).emitWithAck(event, ...data);
}

/** Send bytes in a message, and get them back in the acknowledgement. */
async function binary(size) {
  const bytes = new Uint8Array(size).map((_, index) => index % 251);
  const { name, data } = await emitted("binary", { name: "é", data: bytes });
  const back = new Uint8Array(data);
  return [name, data.constructor.name, back.length === size && back.every((byte, index) => byte === bytes[index])];
}

/** What the application says next to the room. */
function heard() {
  return said.take("said");
}

/** Disconnect, and connect again. */
function again() {
  return replaced(() => {
    client.disconnect();
    client.connect();
  });
}

/** Lose the WebSocket under the client, which connects again by itself. */
function lost() {
  return replaced(() => client.io.engine.transport.ws.close());
}

async function replaced(end) {
  const before = client.id;
  end();
  const reason = await ends.take("disconnect");
  const after = await starts.take("connect");
  return { reason, new: after !== before, transport: await upgraded() };
}
