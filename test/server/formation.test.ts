import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { readIdentity } from "../../src/server/identity.ts";
import { seeds } from "../leveldb/seed.ts";
import { type Machine, World } from "./world.ts";

function identityOf(machine: Machine) {
  return readIdentity(machine.disk, "data");
}

function stateOf(machine: Machine): string {
  return identityOf(machine)?.state ?? "none";
}

function clusterIds(world: World): Set<string> {
  return new Set(world.machines.map((machine) => identityOf(machine)!.clusterId));
}

test("a cluster forms when all are there, not before, and serves", async () => {
  const world = new World(3);
  world.machines[0]!.start();
  world.machines[1]!.start();
  await world.run(3000);
  expect(world.machines.slice(0, 2).map(stateOf)).toEqual(["alone", "alone"]);
  expect(world.machines[0]!.lines).toContain("waiting for sim:7003");
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  expect(world.machines.map(stateOf)).toEqual(["formed", "formed", "formed"]);
  expect(clusterIds(world).size).toBe(1);
  const client = world.client();
  await world.wait(client.put("a", "1"));
  expect(await world.wait(client.get("a"))).toBe("1");
  await world.wait(client.close());
  await world.stop();
});

test("one server is a cluster, and starts again as the same one", async () => {
  const world = new World(1);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const before = identityOf(world.machines[0]!);
  world.machines[0]!.crash();
  world.start();
  await world.until(() => world.leader !== undefined, "a leader again");
  expect(identityOf(world.machines[0]!)).toEqual(before!);
  await world.stop();
});

test("later starts need a majority, not all", async () => {
  const world = new World(3);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  for (const machine of world.machines) machine.crash("kept");
  world.machines[1]!.start();
  await world.run(2000);
  expect(world.leader).toBeUndefined();
  world.machines[2]!.start();
  await world.until(() => world.leader !== undefined, "a leader of two");
  await world.stop();
});

test("lists that differ form no cluster, and each server says so", async () => {
  const world = new World(3);
  world.machines[0]!.start();
  world.machines[1]!.start();
  const [first, second, third] = world.addresses;
  world.machines[2]!.start({ servers: [second!, first!, third!] });
  await world.run(2000);
  expect(world.machines.map(stateOf)).toEqual(["alone", "alone", "alone"]);
  for (const machine of world.machines)
    expect(machine.lines.at(-1)).toContain("The server lists differ: here sim:700");
  await world.machines[2]!.stop();
  world.machines[2]!.start();
  await world.until(() => world.leader !== undefined, "a leader");
  await world.stop();
});

test("two servers that claim one place form no cluster", async () => {
  const world = new World(3);
  world.machines[0]!.start();
  world.machines[1]!.start();
  // It is reached where the third should be, and says that it is the second.
  const [first, second, third] = world.addresses;
  world.net.listen = aliased(world, second!.port, third!.port);
  world.machines[2]!.start({ me: 1, servers: [first!, second!, third!] });
  await world.run(2500);
  expect(world.machines.map(stateOf)).toEqual(["alone", "alone", "alone"]);
  expect(world.machines[0]!.lines.join("\n")).toContain("sim:7003 says that its place is 1");
  await world.stop();
});

/** From now on who asks for one port gets another. */
function aliased(world: World, asked: number, given: number): World["net"]["listen"] {
  const { net } = world;
  const listen = net.listen.bind(net);
  return (host, port, accept) => listen(host, port === asked ? given : port, accept);
}

test("a server with an empty folder that meets its formed cluster never votes, and says what to do", async () => {
  const world = new World(3);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const wiped = world.machines[2]!;
  wiped.crash();
  wiped.disk = new World(1).machines[0]!.disk;
  wiped.start();
  await world.until(() => wiped.failure !== undefined, "the wiped server stops");
  expect(wiped.failure).toMatchObject({ code: "IDENTITY" });
  expect(wiped.failure!.message).toContain("must not vote again");
  expect(stateOf(wiped)).toBe("alone");
  const client = world.client();
  await world.wait(client.put("a", "1"));
  await world.wait(client.close());
  await world.stop();
});

