// Loaded into a server before its own code (BUN_OPTIONS=--preload): the binary is the one that ships, only its wall clock is
// wrong. KVRAFT_TEST_CLOCK names a file with the number of ms that it is ahead of the right time, read again all the time.
import { readFileSync } from "node:fs";

const now = Date.now;
let readAtMs = 0;
let aheadMs = 0;

Date.now = () => {
  const rightMs = now();
  if (rightMs - readAtMs > 20) {
    readAtMs = rightMs;
    aheadMs = Number(readFileSync(process.env.KVRAFT_TEST_CLOCK, "utf8"));
  }
  return rightMs + aheadMs;
};
