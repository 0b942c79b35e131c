/** Dials the host and port of its arguments and prints how that failed. */
import { BunNet } from "../../src/env/bun-net.ts";

const [host = "", port = ""] = process.argv.slice(2);
new BunNet().connect(
  host,
  Number(port),
  () => {
    throw new Error("the dial was meant to fail");
  },
  (reason, kind) => console.log(`${kind}: ${reason}`),
);
