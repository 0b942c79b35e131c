/** Goal: a folder that a restore was to prepare is, after any crash, refused by name or whole; and forms one cluster. */
import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { emptyManifest, writeManifest } from "../../src/leveldb/manifest.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { readIdentity } from "../../src/server/identity.ts";
import { seeds } from "../leveldb/seed.ts";
import type { Fate } from "../raftlog/crash-disk.ts";
import { type Machine, World } from "../server/world.ts";
import { backupOf, prepare } from "./prepared.ts";

async function prepareAll(world: World, letters = "aaa"): Promise<void> {
  for (const [place, machine] of world.machines.entries())
    await prepare(machine.disk, machine.config, backupOf(letters[place]!));
}

function stateOf(machine: Machine): string {
  return readIdentity(machine.disk, "data")?.state ?? "none";
}

async function expectBackup(world: World): Promise<void> {
  const client = world.client();
  expect(await world.wait(client.get("a7"))).toBe("value 7");
  await world.wait(client.put("after", "1"));
  expect(await world.wait(client.getRecord("after"))).toMatchObject({ created: 101 + 2 ** 32 });
  await world.wait(client.close());
}

test("a restore that loses power at any step is refused by every start, or is there as a whole", async () => {
  const seen = new Set<string>();
  let isWhole = false;
  for (let steps = 0; !isWhole; steps++)
    for (const fate of ["lost", "kept", "torn"] as const satisfies Fate[]) {
      const world = new World(1);
      const machine = world.machines[0]!;
      let left = steps;
      machine.disk.failure = () =>
        left-- > 0 ? undefined : new KvraftError("IO_ERROR", "the power is gone");
      await prepare(machine.disk, machine.config).then(
        () => {
          isWhole = true;
        },
        (error: unknown) => expect(String(error)).toContain("the power is gone"),
      );
      machine.disk = machine.disk.crash(fate, world.prng);
      const state = stateOf(machine);
      seen.add(state);
      const tale = `${fate} after ${steps} steps: ${state}`;
      if (state === "restoring") {
        const before = machine.disk.snapshot();
        expect(() => machine.start(), tale).toThrow("a restore into it was interrupted");
        expect(machine.disk.snapshot(), tale).toEqual(before);
      }
      if (state !== "prepared") await prepare(machine.disk, machine.config);
      world.start();
      await world.until(() => world.leader !== undefined, `a leader, ${tale}`);
      await expectBackup(world);
      await world.stop();
    }
  expect([...seen].sort()).toEqual(["none", "prepared", "restoring"]);
}, 60_000);

test("formation from a backup goes on after crashes at any moment, and forms one cluster that has it", async () => {
  const seen = new Set<string>();
  for (const seed of seeds(12)) {
    const world = new World(3, seed);
    const prng = new Prng(seed);
    try {
      await prepareAll(world);
      world.start();
      for (let crashes = prng.int(1, 6); crashes > 0; crashes--) {
        await world.run(prng.int(0, 60));
        const machine = prng.pick(world.machines);
        seen.add(stateOf(machine));
        if (machine.isRunning) machine.crash(prng.pick(["lost", "kept", "torn"]));
        world.start();
      }
      await world.until(() => world.leader !== undefined, "a leader");
      await expectBackup(world);
      await world.until(
        () => world.machines.every((machine) => stateOf(machine) === "formed"),
        "all are formed",
      );
      const identities = world.machines.map(({ disk }) => readIdentity(disk, "data")!);
      expect(new Set(identities.map(({ clusterId }) => clusterId)).size).toBe(1);
      expect(new Set(identities.map(({ nodeId }) => nodeId)).size).toBe(3);
      await world.stop();
    } catch (error) {
      if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
  expect([...seen]).toContain("forming");
}, 60_000);

test("every crash while one server forms a cluster of its backup is resumed", async () => {
  for (let steps = 0; ; steps++) {
    const world = new World(1);
    const machine = world.machines[0]!;
    await prepare(machine.disk, machine.config);
    let left = steps;
    machine.disk.failure = () => (left-- > 0 ? undefined : new KvraftError("IO_ERROR", "the power is gone"));
    let isServing = false;
    try {
      machine.start();
      await world.until(
        () => machine.failure !== undefined || world.leader !== undefined,
        "it ends or leads",
      );
      isServing = world.leader !== undefined;
    } catch (error) {
      expect(String(error)).toContain("the power is gone");
    }
    machine.crash(["lost", "kept", "torn"][steps % 3] as Fate);
    machine.disk.failure = undefined;
    world.start();
    await world.until(() => world.leader !== undefined, `a leader after a crash at step ${steps}`);
    await expectBackup(world);
    await world.stop();
    expect(steps).toBeLessThan(500);
    if (!isServing) continue;
    expect(steps).toBeGreaterThan(15);
    break;
  }
}, 60_000);

test("a copy of a prepared folder is nobody's copy: each start draws an id of its own", async () => {
  const world = new World(2);
  await prepareAll(world, "aa");
  const copy = world.machines[1]!.disk.copy();
  world.machines[1]!.start();
  await world.machines[1]!.stop();
  const [first] = [readIdentity(world.machines[1]!.disk, "data")!];
  world.machines[1]!.disk = copy;
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  expect(readIdentity(world.machines[1]!.disk, "data")!.nodeId).not.toBe(first.nodeId);
  await world.stop();
});

test("a server that joins before the restored state was ever flushed gets all of it, and can lead", async () => {
  const world = new World(1);
  await prepareAll(world, "a");
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const added = world.add();
  added.join(world.machines[0]!);
  const client = world.client();
  let learner: string | undefined;
  for (let tries = 0; learner === undefined && tries < 200; tries++) {
    const { members } = await world.wait(client.members());
    learner = members.find(({ role, lag, match }) => role === "learner" && lag === 0 && match! > 1)?.nodeId;
    await world.run(20);
  }
  await world.wait(client.changeMembers({ promote: [learner!] }));
  await world.wait(client.transferLeadership(learner!));
  await world.until(() => world.leader === added, "the new one leads");
  await expectBackup(world);
  await world.wait(client.close());
  await world.stop();
});

test("a store that was swapped or emptied under a prepared folder is refused before anything is formed", async () => {
  const world = new World(1);
  const machine = world.machines[0]!;
  await prepare(machine.disk, machine.config);
  const refuses = () => {
    expect(() => machine.start()).toThrow("it does not hold what the folder was prepared with");
    expect(stateOf(machine)).toBe("prepared");
  };
  writeManifest(machine.disk, "data/store", emptyManifest);
  refuses();
  machine.disk.remove("data/store/MANIFEST");
  refuses();
});
