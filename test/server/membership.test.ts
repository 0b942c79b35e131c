import { expect, test } from "bun:test";
import { clientEndsOf } from "../../src/client/client-ends.ts";
import { KVClient } from "../../src/client/kv-client.ts";
import { StateMachine } from "../../src/kv/state-machine.ts";
import { statusOf } from "../../src/kv/status.ts";
import type { ByteWriter } from "../../src/lib/codec.ts";
import { ClientEnd } from "../../src/rpc/client-end.ts";
import { makeHello, noId } from "../../src/rpc/hello.ts";
import { helloServersBytesMax } from "../../src/rpc/limits.ts";
import { encodeJoin } from "../../src/rpc/member-requests.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";
import { examineDataFolder } from "../../src/server/doctor.ts";
import { readIdentity } from "../../src/server/identity.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { type Machine, World } from "./world.ts";

function idOf(machine: Machine): string {
  return readIdentity(machine.disk, "data")!.nodeId;
}

async function started(count: number, limits = {}): Promise<World> {
  const world = new World(count, 1, limits);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  return world;
}

/** A new server that has been let in, and has caught up. */
async function joined(world: World): Promise<Machine> {
  const machine = world.add();
  machine.join(world.machines.find((each) => each.isRunning)!);
  const client = world.client();
  await world.wait(caughtUp(world, client, machine));
  await world.wait(client.close());
  return machine;
}

async function caughtUp(world: World, client: KVClient, machine: Machine): Promise<void> {
  for (;;) {
    const { members } = await client.members();
    const member = members.find(({ nodeId }) => nodeId === idOf(machine));
    if (member?.lag !== undefined && member.lag < 10 && member.match! > 0) return;
    await new Promise<void>((resolve) => world.clock.after(20, resolve));
  }
}

async function rolesOf(world: World, client: KVClient): Promise<Record<string, string>> {
  const { members } = await world.wait(client.members());
  return Object.fromEntries(members.map(({ address, role }) => [address, role]));
}

test("a new server joins as a learner, gets the data, becomes a voter, and can lead", async () => {
  const world = await started(1);
  const client = world.client();
  await world.wait(client.put("a", "1"));
  const machine = await joined(world);
  expect(await rolesOf(world, client)).toEqual({ "sim:7001": "voter", "sim:7002": "learner" });
  await world.wait(client.changeMembers({ promote: [idOf(machine)] }));
  expect(await rolesOf(world, client)).toEqual({ "sim:7001": "voter", "sim:7002": "voter" });
  await world.wait(client.transferLeadership(idOf(machine)));
  await world.until(() => world.leader === machine, "the new one leads");
  expect(await world.wait(client.get("a"))).toBe("1");
  await world.wait(client.changeMembers({ remove: [idOf(world.machines[0]!)] }));
  await world.until(() => world.machines[0]!.failure !== undefined, "the removed one stops");
  expect(world.machines[0]!.failure!.message).toContain("was removed from the cluster");
  await world.wait(client.put("b", "2"));
  expect(await world.wait(client.get("b"))).toBe("2");
  await world.wait(client.close());
  await world.stop();
});

test("all three machines are replaced at once, under load, and no write is lost or done twice", async () => {
  const world = await started(3);
  const client = world.client(20_000);
  let puts = 0;
  let isOver = false;
  const load = (async () => {
    while (!isOver) await client.put("counter", `${++puts}`);
  })();
  const old = [...world.machines];
  const fresh = [await joined(world), await joined(world), await joined(world)];
  await world.wait(client.changeMembers({ promote: fresh.map(idOf), remove: old.map(idOf) }));
  await world.until(() => old.every((machine) => machine.failure !== undefined), "the old ones have stopped");
  await world.run(500);
  isOver = true;
  await world.wait(load);
  expect(await rolesOf(world, client)).toEqual({
    "sim:7004": "voter",
    "sim:7005": "voter",
    "sim:7006": "voter",
  });
  const record = await world.wait(client.getRecord("counter"));
  expect(record!.count).toBe(puts);
  expect(new TextDecoder().decode(record!.value)).toBe(`${puts}`);
  await world.wait(client.close());
  await world.stop();
});

