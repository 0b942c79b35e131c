import { expect, test } from "bun:test";
import { KvraftError } from "../../src/lib/error.ts";
import { method } from "../../src/rpc/method.ts";
import { RawClient, type RawReply } from "./raw-client.ts";
import { type Machine, World } from "./world.ts";

async function started(count: number, ...more: [seed?: number, limits?: World["limits"]]): Promise<World> {
  const world = new World(count, ...more);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  await world.run(20);
  return world;
}

function followersOf(world: World): Machine[] {
  return world.machines.filter((machine) => machine !== world.leader);
}

async function answered(world: World, ...replies: RawReply[]): Promise<string[]> {
  await world.until(() => replies.every((reply) => reply.status !== undefined), "all are answered");
  return replies.map((reply) => reply.status!);
}

async function statusOf(world: World, client: RawClient): Promise<Record<string, unknown>> {
  const reply = client.call(method.status, 1000, () => {});
  await answered(world, reply);
  return JSON.parse(reply.value!);
}

test("a put is answered only when it is durable: not while the one disk there is hangs", async () => {
  const world = await started(1);
  const client = new RawClient(world, world.machines[0]!);
  world.machines[0]!.isDiskHung = true;
  const put = client.put("a", "1");
  const get = client.get("a");
  await world.run(300);
  expect(put.status).toBeUndefined();
  // Reads do not wait for the disk, and see nothing of what is not decided.
  expect(get.status).toBe("ErrNoKey");
  world.machines[0]!.isDiskHung = false;
  expect(await answered(world, put)).toEqual(["OK"]);
  await world.stop();
});

test("a put is answered only when a majority has it: not while all followers' disks hang", async () => {
  const world = await started(3);
  const client = new RawClient(world, world.leader!);
  for (const follower of followersOf(world)) follower.isDiskHung = true;
  const put = client.put("a", "1");
  await world.run(500);
  expect(put.status).toBeUndefined();
  followersOf(world)[0]!.isDiskHung = false;
  expect(await answered(world, put)).toEqual(["OK"]);
  await world.stop();
});

test("heartbeats leave while a write is in flight: a leader whose disk is slow stays the leader", async () => {
  const world = await started(3);
  const leader = world.leader!;
  const client = new RawClient(world, leader);
  const before = await statusOf(world, client);
  leader.isDiskHung = true;
  const put = client.put("a", "1");
  await world.run(550);
  expect(world.leader).toBe(leader);
  expect(put.status).toBeUndefined();
  leader.isDiskHung = false;
  expect(await answered(world, put)).toEqual(["OK"]);
  expect((await statusOf(world, client))["term"]).toBe(before["term"] as number);
  await world.stop();
});

test("all that is proposed during a write is the next write", async () => {
  const world = await started(1);
  const [machine] = world.machines;
  const client = new RawClient(world, machine!);
  machine!.isDiskHung = true;
  const puts: RawReply[] = [];
  for (let burst = 0; burst < 20; burst++) {
    for (let at = 0; at < 5; at++) puts.push(client.put(`k${burst}/${at}`, "v"));
    await world.run(10);
  }
  const before = machine!.disk.operations;
  machine!.isDiskHung = false;
  await answered(world, ...puts);
  expect(machine!.disk.operations - before).toBeLessThan(10);
  await world.stop();
});

test("what a leader proposed and another one replaced is answered CommitTimeout, and never with its successor's result", async () => {
  const world = await started(3);
  const [old, ...others] = [world.leader!, ...followersOf(world)];
  const client = new RawClient(world, old!);
  await answered(world, client.put("a", "0"));
  // The others hear nothing of the new entry: their disks hang, so they acknowledge nothing, and then they die.
  for (const other of others) other.isDiskHung = true;
  const lost = client.put("a", "lost");
  await world.run(20);
  for (const other of others) {
    other.crash("lost");
    other.isDiskHung = false;
  }
  expect(await answered(world, lost)).toEqual(["CommitTimeout"]);
  expect(lost.text).toContain("lost the leadership");
  old!.crash("lost");
  for (const other of others) other.start();
  await world.until(() => world.leader !== undefined, "another leader");
  const next = new RawClient(world, world.leader!);
  expect(await answered(world, next.put("b", "1"))).toEqual(["OK"]);
  const [a, b] = [next.get("a"), next.get("b")];
  await answered(world, a, b);
  expect(b.value).toBe("1");
  expect(["0", "lost"]).toContain(a.value!);
  await world.stop();
});

test("a leader that lost its majority answers no read, and says so in the end", async () => {
  const world = await started(3);
  const client = new RawClient(world, world.leader!);
  await answered(world, client.put("a", "1"));
  for (const follower of followersOf(world)) follower.crash("kept");
  const get = client.get("a");
  expect(await answered(world, get)).toEqual(["ErrWrongLeader"]);
  await world.stop();
});

