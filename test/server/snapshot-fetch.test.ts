/** Goal: a state that cannot be used is not fetched without end, and ends no process. */
import { expect, test } from "bun:test";
import { statusNumber } from "../../src/kv/status.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeAnswerHead, encodeRefusal } from "../../src/rpc/reply.ts";
import { encodeSnapshotHead, encodeSnapshotPiece } from "../../src/rpc/snapshot-requests.ts";
import { SnapshotFetch, type SnapshotFetchOptions } from "../../src/server/snapshot-fetch.ts";
import { ManualClock } from "../rpc/memory-net.ts";

const [one, two] = ["1".repeat(16), "2".repeat(16)] as [NodeId, NodeId];

/** A node whose source answers with what `write` writes. */
function fetching(write: (number: number, body: ByteWriter) => void) {
  const clock = new ManualClock();
  const asked: string[] = [];
  const lines: string[] = [];
  const events: string[] = [];
  const fetch = new SnapshotFetch({
    clock,
    store: {
      sequence: 50,
      beginInstall: () => ({
        isFinishing: false,
        add: () => {},
        finish: () => events.push("finish"),
        abandon: () => events.push("abandon"),
      }),
    },
    driver: { applied: { index: 5, term: 1 }, beginRestore: () => true },
    call: (from: string, number: number) => {
      if (number === method.openSnapshot) asked.push(from);
      const body = new ByteWriter();
      write(number, body);
      return Promise.resolve({ ok: true, body: body.take() });
    },
    log: (line: string) => lines.push(line),
    restored: () => {},
  } as unknown as SnapshotFetchOptions);
  const offer = async (from: NodeId, ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 50) {
      fetch.offered(from);
      await new Promise((resolve) => setImmediate(resolve));
      clock.run(50);
    }
  };
  return { asked, lines, events, offer };
}

test("a state that its source cannot read is asked for again less and less often, but another source at once", async () => {
  const { asked, lines, offer } = fetching((_, body) =>
    encodeRefusal(body, statusNumber("ErrLevelDB"), {
      retryable: false,
      wasProposed: false,
      leader: "",
      text: "a run is damaged",
    }),
  );
  await offer(one, 60_000);
  expect(asked.length).toBeGreaterThan(5);
  expect(asked.length).toBeLessThan(15);
  expect(lines.length).toBe(asked.length);
  asked.length = 0;
  await offer(two, 50);
  expect(asked).toEqual([two]);
});

test("a state that is newer and has a smaller revision is refused", async () => {
  const { lines, events, offer } = fetching((number, body) => {
    encodeAnswerHead(body, statusNumber("OK"), { term: 1, revision: 40 });
    if (number === method.openSnapshot)
      encodeSnapshotHead(body, { token: 1, index: 9, term: 1, revision: 40, bytes: 10 });
    else encodeSnapshotPiece(body, { rows: new Uint8Array(0), end: { rowCount: 0, crc: 0 } });
  });
  await offer(one, 50);
  expect(events).toEqual(["abandon"]);
  expect(lines.at(-1)).toContain("its revision is 40, and this node's, which is older, has 50");
});

test("a state whose sum is not that of what arrived is given up before anything is replaced", async () => {
  for (const [crc, wanted] of [
    [0, "finish"],
    [1, "abandon"],
  ] as const) {
    const { lines, events, offer } = fetching((number, body) => {
      encodeAnswerHead(body, statusNumber("OK"), { term: 1, revision: 60 });
      if (number === method.openSnapshot)
        encodeSnapshotHead(body, { token: 1, index: 9, term: 1, revision: 60, bytes: 10 });
      else encodeSnapshotPiece(body, { rows: new Uint8Array(0), end: { rowCount: 0, crc } });
    });
    await offer(one, 50);
    expect(events[0]).toBe(wanted);
    expect(lines.some((line) => line.includes("its checksum is not that of what arrived"))).toBe(crc === 1);
  }
});

const electionMs = 300;