test("a removed server that slept through its removal is told, and disturbs nobody", async () => {
  const world = await started(3);
  const client = world.client();
  const gone = world.machines.find((machine) => machine !== world.leader)!;
  gone.crash("kept");
  await world.wait(client.changeMembers({ remove: [idOf(gone)] }));
  const { leader } = world;
  gone.start();
  await world.until(() => gone.failure !== undefined, "the removed one stops");
  expect(gone.failure!.message).toContain("was removed from the cluster");
  expect(world.leader).toBe(leader!);
  await world.wait(client.close());
  await world.stop();
});

test("what cannot be changed is refused, and nothing changes", async () => {
  const world = await started(3);
  const client = world.client();
  const [one, two, three] = world.machines.map(idOf) as [string, string, string];
  const refusal = async (change: { promote?: string[]; remove?: string[] }) =>
    world.wait(
      client.changeMembers(change).then(
        () => "done",
        (error: Error) => error.message,
      ),
    );
  expect(await refusal({ remove: [one, two, three] })).toContain("Nobody would be left");
  expect(await refusal({ promote: ["00000000000000ff"] })).toContain("is no member");
  expect(await refusal({ remove: ["00000000000000ff"] })).toContain("is no member");
  world.machines.find((machine) => machine !== world.leader)!.crash("kept");
  await world.run(1000);
  const alive = world.machines.filter((machine) => machine.isRunning);
  const other = alive.find((machine) => machine !== world.leader)!;
  expect(await refusal({ remove: [idOf(other)] })).toContain("can be reached");
  expect(await rolesOf(world, client)).toEqual({
    "sim:7001": "voter",
    "sim:7002": "voter",
    "sim:7003": "voter",
  });
  await world.wait(client.close());
  await world.stop();
});

test("reads that wait for a member which is removed are answered by those that are left", async () => {
  const world = await started(2);
  const client = world.client();
  await world.wait(client.put("a", "1"));
  const other = world.machines.find((machine) => machine !== world.leader)!;
  let isOver = false;
  let reads = 0;
  const load = Array.from({ length: 8 }, async () => {
    for (; !isOver; reads++) await client.get("a");
  });
  await world.wait(client.changeMembers({ remove: [idOf(other)] }));
  const before = reads;
  await world.run(1000);
  isOver = true;
  await world.wait(Promise.all(load));
  expect(reads).toBeGreaterThan(before + 50);
  await world.wait(client.close());
  await world.stop();
});

test("a leader that is stopped in order hands over first: no write waits for an election", async () => {
  const world = await started(3);
  const client = world.client();
  await world.wait(client.put("a", "0"));
  const old = world.leader!;
  let longestMs = 0;
  let isOver = false;
  const load = (async () => {
    while (!isOver) {
      const beganMs = world.clock.monotonicMs();
      await client.put("a", "1");
      longestMs = Math.max(longestMs, world.clock.monotonicMs() - beganMs);
    }
  })();
  await world.run(100);
  await old.stop();
  await world.run(1000);
  isOver = true;
  await world.wait(load);
  expect(world.leader).toBeDefined();
  expect(world.leader).not.toBe(old);
  expect(longestMs).toBeLessThan(100);
  // Its death would be noticed as soon: what is tested is that it asked first.
  expect(world.leader!.lines.some((line) => line.includes("the leader hands over"))).toBe(true);
  await world.wait(client.close());
  await world.stop();
});

test("a leader whose process died is followed within some ticks, not an election timeout", async () => {
  const world = await started(3);
  const old = world.leader!;
  await world.run(500);
  old.crash("kept");
  let passedMs = 0;
  await world.until(() => {
    passedMs++;
    return world.leader !== undefined && world.leader !== old;
  }, "another leader");
  expect(passedMs).toBeLessThan(150);
  await world.stop();
});

test("a new server that was sent to a leader which then died asks again where it asked first", async () => {
  const world = await started(3);
  const client = world.client();
  const old = world.leader!;
  const machine = world.add();
  machine.join(world.machines.find((each) => each !== old && each !== machine)!);
  await world.until(
    () => machine.lines.some((line) => line.includes("The leader is")),
    "it is told who leads",
  );
  old.crash("kept");
  await world.wait(caughtUp(world, client, machine));
  await world.wait(client.close());
  await world.stop();
});

/** Logs that are dropped as soon as the store has what they hold, which is soon. */
const short = { memtableBytes: 300, segmentBytes: 1024, logTailEntries: 0, logTailBytes: 0 };

