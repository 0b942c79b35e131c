import { expect, test } from "bun:test";
import type { KVClient } from "../../src/client/kv-client.ts";
import { statusOf } from "../../src/kv/status.ts";
import { decodeManifest } from "../../src/leveldb/manifest.ts";
import { toHex } from "../../src/lib/bytes.ts";
import { ByteReader, type ByteWriter } from "../../src/lib/codec.ts";
import { ClientEnd } from "../../src/rpc/client-end.ts";
import { makeHello, noId } from "../../src/rpc/hello.ts";
import { type Method, method } from "../../src/rpc/method.ts";
import { decodeAnswerHead } from "../../src/rpc/reply.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";
import { decodeSnapshotHead } from "../../src/rpc/snapshot-requests.ts";
import { type Machine, World } from "./world.ts";

/** Small files, and no tail: the log begins late soon. */
const limits = {
  keyBytes: 100,
  valueBytes: 1000,
  memtableBytes: 4096,
  segmentBytes: 8192,
  logTailEntries: 0,
  logTailBytes: 0,
};

async function put(world: World, client: KVClient, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += 10)
    await world.wait(
      Promise.all(
        Array.from({ length: 10 }, (_, place) =>
          client.put(`key${(at + place) % 50}`, `${at + place}`.padEnd(300, ".")),
        ),
      ),
    );
}

function firstIndexOf(machine: Machine): number {
  const names = machine.disk.list("data/log").filter((name) => name.endsWith(".log"));
  return Math.min(...names.map((name) => Number.parseInt(name, 10)));
}

async function cluster(): Promise<{ world: World; client: KVClient; behind: Machine }> {
  const world = new World(3, 1, limits);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const client = world.client(20_000);
  await put(world, client, 0, 10);
  const behind = world.machines.find((machine) => machine !== world.leader)!;
  behind.crash("kept");
  await put(world, client, 10, 400);
  await world.until(() => firstIndexOf(world.leader!) > 100, "the log was dropped");
  return { world, client, behind };
}

async function checkAll(world: World, client: KVClient, upTo: number): Promise<void> {
  for (let key = 0; key < 50; key++) {
    const last = upTo - 1 - ((upTo - 1 - key) % 50);
    expect(await world.wait(client.get(`key${key}`))).toBe(`${last}`.padEnd(300, "."));
  }
}

test("the log is dropped up to what the store has, and the node starts again from the rest", async () => {
  const { world, client, behind } = await cluster();
  for (const machine of world.machines) if (machine !== behind) machine.crash("kept");
  for (const machine of world.machines) if (machine !== behind) machine.start();
  await world.until(() => world.leader !== undefined, "a leader again");
  await checkAll(world, client, 400);
  await world.wait(client.close());
  await world.stop();
});

test("a follower behind the start of all logs gets the state, and can lead with it", async () => {
  const { world, client, behind } = await cluster();
  behind.start();
  await world.until(
    () => behind.lines.some((line) => line.startsWith("The state after entry")),
    "a transfer",
  );
  await put(world, client, 400, 450);
  const other = world.machines.find((machine) => machine !== world.leader && machine !== behind)!;
  other.crash("kept");
  await put(world, client, 450, 500);
  const { leader } = world;
  leader!.crash("kept");
  other.start();
  await world.until(() => world.leader !== undefined, "a leader");
  await checkAll(world, client, 500);
  await world.wait(client.close());
  await world.stop();
});

test("a transfer survives crashes of the receiver at any moment of it", async () => {
  const { world, client, behind } = await cluster();
  for (const fate of ["lost", "kept", "lost", "kept"] as const)
    for (let ms = 1; ms < 60; ms += 7) {
      behind.start();
      await world.run(60 + ms);
      behind.crash(fate);
    }
  behind.start();
  await put(world, client, 400, 450);
  await world.until(() => firstIndexOf(behind) > 100, "it has got there");
  const other = world.machines.find((machine) => machine !== world.leader && machine !== behind)!;
  await world.run(500);
  other.crash("kept");
  await put(world, client, 450, 500);
  await checkAll(world, client, 500);
  await world.wait(client.close());
  await world.stop();
});