/** A transfer from `one` in pieces that take so long; `silent` sources answer nothing at all. */
function slowFetching(pieceMs: number, pieceCount: number) {
  const clock = new ManualClock();
  const opened: { readonly from: string; readonly atMs: number }[] = [];
  const silent = new Set<string>();
  const gone = new Set<string>();
  const lines: string[] = [];
  let isFinished = false;
  const answer = (from: string, number: number, write: (body: ByteWriter) => void): Uint8Array => {
    const request = new ByteWriter();
    write(request);
    const body = new ByteWriter();
    encodeAnswerHead(body, statusNumber("OK"), { term: 1, revision: 60 });
    if (number === method.openSnapshot) {
      opened.push({ from, atMs: clock.monotonicMs() });
      encodeSnapshotHead(body, { token: 1, index: 9, term: 1, revision: 60, bytes: 10 });
      return body.take();
    }
    const isLast = request.take().at(-1) === pieceCount - 1;
    encodeSnapshotPiece(body, {
      rows: new Uint8Array(0),
      end: isLast ? { rowCount: 0, crc: 0 } : undefined,
    });
    return body.take();
  };
  const fetch = new SnapshotFetch({
    clock,
    silentMs: electionMs,
    store: {
      sequence: 50,
      beginInstall: () => ({
        isFinishing: false,
        add: () => {},
        finish: () => {
          isFinished = true;
        },
        abandon: () => {},
      }),
    },
    driver: { applied: { index: 5, term: 1 }, beginRestore: () => true },
    call: (from: string, number: number, write: (body: ByteWriter) => void, timeoutMs: number) =>
      new Promise((resolve) => {
        if (gone.has(from)) return resolve({ ok: false, text: "it cannot be reached" });
        clock.after(pieceMs, () => {
          if (!silent.has(from)) resolve({ ok: true, body: answer(from, number, write) });
        });
        clock.after(timeoutMs, () => resolve({ ok: false, text: "no answer" }));
      }),
    log: (line: string) => lines.push(line),
    restored: () => {},
  } as unknown as SnapshotFetchOptions);
  /** Lets time pass while the leader at that moment offers the state, as it does with every heartbeat. */
  const run = async (ms: number, leader: () => NodeId | undefined): Promise<void> => {
    for (let passed = 0; passed < ms && !isFinished; passed += 10) {
      const from = leader();
      if (passed % 50 === 0 && from !== undefined) fetch.offered(from);
      await new Promise((resolve) => setImmediate(resolve));
      clock.run(10);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { clock, opened, silent, gone, lines, run, isFinished: () => isFinished };
}

test("a transfer from a source that froze begins anew at the new leader within an election timeout", async () => {
  const { clock, opened, silent, run, isFinished } = slowFetching(20, 100);
  await run(500, () => one);
  silent.add(one);
  // Nobody leads for a while: then the source is all that there is.
  await run(400, () => undefined);
  expect(opened.length).toBe(1);
  const electedMs = clock.monotonicMs();
  await run(5000, () => two);
  expect(opened.map(({ from }) => from)).toEqual([one, two]);
  expect(opened[1]!.atMs - electedMs).toBeLessThan(electionMs);
  expect(isFinished()).toBe(true);
});

test("a source that froze before it has said anything gives way, too", async () => {
  const { clock, opened, silent, run, isFinished } = slowFetching(20, 10);
  silent.add(one);
  await run(100, () => one);
  const electedMs = clock.monotonicMs();
  await run(5000, () => two);
  expect(opened.map(({ from }) => from)).toEqual([two]);
  expect(opened[0]!.atMs - electedMs).toBeLessThan(2 * electionMs);
  expect(isFinished()).toBe(true);
});

test("a source that gets on is kept while the leadership goes to and fro, also when it is slow", async () => {
  for (const pieceMs of [20, 250, 800]) {
    const { clock, opened, run, isFinished } = slowFetching(pieceMs, 40);
    await run(pieceMs * 4, () => one);
    await run(60_000, () => (Math.floor(clock.monotonicMs() / 1000) % 2 === 0 ? two : one));
    expect([pieceMs, opened.map(({ from }) => from)]).toEqual([pieceMs, [one]]);
    expect(isFinished()).toBe(true);
  }
});

test("a slow source that has ended gives way as soon as one that was fast", async () => {
  const { clock, opened, gone, run, isFinished } = slowFetching(5_000, 4);
  await run(12_000, () => one);
  gone.add(one);
  await run(4_000, () => undefined);
  const electedMs = clock.monotonicMs();
  await run(60_000, () => two);
  expect(opened.map(({ from }) => from)).toEqual([one, two]);
  expect(opened[1]!.atMs - electedMs).toBeLessThan(electionMs + 5_000 + 100);
  expect(isFinished()).toBe(true);
});