test("a new server is let in by a cluster whose log begins after its first entries", async () => {
  const world = await started(3, short);
  const client = world.client();
  for (let at = 0; at < 60; at++) await world.wait(client.put(`k${at % 7}`, `${at}`));
  const machine = await joined(world);
  await world.wait(client.changeMembers({ promote: [idOf(machine)] }));
  await world.wait(client.transferLeadership(idOf(machine)));
  await world.until(() => world.leader === machine, "the new one leads");
  expect(await world.wait(client.get("k3"))).toBe("59");
  await world.wait(client.close());
  await world.stop();
});

test("a server that slept while all others were replaced, and the log dropped, is brought up by strangers", async () => {
  const world = await started(3, short);
  const client = world.client(20_000);
  const old = [...world.machines];
  const asleep = old.find((machine) => machine !== world.leader)!;
  asleep.crash("kept");
  const fresh = [await joined(world), await joined(world)];
  const gone = old.filter((machine) => machine !== asleep).map(idOf);
  await world.wait(client.changeMembers({ promote: fresh.map(idOf), remove: gone }));
  for (let at = 0; at < 60; at++) await world.wait(client.put(`k${at % 7}`, `${at}`));
  asleep.start();
  await world.wait(caughtUp(world, client, asleep));
  await world.run(1000);
  await world.wait(client.transferLeadership(idOf(asleep)));
  await world.until(() => world.leader === asleep, "it leads");
  expect(await world.wait(client.get("k3"))).toBe("59");
  await world.wait(client.close());
  await world.stop();
});

test("a change that names a voter among those to promote is made, as far as it is not made yet", async () => {
  const world = await started(3);
  const client = world.client();
  const [gone, kept] = world.machines.filter((machine) => machine !== world.leader).map(idOf) as [
    string,
    string,
  ];
  await world.wait(client.changeMembers({ promote: [kept], remove: [gone] }));
  expect(Object.values(await rolesOf(world, client))).toEqual(["voter", "voter"]);
  await world.wait(client.close());
  await world.stop();
});

/** Asks the cluster's first server to let in a node that need not exist; resolves with the status of the answer. */
async function askIn(world: World, end: ClientEnd, nodeId: string, address: string): Promise<string> {
  const write = (body: ByteWriter) => {
    encodeRequestHead(body, 1000);
    encodeJoin(body, { nodeId, address });
  };
  const result = await world.wait(end.call(method.join, write, 1000));
  return result.ok ? statusOf(result.body[0]!)! : result.text;
}

test("clients keep their connections when the members' addresses are many and long, and there is an end to members", async () => {
  const world = await started(1);
  const hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
  let lost = 0;
  const end = new ClientEnd(world, world.addresses[0]!, hello, { onLost: () => lost++ });
  const answers: string[] = [];
  for (let count = 1; count <= 70; count++)
    answers.push(
      await askIn(world, end, `${count}`.padStart(16, "0"), `${"long.".repeat(40)}${count}.sim:7000`),
    );
  expect(lost).toBe(0);
  expect(end.servers.split(" ").length).toBe(8);
  expect(end.servers.length).toBeLessThanOrEqual(helloServersBytesMax);
  expect(answers.lastIndexOf("OK")).toBe(62);
  expect(answers.at(-1)).toBe("ErrMembers");
  await world.wait(end.close());
  await world.stop();
});

test("a member that is connected is moved by nobody else: no copy of its folder, and no stranger", async () => {
  const world = await started(3);
  const hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
  const end = new ClientEnd(world, world.addresses[world.machines.indexOf(world.leader!)]!, hello);
  const member = world.machines.find((machine) => machine !== world.leader)!;
  const client = world.client();
  const addresses = async () => (await world.wait(client.members())).members.map(({ address }) => address);
  const before = await addresses();
  expect(await askIn(world, end, idOf(member), "stranger.sim:7000")).toBe("ErrBusy");
  expect(await addresses()).toEqual(before);
  await world.wait(end.close());
  await world.wait(client.close());
  await world.stop();
});

/** What the doctor finds. */
function codesOf({ disk }: Machine): string[] {
  const steps = examineDataFolder({ disk, tables: new MemoryTables(disk) }, "data");
  for (let step = steps.next(); ; step = steps.next())
    if (step.done) return step.value.findings.map(({ code }) => code);
}