test("a first server that lost its folder during formation is not told to empty the others when one is formed", async () => {
  const world = new World(3);
  world.start();
  // Stop while places differ: one is formed, another only forming.
  await world.until(() => world.machines.some((machine) => stateOf(machine) === "formed"), "one is formed");
  expect(world.machines.map(stateOf)).toContain("forming");
  for (const machine of world.machines) machine.crash("kept");
  const [first, second, third] = world.machines;
  const states = [second, third].map((machine) => stateOf(machine!));
  if (!states.includes("formed")) {
    // Let the third one hear of it, while the second is away.
    first!.start();
    third!.start();
    await world.until(() => stateOf(third!) === "formed", "the third is formed");
    first!.crash("kept");
    third!.crash("kept");
  }
  first!.disk = new World(1).machines[0]!.disk;
  world.start();
  await world.until(() => first!.failure !== undefined, "the wiped server stops");
  expect(first!.failure!.message).toContain("belongs to the formed cluster");
  expect(first!.failure!.message).not.toContain("no data was written");
  await world.stop();
});

test("a server that lost its folder in the middle of formation holds it up, and nobody goes on without it", async () => {
  const world = new World(3);
  world.start();
  await world.until(() => stateOf(world.machines[1]!) === "forming", "the second is forming");
  expect(stateOf(world.machines[0]!)).toBe("forming");
  for (const machine of world.machines) machine.crash("kept");
  const [first, second] = world.machines;
  second!.disk = new World(1).machines[0]!.disk;
  world.start();
  await world.run(2000);
  expect(stateOf(first!)).toBe("forming");
  expect(first!.lines.join("\n")).toContain("Its folder was emptied while the cluster was formed");
  await world.stop();
});

test("copies of one folder are told from servers of their own", async () => {
  const world = new World(3);
  world.machines[0]!.start();
  world.machines[1]!.start();
  await world.run(50);
  await world.stop();
  // The place is part of the file, so the copy is made by who wants to cheat: with the place changed.
  const { writeIdentity } = await import("../../src/server/identity.ts");
  const other = world.machines[2]!;
  writeIdentity(other.disk, "data", { ...identityOf(world.machines[1]!)!, place: 2 });
  world.start();
  await world.until(() => world.machines[0]!.failure !== undefined, "the first stops");
  expect(world.machines[0]!.failure!.message).toContain("two servers have the same node id");
  expect(world.machines.map(stateOf)).toEqual(["alone", "alone", "alone"]);
  await world.stop();
});

test("a folder of another place is refused, one of another list goes by the members, and nothing in it is changed", async () => {
  const world = new World(3);
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  await world.stop();
  const machine = world.machines[1]!;
  const before = machine.disk.snapshot();
  expect(() => machine.start({ me: 0 })).toThrow(
    'it belongs to the server in place 1 of the list, and "me" is 0',
  );
  expect(machine.disk.snapshot()).toEqual(before);
  machine.start({ servers: world.addresses.slice(0, 2) });
  expect(machine.lines.filter((line) => line.includes("the members count"))).toEqual([
    "The configuration lists sim:7001 sim:7002, and the cluster's members are sim:7001 sim:7002 sim:7003: the members count",
  ]);
  await machine.stop();
  machine.disk.remove("data/identity");
  expect(() => machine.start()).toThrow("holds data, but the file identity is missing");
});

test("a disk that fails while an identity is stored ends the server with its fault, and hurts nobody else", async () => {
  const world = new World(3);
  world.start();
  const victim = world.machines[1]!;
  const { KvraftError } = await import("../../src/lib/error.ts");
  await world.run(5);
  victim.disk.failure = (action, path) =>
    action === "rename" && path.includes("identity")
      ? new KvraftError("NO_SPACE", "the disk is full")
      : undefined;
  await world.until(() => victim.failure !== undefined, "the victim stops");
  expect(victim.failure).toMatchObject({ code: "NO_SPACE" });
  victim.disk.failure = undefined;
  victim.start();
  await world.until(() => world.leader !== undefined, "a leader");
  await world.stop();
});

test("formation goes on after crashes at any moment, of any of the servers, and forms one cluster", async () => {
  for (const seed of seeds(12)) {
    const world = new World(3, seed);
    const prng = new Prng(seed);
    try {
      world.start();
      for (let crashes = prng.int(1, 6); crashes > 0; crashes--) {
        await world.run(prng.int(0, 120));
        const machine = prng.pick(world.machines);
        if (machine.isRunning) machine.crash(prng.pick(["lost", "kept", "torn"]));
        if (prng.chance(1, 2)) await world.run(prng.int(0, 300));
        world.start();
      }
      await world.until(() => world.leader !== undefined, "a leader");
      await world.until(
        () => world.machines.every((machine) => stateOf(machine) === "formed"),
        "all are formed",
      );
      expect(clusterIds(world).size).toBe(1);
      expect(world.machines.map((machine) => machine.failure)).toEqual([undefined, undefined, undefined]);
      await world.stop();
    } catch (error) {
      if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
});