test("a follower refuses and names the leader; nobody guesses", async () => {
  const world = await started(3);
  const client = new RawClient(world, followersOf(world)[0]!);
  const [put, get] = [client.put("a", "1"), client.get("a")];
  expect(await answered(world, put, get)).toEqual(["ErrWrongLeader", "ErrWrongLeader"]);
  expect(put.text).toBe(`The leader is sim:${7001 + world.leader!.place}`);
  await world.stop();
});

test("a read that arrives after a put was answered sees it, and one in the same batch sees a whole state", async () => {
  const world = await started(3);
  const client = new RawClient(world, world.leader!);
  const replies: RawReply[] = [];
  let last = -1;
  for (let at = 0; at < 30; at++) {
    const put = client.put("a", `${at}`);
    const early = client.get("a");
    await answered(world, put);
    const late = client.get("a");
    await answered(world, early, late);
    expect(late.value).toBe(`${at}`);
    const seen = early.value === undefined ? -1 : Number(early.value);
    expect(seen).toBeGreaterThanOrEqual(last);
    expect(seen).toBeLessThanOrEqual(at);
    last = seen;
    replies.push(early, late);
  }
  expect(replies.length).toBe(60);
  await world.stop();
});

test("a command that is sent again while it is in the log joins it, also after its first answer was CommitTimeout", async () => {
  const world = await started(1);
  const [machine] = world.machines;
  const client = new RawClient(world, machine!);
  await world.run(100); // The leader's clock command has its place.
  const before = await statusOf(world, client);
  const session = { name: "s", sequence: 1, acknowledged: 0, bornMs: client.serverTimeMs };
  machine!.isDiskHung = true;
  const early = client.put("a", "1", session, 20);
  expect(await answered(world, early)).toEqual(["CommitTimeout"]);
  const again = Array.from({ length: 5 }, () => client.put("a", "1", session));
  await world.run(100);
  const during = await statusOf(world, client);
  expect(during["lastIndex"]).toBe(Number(before["lastIndex"]) + 1);
  machine!.isDiskHung = false;
  expect(await answered(world, ...again)).toEqual(["OK", "OK", "OK", "OK", "OK"]);
  expect((await statusOf(world, client))["revision"]).toBe(1);
  await world.stop();
});

test("so many requests may wait, duplicates included, and the rest hear ErrBusy at once", async () => {
  const world = await started(1, 1, { requestsInFlight: 4 });
  const [machine] = world.machines;
  const client = new RawClient(world, machine!);
  await answered(world, client.get("a"));
  const session = { name: "s", sequence: 1, acknowledged: 0, bornMs: client.serverTimeMs };
  machine!.isDiskHung = true;
  const puts = Array.from({ length: 10 }, () => client.put("a", "1", session));
  await world.run(50);
  expect(puts.filter((put) => put.status === undefined).length).toBe(4);
  expect(puts.filter((put) => put.status === "ErrBusy").length).toBe(6);
  machine!.isDiskHung = false;
  await answered(world, ...puts);
  expect(await answered(world, client.put("b", "1"), client.get("b"), client.get("a"))).not.toContain(
    "ErrBusy",
  );
  await world.stop();
});

test("nothing that waits is left over, whatever happened to it", async () => {
  const world = await started(3, 1, { requestsInFlight: 20 });
  const leader = world.leader!;
  const client = new RawClient(world, leader);
  for (let round = 0; round < 4; round++) {
    for (const follower of followersOf(world)) follower.isDiskHung = true;
    const lost = Array.from({ length: 10 }, (_, at) => client.put(`k${at}`, "v", undefined, 30));
    const reads = Array.from({ length: 10 }, () => client.get("k"));
    await answered(world, ...lost, ...reads);
    for (const machine of world.machines) machine.isDiskHung = false;
    await world.until(() => world.leader === leader, "it still leads");
    await world.run(50);
  }
  const all = Array.from({ length: 20 }, (_, at) => client.put(`k${at}`, "v"));
  expect(new Set(await answered(world, ...all))).toEqual(new Set(["OK"]));
  await world.stop();
});

test("a write that fails stops the node with its fault, and nothing of it was acknowledged", async () => {
  const world = await started(1);
  const [machine] = world.machines;
  const client = new RawClient(world, machine!);
  await answered(world, client.put("a", "1"));
  machine!.isDiskHung = true;
  const put = client.put("a", "2");
  await world.until(() => machine!.disk.pendingCount > 0, "the write is in flight");
  machine!.disk.failOne(new KvraftError("IO_ERROR", "Cannot write: the disk is broken"));
  await world.until(() => machine!.failure !== undefined, "the node stops");
  expect(machine!.failure).toMatchObject({ code: "IO_ERROR", message: "Cannot write: the disk is broken" });
  expect(["CommitTimeout", "lost"]).toContain((await answered(world, put))[0]!);
  machine!.isDiskHung = false;
  machine!.crash("lost");
  machine!.start();
  await world.until(() => world.leader !== undefined, "it leads again");
  const get = new RawClient(world, machine!).get("a");
  await answered(world, get);
  expect(get.value).toBe("1");
  await world.stop();
});