test("a node whose state was found to differ from a majority's does not come back by a restart", async () => {
  const world = await started(3, { agreementEntries: 10 });
  const client = world.client();
  for (let at = 0; at < 20; at++) await world.wait(client.put("a", `${at}`));
  // Bad memory changes one command of one node.
  const { applyCommand } = StateMachine.prototype;
  let victim: StateMachine | undefined;
  StateMachine.prototype.applyCommand = function (this: StateMachine, index, data) {
    victim ??= this;
    if (this !== victim) return applyCommand.call(this, index, data);
    const other = data.slice();
    other[other.length - 1]! ^= 1;
    return applyCommand.call(this, index, other);
  };
  await world.wait(client.put("a", "wrong"));
  StateMachine.prototype.applyCommand = applyCommand;
  for (let at = 0; at < 20; at++) await world.wait(client.put("a", `${at}`));
  await world.until(() => world.machines.some(({ failure }) => failure !== undefined), "it stops");
  const wrong = world.machines.find(({ failure }) => failure !== undefined)!;
  expect(wrong.failure!.message).toContain("differs from that of a majority");
  expect(() => wrong.start()).toThrow("differs from that of a majority");
  expect(codesOf(wrong)).toEqual(["CORRUPTION"]);
  await world.wait(client.put("a", "20"));
  await world.wait(client.close());
  await world.stop();
});

test("a server that was removed before it got anything is told so when it starts again", async () => {
  const world = await started(1);
  const client = world.client();
  const machine = world.add();
  machine.join(world.machines[0]!);
  await world.until(() => readIdentity(machine.disk, "data")?.state === "joined", "it is let in");
  machine.crash("kept");
  await world.wait(client.changeMembers({ remove: [idOf(machine)] }));
  machine.join(world.machines[0]!);
  await world.until(() => machine.failure !== undefined, "it ends");
  expect(machine.failure!.message).toContain("was removed from the cluster");
  await world.wait(client.close());
  await world.stop();
});

/** Starts a machine where nobody looks for it. */
function startMoved(machine: Machine, port: number): void {
  const servers = machine.world.addresses.map((address, place) =>
    place === machine.place ? { ...address, port } : address,
  );
  machine.start({ servers });
}

test("servers that were started at other addresses are found there, also when a majority was, or another one is down", async () => {
  for (const [movedCount, downCount] of [
    [1, 0],
    [1, 1],
    [2, 0],
  ] as const) {
    const world = await started(3);
    const client = world.client(20_000);
    await world.wait(client.put("a", "1"));
    // The one that a moved server would ask first is the one that is down.
    const down = world.machines.slice(0, downCount);
    const moved = world.machines.slice(downCount, downCount + movedCount);
    for (const machine of [...down, ...moved]) machine.crash("kept");
    for (const machine of moved) startMoved(machine, machine.address.port + 100);
    const isKnown = (machine: Machine) =>
      machine.lines.some((line) => line.includes("looks for this node at")) && machine.isRunning;
    await world.until(() => world.leader !== undefined && moved.every(isKnown), "they are looked for");
    const ports = world.machines.map((machine) => machine.address.port + (moved.includes(machine) ? 100 : 0));
    const there = new KVClient(
      clientEndsOf(
        ports.map((port) => ({ host: "sim", port })),
        world,
      ),
      { env: world, timeoutMs: 20_000 },
    );
    await world.wait(there.put("b", "2"));
    await world.run(1000);
    expect(Object.keys(await rolesOf(world, there)).toSorted()).toEqual(
      ports.map((port) => `sim:${port}`).toSorted(),
    );
    for (const each of [client, there]) await world.wait(each.close());
    await world.stop();
  }
});

test("a new server whose first server goes before it was let in asks the members that it was told of", async () => {
  const world = await started(3);
  const client = world.client();
  const [first, ...others] = world.machines as [Machine, Machine, Machine];
  for (const machine of others) machine.crash("kept");
  const fresh = world.add();
  fresh.join(first);
  await world.until(
    () => fresh.lines.some((line) => line.startsWith("waiting to be let in")),
    "it has asked",
  );
  first.crash("kept");
  for (const machine of others) machine.start();
  await world.until(
    () => fresh.lines.some((line) => line.includes("is a learner of cluster")),
    "it was let in",
    20_000,
  );
  await world.wait(client.close());
  await world.stop();
});
