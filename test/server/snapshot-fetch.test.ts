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
