/** A node as far as its peers see it, on a real socket: listens on the port of its argument until it is killed. */
import { BunClock } from "../../src/env/bun-clock.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import { Listener } from "../../src/rpc/listener.ts";

const [port = "", nodeId = "", bootId = "", clusterId = ""] = process.argv.slice(2);
const env = { net: new BunNet(), clock: new BunClock() };
const listener = new Listener(
  env,
  { host: "127.0.0.1", port: Number(port), roles: ["peer"] },
  {
    greet: () => ({ clusterId, nodeId, bootId, keyBytesMax: 0, valueBytesMax: 0, leader: "" }),
    frame: () => {},
    closed: () => {},
    log: () => {},
  },
);
console.log(listener.port);