test("a node that is stopped while a write is in flight answers what it can, and starts again", async () => {
  const world = await started(1);
  const [machine] = world.machines;
  const client = new RawClient(world, machine!);
  await answered(world, client.put("a", "1"));
  machine!.isDiskHung = true;
  const [put, get] = [client.put("a", "2"), client.get("a")];
  await world.until(() => machine!.disk.pendingCount > 0, "the write is in flight");
  await machine!.stop();
  expect((await answered(world, put, get))[0]).toBe("CommitTimeout");
  machine!.isDiskHung = false;
  machine!.start();
  await world.until(() => world.leader !== undefined, "it leads again");
  const after = new RawClient(world, machine!).get("a");
  await answered(world, after);
  expect(["1", "2"]).toContain(after.value!);
  await world.stop();
});

test("stop() ends a node whose store cannot be written any more, and says why", async () => {
  const world = await started(1);
  const [machine] = world.machines;
  await answered(world, new RawClient(world, machine!).put("a", "1"));
  machine!.disk.failure = (action, path) =>
    action === "create" && path.includes("/store/")
      ? new KvraftError("NO_SPACE", "the disk is full")
      : undefined;
  const { server } = machine!;
  await machine!.stop();
  expect(await world.wait(server!.stopped)).toMatchObject({ code: "NO_SPACE" });
  machine!.disk.failure = undefined;
  machine!.start();
  await world.until(() => world.leader !== undefined, "it leads again");
  const get = new RawClient(world, machine!).get("a");
  await answered(world, get);
  expect(get.value).toBe("1");
  await world.stop();
});

test("a node whose store cannot be written any more ends by itself, though nobody writes again, and loses nothing", async () => {
  const world = await started(1, 1, { memtableBytes: 20_000 });
  const [machine] = world.machines;
  machine!.disk.failure = (action, path) =>
    action === "create" && path.includes("/store/")
      ? new KvraftError("NO_SPACE", "the disk is full")
      : undefined;
  const value = "v".repeat(30_000);
  new RawClient(world, machine!).put("a", value);
  await world.until(() => machine!.failure !== undefined, "the node stops");
  expect(machine!.failure).toMatchObject({ code: "NO_SPACE" });
  machine!.disk.failure = undefined;
  machine!.start();
  await world.until(() => world.leader !== undefined, "it leads again");
  const get = new RawClient(world, machine!).get("a");
  await answered(world, get);
  expect(get.value).toBe(value);
  await world.stop();
});

test("a cluster whose log was dated by a fast clock opens sessions all the same, for ever", async () => {
  const world = new World(3);
  for (const machine of world.machines) machine.skewMs = 3_600_000;
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const first = world.client();
  await world.wait(first.put("a", "1"));
  await world.wait(first.close());
  await world.run(300);
  // The clocks are set right.
  for (const machine of world.machines) machine.clock!.skewMs = 0;
  const client = world.client(1000);
  expect(await world.wait(client.get("a"))).toBe("1");
  // Longer than a session's birth may lie ahead of the time.
  for (let second = 0; second < 70; second++) await world.run(20).then(() => runFast(world, 980));
  await world.wait(client.put("a", "2"));
  expect(await world.wait(client.get("a"))).toBe("2");
  await world.wait(client.close());
  await world.stop();
});

/** Time passes for the servers, with no turn of the event loop for promises. */
function runFast(world: World, ms: number): void {
  for (let passed = 0; passed < ms; passed += 10) {
    world.clock.run(10);
    for (const machine of world.machines) machine.disk.run();
  }
}

test("a client that learned the time before it jumped can still write", async () => {
  const world = await started(3);
  const client = world.client();
  await world.wait(client.get("a"));
  // Another leader's clock is two hours ahead, and dates one command.
  const ahead = 2 * 3_600_000;
  for (const machine of world.machines) machine.clock!.skewMs = ahead;
  const other = world.client();
  await world.wait(other.put("a", "1"));
  await world.wait(other.close());
  for (const machine of world.machines) machine.clock!.skewMs = 0;
  await world.wait(client.put("a", "2"));
  expect(await world.wait(client.get("a"))).toBe("2");
  await world.wait(client.close());
  await world.stop();
});

test("requests that cannot be read are answered, and cost the node nothing", async () => {
  const world = await started(1);
  const client = new RawClient(world, world.machines[0]!);
  for (const number of [method.get, method.put, method.delete, 77])
    for (const bytes of [[], [0], [255, 255], [1, 1, 1, 1, 1, 1, 1]]) {
      const reply = client.call(number, 100, (body) => body.raw(new Uint8Array(bytes)));
      expect(await answered(world, reply)).toEqual(["NoKeyValue"]);
      expect(reply.text).toStartWith("Cannot read the request");
    }
  expect(await answered(world, client.put("a", "1"))).toEqual(["OK"]);
  const wrong = client.call(method.delete, 100, (body) => body.raw(putBytes));
  expect(await answered(world, wrong)).toEqual(["NoKeyValue"]);
  await world.stop();
});

/** The example of kv/command.ts. */
const putBytes = new Uint8Array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x61, 2, 0x62, 0x63]);
