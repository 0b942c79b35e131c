import { expect, test } from "bun:test";
import { ByteReader } from "../../src/lib/codec.ts";
import { method } from "../../src/rpc/method.ts";
import { LogCompaction, type LogCompactionOptions } from "../../src/server/log-compaction.ts";
import { SnapshotRequests, type SnapshotRequestsOptions } from "../../src/server/snapshot-requests.ts";

/** What a log would be told to keep, when the store holds everything up to 100 durably. */
function keptWith(heldIndex: number): number {
  let kept = -1;
  const compaction = new LogCompaction({
    persister: {
      compact: ({ upTo }: { upTo: number }) => {
        kept = upTo;
        return false;
      },
    },
    store: { applied: { index: 100, term: 1 } },
    limits: { logTailEntries: 0, logTailBytes: 0 },
    heldIndex: () => heldIndex,
  } as unknown as LogCompactionOptions);
  for (let ticks = 0; ticks < 100; ticks++) compaction.tick();
  return kept;
}

/** Snapshots of a node whose store holds everything up to 70 in 1000 bytes, one read by a member or by a client. */
function heldBy(peer: string | undefined, logBytes: number): number {
  const requests = new SnapshotRequests({
    clock: { monotonicMs: () => 0 },
    store: {
      applied: { index: 70, term: 1 },
      scanDurable: () => ({ applied: { index: 70, term: 1 }, sequence: 60, bytes: 1000, close: () => {} }),
    },
    driver: { applied: { index: 70, term: 1 } },
    replies: { answer: () => {} },
    logBytes: () => logBytes,
  } as unknown as SnapshotRequestsOptions);
  const replyTo = { method: method.openSnapshot, requestId: 1, connection: { context: { peer } } as never };
  expect(requests.dispatch(replyTo, new ByteReader(new Uint8Array([0])), 1000)).toBe(true);
  return requests.heldIndex;
}

test("of many members that fetch the state, the log is held for the one whose state is the oldest", () => {
  const open = { applied: { index: 0, term: 1 } };
  const requests = new SnapshotRequests({
    clock: { monotonicMs: () => 0 },
    store: {
      ...open,
      scanDurable: () => ({ applied: { ...open.applied }, sequence: 60, bytes: 1000, close: () => {} }),
    },
    driver: open,
    replies: { answer: () => {} },
    logBytes: () => 5_000_000,
  } as unknown as SnapshotRequestsOptions);
  for (const [index, peer] of [
    [70, "one"],
    [40, "two"],
    [90, "three"],
  ] as const) {
    open.applied = { index, term: 1 };
    const replyTo = { method: method.openSnapshot, requestId: 1, connection: { context: { peer } } as never };
    expect(requests.dispatch(replyTo, new ByteReader(new Uint8Array([0])), 1000)).toBe(true);
  }
  expect(requests.heldIndex).toBe(40);
});

test("a log is dropped up to what the store holds durably, and not beyond what a member fetches", () => {
  expect(keptWith(Number.POSITIVE_INFINITY)).toBe(100);
  expect(keptWith(70)).toBe(70);
});

test("a member that fetches the state holds the log behind it, a backup does not, and nobody does without end", () => {
  expect(heldBy("a member", 5_000_000)).toBe(70);
  expect(heldBy(undefined, 5_000_000)).toBe(Number.POSITIVE_INFINITY);
  expect(heldBy("a member", 10_000_000_000)).toBe(Number.POSITIVE_INFINITY);
});
