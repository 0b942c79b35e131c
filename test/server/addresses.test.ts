/** Goal: members are known by their ids. No address, old, new, shared or swapped, stops one or costs the quorum. */
import { expect, test } from "bun:test";
import { clientEndsOf } from "../../src/client/client-ends.ts";
import { KVClient } from "../../src/client/kv-client.ts";
import type { MemberStatus } from "../../src/client/member-list.ts";
import type { Address } from "../../src/lib/address.ts";
import { readIdentity } from "../../src/server/identity.ts";
import { CrashDisk } from "../raftlog/crash-disk.ts";
import { type Machine, World } from "./world.ts";

function idOf(machine: Machine): string {
  return readIdentity(machine.disk, "data")!.nodeId;
}

async function started(count: number): Promise<World> {
  const world = new World(count);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const client = world.client();
  await world.wait(client.put("a", "1"));
  await world.wait(client.close());
  return world;
}

const at = (port: number): Address => ({ host: "sim", port });

/** Starts each machine at its place of a new list of servers. */
function startAt(machines: readonly Machine[], servers: readonly Address[]): void {
  for (const machine of machines) machine.start({ servers });
}

function clientAt(world: World, ports: readonly number[]): KVClient {
  return new KVClient(clientEndsOf(ports.map(at), world), { env: world, timeoutMs: 20_000 });
}

async function membersBy(world: World, client: KVClient): Promise<Map<string, MemberStatus>> {
  const { members } = await world.wait(client.members());
  return new Map(members.map((member) => [member.nodeId, member]));
}

/** The cluster serves, has these members at these addresses, and nobody has stopped. */
async function expectAt(world: World, places: ReadonlyMap<Machine, number>): Promise<void> {
  const ports = [...places.values()];
  const client = clientAt(world, ports);
  const wanted = [...places].map(([machine, port]) => `${idOf(machine)} sim:${port} voter`).toSorted();
  let found: string[] = [];
  for (let tries = 0; found.join() !== wanted.join() && tries < 100; tries++) {
    await world.run(50);
    const members = await membersBy(world, client);
    found = [...members.values()]
      .map(({ nodeId, address, role }) => `${nodeId} ${address} ${role}`)
      .toSorted();
  }
  expect(found).toEqual(wanted);
  await world.wait(client.put("b", "2"));
  expect(await world.wait(client.get("a"))).toBe("1");
  for (const machine of places.keys()) {
    expect(machine.failure).toBeUndefined();
    expect(machine.isRunning).toBe(true);
  }
  // Everybody is dialled where it is: with any other one gone the rest serves on.
  await world.run(2500);
  const [down] = [...places.keys()].filter((machine) => machine !== world.leader);
  down!.crash("kept");
  await world.wait(client.put("c", "3"));
  await world.wait(client.close());
}

test("two members that swap their ports go on, also when the third one is down meanwhile", async () => {
  for (const isThirdDown of [false, true]) {
    const world = await started(3);
    const [one, two, three] = world.machines as [Machine, Machine, Machine];
    if (isThirdDown) three.crash("kept");
    for (const machine of [one, two]) machine.crash("kept");
    const servers = [at(7002), at(7001), at(7003)];
    startAt([one, two], servers);
    await world.until(() => world.leader !== undefined, "a leader");
    if (isThirdDown) three.start({ servers });
    const places: [Machine, number][] = [
      [one, 7002],
      [two, 7001],
      [three, 7003],
    ];
    await expectAt(world, new Map(places));
    await world.stop();
  }
});

test("three members whose addresses are passed on in a circle find each other", async () => {
  const world = await started(3);
  const [one, two, three] = world.machines as [Machine, Machine, Machine];
  for (const machine of world.machines) machine.crash("kept");
  startAt(world.machines, [at(7002), at(7003), at(7001)]);
  await world.until(() => world.leader !== undefined, "a leader");
  const places: [Machine, number][] = [
    [one, 7002],
    [two, 7003],
    [three, 7001],
  ];
  await expectAt(world, new Map(places));
  await world.stop();
});

test("members that were all moved at once find each other by what their configurations list", async () => {
  for (const count of [3, 5]) {
    const world = await started(count);
    for (const machine of world.machines) machine.crash("kept");
    const ports = world.machines.map((_, place) => 7101 + place);
    startAt(world.machines, ports.map(at));
    await world.until(() => world.leader !== undefined, "a leader");
    await expectAt(world, new Map(world.machines.map((machine, place) => [machine, ports[place]!])));
    await world.stop();
  }
});

