import { expect, test } from "bun:test";
import type { KVClient, KVError } from "../../src/client/kv-client.ts";
import { Prng } from "../../src/env/prng.ts";
import { seeds } from "../leveldb/seed.ts";
import { World } from "./world.ts";

// Goal: whatever power cuts, stops, hung disks and wrong clocks do to the nodes of a cluster, no put that was answered is lost
// or done twice, and a read sees what was answered before it. Method: real nodes in one process, on disks and a network in
// memory; each client writes to a key of its own, so that the versions of the key count what was applied.

class Writer {
  readonly key: string;
  readonly client: KVClient;
  ok = 0;
  unknown = 0;
  #number = 0;
  /** The last value that was answered, and those since whose outcome is not known. */
  #possible = new Set<string | undefined>([undefined]);
  problem = "";
  isBusy = false;

  constructor(key: string, client: KVClient) {
    this.key = key;
    this.client = client;
  }

  /** One put or get, and what it must have been. */
  async step(isRead: boolean): Promise<void> {
    this.isBusy = true;
    try {
      if (isRead) this.#check(await this.client.get(this.key));
      else await this.#put();
    } catch (error) {
      const { outcome } = error as KVError;
      if (outcome === undefined) throw error;
      if (outcome === "unknown") this.unknown++;
    } finally {
      this.isBusy = false;
    }
  }

  async #put(): Promise<void> {
    const value = `${this.key}${++this.#number}`;
    const before = new Set(this.#possible);
    this.#possible.add(value);
    try {
      await this.client.put(this.key, value);
      this.ok++;
      // An earlier one of unknown outcome may still come.
      this.#possible = new Set([value, ...[...before].filter((one) => this.#isOpen.has(one))]);
    } catch (error) {
      if ((error as KVError).outcome === "unknown") this.#isOpen.add(value);
      else this.#possible = before;
      throw error;
    }
  }

  readonly #isOpen = new Set<string | undefined>();

  #check(value: string | undefined): void {
    if (!this.#possible.has(value))
      this.problem ||= `${this.key} is ${value}, it may be ${[...this.#possible].join(" or ")}`;
  }
}

async function runOnce(seed: number): Promise<number> {
  const prng = new Prng(seed);
  const world = new World(3, seed, { memtableBytes: prng.pick([2000, 1 << 20]), segmentBytes: 20_000 });
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const writers = ["a", "b", "c"].map((key) => new Writer(key, world.client(prng.pick([400, 3000]))));
  for (let moment = 0; moment < 60; moment++) {
    for (const writer of writers) if (!writer.isBusy) void writer.step(prng.chance(1, 3));
    await world.run(prng.int(1, 60));
    const machine = prng.pick(world.machines);
    switch (prng.int(0, 9)) {
      case 0:
      case 1:
        if (machine.isRunning) machine.crash(prng.pick(["lost", "kept", "torn"]));
        break;
      case 2:
        machine.isDiskHung = !machine.isDiskHung;
        break;
      case 3:
        machine.skewMs = prng.int(-3_600_000, 3_600_000);
        if (machine.clock !== undefined) machine.clock.skewMs = machine.skewMs;
        break;
      case 4:
        if (machine.isRunning) await machine.stop();
        break;
      default:
        machine.isDiskHung = false;
        world.start();
    }
  }
  for (const machine of world.machines) machine.isDiskHung = false;
  world.start();
  await world.until(() => writers.every((writer) => !writer.isBusy), "the writers are answered");
  await world.until(() => world.leader !== undefined, "a leader");
  for (const writer of writers) {
    await world.wait(writer.step(false));
    await world.wait(writer.step(true));
    expect(writer.problem).toBe("");
    const count = (await world.wait(writer.client.getRecord(writer.key)))?.count ?? 0;
    expect(count).toBeGreaterThanOrEqual(writer.ok);
    expect(count).toBeLessThanOrEqual(writer.ok + writer.unknown);
  }
  expect(world.machines.map((machine) => machine.failure)).toEqual([undefined, undefined, undefined]);
  let revisions = new Set<unknown>();
  for (let second = 0; revisions.size !== 1 && second < 10; second++) {
    await world.run(1000);
    revisions = new Set((await world.wait(writers[0]!.client.status())).map((node) => node.revision));
  }
  expect([...revisions].length).toBe(1);
  for (const writer of writers) await world.wait(writer.client.close());
  await world.stop();
  return writers.reduce((sum, writer) => sum + writer.ok, 0);
}

test("what was answered is neither lost nor done twice, whatever happens to nodes, disks and clocks", async () => {
  let answered = 0;
  for (const seed of seeds(6)) {
    try {
      answered += await runOnce(seed);
    } catch (error) {
      if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
  expect(answered).toBeGreaterThan(process.env["SEED"] === undefined ? 60 : 3);
}, 20_000);
