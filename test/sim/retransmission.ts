/**
 * When a system sends again what was sent at `sentMs` and was not acknowledged, as the first such moment after `nowMs`: TCP waits for
 * `firstMs`, and then each time for twice as long. So bytes arrive late after a silence, by up to as long as it lasted.
 */
export function retransmissionMs(sentMs: number, nowMs: number, firstMs: number): number {
  let waitMs = firstMs;
  let atMs = sentMs + waitMs;
  while (atMs <= nowMs) {
    waitMs = Math.min(2 * waitMs, waitMsMax);
    atMs += waitMs;
  }
  return atMs;
}

/** What was sent on a connection that is open: after 200, 600, 1400, 3000, 6200, 12,600 ms. */
export const dataRetransmissionMs = 200;
/** A dial, and the answer to one: after 1, 3, 7, 15 s. */
export const dialRetransmissionMs = 1000;

const waitMsMax = 120_000;