test("a member that starts at a dead member's address goes on, and the quorum with it", async () => {
  const world = await started(3);
  const [one, two, three] = world.machines as [Machine, Machine, Machine];
  three.crash("kept");
  two.crash("kept");
  await world.run(1000);
  two.start({ servers: [at(7001), at(7003), at(7002)] });
  await world.until(() => world.leader !== undefined, "a leader");
  const client = clientAt(world, [7001, 7003]);
  await world.wait(client.put("b", "2"));
  await world.run(1000);
  expect([one.failure, two.failure]).toEqual([undefined, undefined]);
  const members = await membersBy(world, client);
  expect([members.get(idOf(two))!.address, members.get(idOf(three))!.address]).toEqual([
    "sim:7003",
    "sim:7003",
  ]);
  await world.wait(client.close());
  await world.stop();
});

test("a server that lost its folder returns at its address, and at no moment are there fewer voters", async () => {
  const world = await started(3);
  const client = world.client(20_000);
  const lost = world.machines.find((machine) => machine !== world.leader)!;
  const lostId = idOf(lost);
  lost.crash("kept");
  lost.disk = new CrashDisk();
  lost.join(world.machines.find((machine) => machine !== lost)!);
  let learner: MemberStatus | undefined;
  for (let tries = 0; tries < 200 && (learner === undefined || learner.behind !== undefined); tries++) {
    await world.run(20);
    learner = [...(await membersBy(world, client)).values()].find(({ role }) => role === "learner");
  }
  expect(learner).toMatchObject({ nodeId: idOf(lost), address: `sim:${lost.address.port}` });
  let voters = 3;
  let isOver = false;
  const watch = (async () => {
    while (!isOver) {
      const { members } = await client.members();
      voters = Math.min(voters, members.filter(({ role }) => role !== "learner").length);
    }
  })();
  await world.wait(client.changeMembers({ replace: [{ old: lostId, new: idOf(lost) }] }));
  isOver = true;
  await world.wait(watch);
  expect(voters).toBe(3);
  const roles = [...(await membersBy(world, client)).values()].map(({ nodeId, role }) => `${nodeId} ${role}`);
  expect(roles.toSorted()).toEqual(world.machines.map((each) => `${idOf(each)} voter`).toSorted());
  // It is needed from now on, and can lead.
  await world.run(2000);
  world.machines.find((each) => each !== lost && each !== world.leader)!.crash("kept");
  await world.wait(client.put("b", "2"));
  await world.wait(client.transferLeadership(idOf(lost)));
  expect(await world.wait(client.get("a"))).toBe("1");
  await world.wait(client.close());
  await world.stop();
});

test("a new server is let in at a member's address when that member is not heard of any more, and waits until then", async () => {
  const world = await started(3);
  const gone = world.machines.find((machine) => machine !== world.leader)!;
  const fresh = world.add();
  gone.crash("kept");
  fresh.start({ me: 0, servers: [gone.address] }, world.leader!.address);
  await world.until(() => fresh.lines.some((line) => line.includes("was heard of lately")), "it has to wait");
  await world.until(
    () => fresh.lines.some((line) => line.includes("is a learner of cluster")),
    "it is let in",
  );
  expect(world.machines.map((machine) => machine.failure)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  await world.stop();
});

test("a server that was let in and has heard of nobody finds the cluster, when all have moved meanwhile", async () => {
  const world = await started(1);
  const [one] = world.machines as [Machine];
  const fresh = world.add();
  fresh.join(one);
  await world.until(() => readIdentity(fresh.disk, "data")?.state === "joined", "it is let in");
  for (const machine of [one, fresh]) machine.crash("kept");
  one.start({ servers: [at(7101)] });
  // Whom it asked first is not there any more; its configuration lists where the other one is.
  fresh.start({ me: 0, servers: [at(7102), at(7101)] }, at(7001));
  const client = clientAt(world, [7101]);
  let learner: MemberStatus | undefined;
  for (let tries = 0; tries < 100 && (learner === undefined || learner.behind !== undefined); tries++) {
    await world.run(50);
    learner = (await membersBy(world, client)).get(idOf(fresh));
  }
  expect(learner).toMatchObject({ address: "sim:7102", role: "learner", behind: undefined });
  await world.wait(client.close());
  await world.stop();
});
