/** Run by bun-net.test.ts in a process of its own: dials a peer that resets each connection as it opens. */
import { BunNet } from "../../src/env/bun-net.ts";

const dials = 50;
let exceptions = 0;
let told = 0;
process.on("uncaughtException", () => exceptions++);

const net = new BunNet();
const peer = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: { open: (socket) => socket.terminate(), data: () => {} },
});
const handler = { data: () => {}, drain: () => {}, ended: () => {}, closed: () => {} };
const opened = () => {
  told++;
  return handler;
};
for (let dial = 0; dial < dials; dial++) {
  net.connect("127.0.0.1", peer.port, opened, () => told++);
  await Bun.sleep(2);
}
await Bun.sleep(100);
console.log(`${told} opened or failed, ${exceptions} exceptions`);
process.exit(0);
