import { expect, test } from "bun:test";
import { ByteReader, ByteWriter } from "../../src/lib/codec.ts";
import type { KvraftError } from "../../src/lib/error.ts";
import type { Index, NodeId } from "../../src/raft/types.ts";
import { Agreement } from "../../src/server/agreement.ts";

const ids = ["n1", "n2", "n3", "n4"] as NodeId[];
const [n1, n2, n3, n4] = ids as [NodeId, NodeId, NodeId, NodeId];

class Scene {
  readonly told: string[] = [];
  readonly differences: string[] = [];
  readonly agreement: Agreement;

  constructor(everyEntries = 10) {
    this.agreement = new Agreement({
      nodeId: n1,
      everyEntries,
      configuration: () => ({ incoming: [n1, n2, n3], outgoing: [], learners: [n4] }),
      tell: (write) => {
        const writer = new ByteWriter();
        write(writer);
        const reader = new ByteReader(writer.take());
        this.told.push(`${reader.varint()} ${reader.u32()}`);
      },
      differs: (error: KvraftError) => this.differences.push(error.message),
    });
  }

  hear(from: NodeId, index: Index, hash: number): void {
    const writer = new ByteWriter();
    writer.varint(index);
    writer.u32(hash);
    this.agreement.heard(from, new ByteReader(writer.take()));
  }
}

test("a node tells its hash once in so many entries, or never", () => {
  const scene = new Scene();
  for (let index = 1; index <= 30; index++) scene.agreement.applied(index, index * 7);
  expect(scene.told).toEqual(["10 70", "20 140", "30 210"]);
  const silent = new Scene(0);
  for (let index = 1; index <= 30; index++) silent.agreement.applied(index, 7);
  expect(silent.told).toEqual([]);
});

test("who differs from a majority stops and says since when, whoever was heard first", () => {
  const scene = new Scene();
  scene.agreement.applied(10, 5);
  scene.hear(n2, 10, 5);
  scene.hear(n2, 20, 6);
  scene.hear(n3, 20, 6);
  expect(scene.differences).toEqual([]);
  scene.agreement.applied(20, 7);
  expect(scene.differences.length).toBe(1);
  expect(scene.differences[0]).toContain(
    "differs from that of a majority (hash 00000007, theirs 00000006) since some entry from 11 to 20",
  );
  const late = new Scene();
  late.agreement.applied(10, 5);
  late.hear(n2, 10, 6);
  expect(late.differences).toEqual([]);
  late.hear(n3, 10, 6);
  expect(late.differences.length).toBe(1);
});

test("one that differs convinces nobody, nor do learners, nor hashes after other entries", () => {
  const scene = new Scene();
  scene.agreement.applied(10, 5);
  scene.hear(n2, 10, 6);
  scene.hear(n4, 10, 6);
  scene.hear(n3, 20, 6);
  scene.hear(n3, 10, 5);
  expect(scene.differences).toEqual([]);
});

test("a node that is far behind keeps what it hears within bounds, and compares what is left", () => {
  const scene = new Scene();
  for (let index = 10; index <= 100_000; index += 10) {
    scene.hear(n2, index, 6);
    scene.hear(n3, index, 6);
  }
  for (let index = 1; index < 100_000; index++) scene.agreement.applied(index, 6);
  scene.agreement.applied(100_000, 5);
  expect(scene.differences.length).toBe(1);
});
