import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { encodeCommand } from "../../src/kv/command.ts";
import { type Bytes, concatBytes, emptyBytes, toUtf8 } from "../../src/lib/bytes.ts";
import type { ByteWriter } from "../../src/lib/codec.ts";
import { frameKind } from "../../src/rpc/frame.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { frame, getOf, hello, Stranger } from "./stranger.ts";

// One client sends a great many requests at once. The leader does other things in between: it stays the leader, and another
// client's request waits for no more than a few of its turns. Waiting is measured in processor time of the leader, since a
// busy machine makes everything else wait.

let cluster: Cluster;
let leader: number;
beforeAll(async () => {
  cluster = await Cluster.start({ timings: { electionMin: "1500ms", electionMax: "2s" } });
  leader = await cluster.awaitLeader();
  await cluster.client().put("key", "value");
}, 30_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

/** Processor time of the leader's event loop up to now, in ms. */
function processorMs(): number {
  const { pid } = cluster.servers[leader]!;
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0]) / 1_000_000;
}

const bursts: Record<string, [count: number, number: number, write: (body: ByteWriter, id: number) => void]> =
  {
    gets: [
      60_000,
      method.get,
      (body) => {
        body.u8(0);
        body.text("key");
      },
    ],
    puts: [
      15_000,
      method.put,
      (body, id) =>
        encodeCommand(body, {
          ...{ type: "put", timeMs: 0, session: undefined, principal: emptyBytes },
          ...{ key: toUtf8(`k${id % 100}`), value: toUtf8("v") },
        }),
    ],
    "status requests": [10_000, method.status, () => {}],
    "requests for members": [10_000, method.members, () => {}],
    "reads of no snapshot": [
      20_000,
      method.readSnapshot,
      (body) => {
        body.varint(1);
        body.varint(1);
      },
    ],
    "requests that cannot be read": [40_000, 77, (body) => body.raw(new Uint8Array(20).fill(0xff))],
  };

function burstOf(count: number, number: number, write: (body: ByteWriter, id: number) => void): Bytes {
  const all: Bytes[] = [];
  for (let id = 1; id <= count; id++)
    all.push(
      frame(
        frameKind.request,
        number,
        (body) => {
          encodeRequestHead(body, 20_000);
          write(body, id);
        },
        id,
      ),
    );
  return concatBytes(all);
}

for (const [name, [count, number, write]] of Object.entries(bursts))
  test(`a burst of ${name} costs the leader nothing, and others are served in between`, async () => {
    const before = (await cluster.status())[leader]!;
    const bytes = burstOf(count, number, write);
    // Of gets six clients send as many each, all at once.
    const clients = number === method.get ? 7 : 2;
    const connected = await Promise.all(
      Array.from({ length: clients }, () => Stranger.connect(cluster.ports[leader]!)),
    );
    const [other, sender, ...more] = connected;
    for (const stranger of connected) stranger.send(hello());
    while (connected.some(({ received }) => received === 0)) await Bun.sleep(1);
    for (const stranger of more) stranger.send(bytes);
    const startedMs = processorMs();
    let rest: Uint8Array = bytes;
    let heard = sender!.received;
    let quietAtMs = performance.now();
    const waits: number[] = [];
    for (let id = 1; rest.length > 0 || performance.now() - quietAtMs < 500; id++) {
      const sent = rest.length > 0 ? sender!.send(rest) : 0;
      if (sent > 0) rest = rest.subarray(sent);
      if (sender!.received > heard || sent > 0) quietAtMs = performance.now();
      heard = sender!.received;
      const [askedMs, had] = [processorMs(), other!.received];
      other!.send(getOf("key", id));
      while (other!.received === had && !other!.isClosed) await Bun.sleep(0);
      waits.push(processorMs() - askedMs);
    }
    const longestMs = Math.max(...waits);
    const tookMs = processorMs() - startedMs;
    process.stdout.write(
      `${count} ${name}: ${Math.round(tookMs)} ms of the leader; of ${waits.length} other gets one waited for ${Math.round(longestMs)} ms of them\n`,
    );
    const after = (await cluster.status())[leader]!;
    expect([after.role, after.term]).toEqual(["leader", before.term]);
    // A read sees the writes that were decided before it, so it waits until they are applied.
    expect(longestMs).toBeLessThan(number === method.put ? 400 : 100);
    expect(waits.length).toBeGreaterThan(number === method.put ? 0 : 5);
    for (const stranger of connected) stranger.end();
  }, 40_000);
