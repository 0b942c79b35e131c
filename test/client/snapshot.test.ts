import { expect, test } from "bun:test";
import type { SnapshotStream } from "../../src/client/kv-client.ts";
import { concatBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeSnapshotHead, encodeSnapshotPiece } from "../../src/rpc/snapshot-requests.ts";
import { FakeCluster, type FakeServer, type Request } from "./fake-cluster.ts";

const pieces = ["one", "two", "three", ""].map(toUtf8);
const head = { token: 7, index: 40, term: 3, revision: 12, bytes: 11 };

interface Behaviour {
  readonly isLeader?: boolean;
  /** It says that it leads, and no majority confirms that any more. */
  readonly isDeposed?: boolean;
  /** Runs instead of the answer to piece `number`, at its `count`th request; false goes on with the answer. */
  readonly instead?: (request: Request, number: number, count: number) => boolean;
  readonly crc?: number;
}

/** A server that has the pieces; what it was asked stands in the list, in order. */
function serveSnapshot(
  server: FakeServer,
  { isLeader = true, isDeposed = false, instead, crc }: Behaviour = {},
): string[] {
  const asked: string[] = [];
  const counts = new Map<number, number>();
  server.handle = (request) => {
    switch (request.method) {
      case method.get:
        if (isLeader && !isDeposed) return request.noKey();
        return request.refuse("ErrWrongLeader", { leader: server.cluster.servers[1]!.name });
      case method.isLeader:
        return request.answer((body) => {
          body.u8(Number(isLeader));
          body.text(isLeader ? server.name : server.cluster.servers[1]!.name);
        });
      case method.openSnapshot:
        asked.push(`open ${request.arguments!.u8()}`);
        return request.answer((body) => encodeSnapshotHead(body, head));
      default: {
        const [token, number] = [request.arguments!.varint(), request.arguments!.varint()];
        expect([request.method, token]).toEqual([method.readSnapshot, 7]);
        asked.push(`read ${number}`);
        const count = (counts.get(number) ?? 0) + 1;
        counts.set(number, count);
        if (instead?.(request, number, count)) return;
        const isLast = number === pieces.length - 1;
        const end = { rowCount: 5, crc: crc ?? crc32(concatBytes(pieces)) };
        request.answer((body) =>
          encodeSnapshotPiece(body, { rows: pieces[number]!, end: isLast ? end : undefined }),
        );
      }
    }
  };
  return asked;
}

/** Moves time on until the promise is settled. */
async function settle<T>(cluster: FakeCluster, promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = () => {
    isSettled = true;
  };
  promise.then(settled, settled);
  await cluster.runUntil(() => isSettled);
  return promise;
}

async function readAll(stream: SnapshotStream): Promise<string[]> {
  const chunks: string[] = [];
  for await (const rows of stream) chunks.push(fromUtf8(rows));
  return chunks;
}

test("a snapshot is that of the leader, comes in order, and tells what it is the state of", async () => {
  const cluster = new FakeCluster(2);
  const [follower, leader] = cluster.servers as [FakeServer, FakeServer];
  serveSnapshot(follower, { isLeader: false });
  const asked = serveSnapshot(leader);
  const stream = await settle(cluster, cluster.client.snapshot({ fresh: true }));
  const { index, term, revision, bytes, address } = stream;
  expect([index, term, revision, bytes, address.port]).toEqual([40, 3, 12, 11, 5002]);
  expect(stream.rowCount).toBeUndefined();
  expect(await settle(cluster, readAll(stream))).toEqual(["one", "two", "three", ""]);
  expect(stream.rowCount).toBe(5);
  expect(asked).toEqual(["open 1", "read 0", "read 1", "read 2", "read 3"]);
  await cluster.close();
});

test("a node that was deposed and does not know it is not read from when everything has to be there", async () => {
  const cluster = new FakeCluster(2);
  const asked = serveSnapshot(cluster.servers[0]!, { isDeposed: true });
  serveSnapshot(cluster.servers[1]!);
  const stream = await settle(cluster, cluster.client.snapshot({ fresh: true }));
  expect(stream.address.port).toBe(5002);
  expect(asked).toEqual([]);
  stream.close();
  await cluster.close();
});

test("the node may be named, and while a piece is consumed the next one is asked for, and no further one", async () => {
  const cluster = new FakeCluster(2);
  const asked = serveSnapshot(cluster.servers[0]!, { isLeader: false });
  const stream = await settle(cluster, cluster.client.snapshot({ from: cluster.servers[0]!.address }));
  const iterator = stream[Symbol.asyncIterator]();
  await settle(cluster, iterator.next());
  await cluster.run(100);
  expect(asked).toEqual(["open 0", "read 0", "read 1"]);
  await settle(cluster, iterator.return(undefined));
  await cluster.run(100);
  expect(asked.length).toBe(3);
  await cluster.close();
});

test("a piece that is lost is asked for again: a broken connection, silence, a node that is busy", async () => {
  const cluster = new FakeCluster(1);
  const instead = (request: Request, number: number, count: number) => {
    if (count > 1) return false;
    if (number === 1) request.cut();
    if (number === 3) request.refuse("ErrBusy");
    return number !== 0;
  };
  const asked = serveSnapshot(cluster.servers[0]!, { instead });
  const stream = await settle(cluster, cluster.client.snapshot());
  expect(await settle(cluster, readAll(stream))).toEqual(["one", "two", "three", ""]);
  expect(asked.slice(1)).toEqual([0, 1, 1, 2, 2, 3, 3].map((number) => `read ${number}`));
  await cluster.close();
});

const failures: [name: string, behaviour: Behaviour, code: string, message: string][] = [
  [
    "is gone",
    {
      instead: (request, number) => {
        if (number === 1) request.refuse("ErrSnapshot");
        return number === 1;
      },
    },
    "ErrSnapshot",
    "Cannot read the snapshot of fake:5001: ErrSnapshot; begin again, with a new one",
  ],
  [
    "hangs",
    { instead: (_, number) => number === 1 },
    "Deadline",
    "Cannot read the snapshot of fake:5001: fake:5001 did not answer within",
  ],
  [
    "is damaged on the way",
    { crc: 1 },
    "Damaged",
    "Cannot read the snapshot of fake:5001: its checksum is 09e1c092, fake:5001 says 00000001; read it again",
  ],
];
for (const [name, behaviour, code, message] of failures)
  test(`a snapshot that ${name} fails clearly`, async () => {
    const cluster = new FakeCluster(1);
    serveSnapshot(cluster.servers[0]!, behaviour);
    const stream = await settle(cluster, cluster.client.snapshot());
    const error = await settle(
      cluster,
      readAll(stream).catch((thrown: unknown) => thrown),
    );
    expect(error).toMatchObject({ outcome: "not-done", code, message: expect.stringContaining(message) });
    await cluster.close();
  });

test("close() ends a snapshot that is read", async () => {
  const cluster = new FakeCluster(1);
  serveSnapshot(cluster.servers[0]!, { instead: (_, number) => number === 1 });
  const stream = await settle(cluster, cluster.client.snapshot());
  const read = readAll(stream).catch((error: unknown) => error);
  await cluster.run(10);
  await cluster.close();
  expect(await settle(cluster, read)).toMatchObject({ outcome: "not-done", code: "Closed" });
});