test("a transfer whose source has died for good is begun again at another one, as soon as that offers it", async () => {
  const { world, client, behind } = await cluster();
  behind.start();
  await world.until(() => behind.lines.some((line) => line.startsWith("Fetching the state")), "a transfer");
  world.leader!.crash("kept");
  await world.until(() => world.leader !== undefined, "another leader");
  await world.until(
    () => behind.lines.some((line) => line.startsWith("The state after entry")),
    "the state is there",
    3000,
  );
  await checkAll(world, client, 400);
  await world.wait(client.close());
  await world.stop();
});

test("the last piece of a snapshot can be asked for again, and no piece before it", async () => {
  const { world, client } = await cluster();
  const hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
  const end = new ClientEnd(world, world.leader!.address, hello);
  const ask = async (number: Method, write: (body: ByteWriter) => void) => {
    const encode = (body: ByteWriter) => {
      encodeRequestHead(body, 5000);
      write(body);
    };
    const result = await world.wait(end.call(number, encode, 5000));
    if (!result.ok) throw new Error(result.text);
    const reader = new ByteReader(result.body);
    const status = statusOf(reader.u8());
    if (status === "OK") decodeAnswerHead(reader);
    return { status, reader };
  };
  const { token } = decodeSnapshotHead((await ask(method.openSnapshot, (body) => body.u8(0))).reader);
  const read = async (number: number) => {
    const { status, reader } = await ask(method.readSnapshot, (body) => {
      body.varint(token);
      body.varint(number);
    });
    return status === "OK" ? toHex(reader.rest()) : status;
  };
  const first = await read(0);
  expect(first?.length).toBeGreaterThan(1000);
  expect(await read(0)).toBe(first);
  const last = await read(1);
  expect(await read(1)).toBe(last);
  expect([await read(0), await read(2), await read(3)]).toEqual([
    "ErrSnapshot",
    "ErrSnapshot",
    "ErrSnapshot",
  ]);
  await world.wait(Promise.all([end.close(), client.close()]));
  await world.stop();
});

test("backups that were begun and left keep no member from being brought up", async () => {
  const { world, client, behind } = await cluster();
  const from = world.leader!.address;
  const others = world.client(500);
  let opened = 0;
  for (let count = 0; count < 12; count++)
    await world.wait(
      others.snapshot({ from }).then(
        () => opened++,
        () => {},
      ),
    );
  expect(opened).toBeGreaterThan(3);
  behind.start();
  await world.until(
    () => behind.lines.some((line) => line.startsWith("The state after entry")),
    "the state is there",
    5000,
  );
  for (const each of [client, others]) await world.wait(each.close());
  await world.stop();
});

test("the log is dropped also when what is written to it changes nothing", async () => {
  const world = new World(1, 1, limits);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const client = world.client(20_000);
  for (let round = 0; round < 100; round++)
    await world.wait(Promise.all(Array.from({ length: 10 }, (_, at) => client.delete(`no such key ${at}`))));
  await world.run(1000);
  expect(firstIndexOf(world.machines[0]!)).toBeGreaterThan(500);
  await world.wait(client.close());
  await world.stop();
});

test("a crash between the swap of the store and the new beginning of the log is put right at the next start", async () => {
  const { world, client, behind } = await cluster();
  // Nothing reaches the log any more once the swap has replaced MANIFEST, which a flush does, too.
  behind.disk.failure = (action, path) => {
    if (action !== "rename" || !path.includes("MANIFEST")) return undefined;
    const { logStart } = decodeManifest(behind.disk.read("data/store/MANIFEST.new")!, path);
    if (logStart.index > 0) behind.isDiskHung = true;
    return undefined;
  };
  behind.start();
  await world.until(() => behind.isDiskHung, "the swap");
  await world.run(20);
  const logBefore = firstIndexOf(behind);
  behind.crash("lost");
  behind.isDiskHung = false;
  behind.disk.failure = undefined;
  // The log still leads to the old state, which is gone.
  expect(logBefore).toBeLessThan(50);
  behind.start();
  expect(firstIndexOf(behind)).toBeGreaterThan(100);
  const other = world.machines.find((machine) => machine !== world.leader && machine !== behind)!;
  other.crash("kept");
  await put(world, client, 400, 450);
  await checkAll(world, client, 450);
  await world.wait(client.close());
  await world.stop();
});
