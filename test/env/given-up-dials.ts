/** Run by bun-net.test.ts where nobody answers at 203.0.113.1: counts the descriptors of dials before and after they are given up. */
import { readdirSync } from "node:fs";
import { BunNet } from "../../src/env/bun-net.ts";

const net = new BunNet();
const handler = { data: () => {}, drain: () => {}, ended: () => {}, closed: () => {} };
const descriptors = () => readdirSync("/proc/self/fd").length;

// The first dial opens what all of them share.
net.connect("203.0.113.1", 5001, () => handler, console.log).cancel();
await Bun.sleep(50);
const before = descriptors();
const dials = Array.from({ length: 30 }, () => net.connect("203.0.113.1", 5001, () => handler, console.log));
await Bun.sleep(100);
const during = descriptors();
for (const dial of dials) dial.cancel();
await Bun.sleep(100);
console.log(
  `${during - before} more while they hang, ${descriptors() - before} more when they were given up`,
);
process.exit(0);
