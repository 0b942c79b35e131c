/** Goal: a node that starts on a full disk removes what it has left over before it needs any room. */
import { expect, test } from "bun:test";
import { KvraftError } from "../../src/lib/error.ts";
import { type Machine, World } from "./world.ts";

/** Whatever takes room fails on a full disk, as long as these files are there. */
function fill(machine: Machine, files: readonly string[]): void {
  machine.disk.failure = (action, path) =>
    ["create", "write"].includes(action) && files.some((file) => machine.disk.exists(file))
      ? new KvraftError("NO_SPACE", `Cannot ${action} "${path}": no space left on device`)
      : undefined;
}

function add(machine: Machine, path: string, bytes: Uint8Array): string {
  const file = machine.disk.open(path, "create");
  file.write(0, bytes);
  file.sync();
  file.close();
  machine.disk.syncFolder(path.slice(0, path.lastIndexOf("/")));
  return path;
}

function segmentsOf(machine: Machine): string[] {
  return machine.disk.list("data/log").filter((name) => name.endsWith(".log"));
}

/** One server that has written and was killed. */
async function killed(): Promise<{ world: World; machine: Machine }> {
  const world = new World(1);
  const machine = world.machines[0]!;
  world.start();
  await world.until(() => world.leader !== undefined, "a leader");
  const client = world.client();
  for (let at = 0; at < 20; at++) await world.wait(client.put(`key ${at}`, `${at}`));
  await world.wait(client.close());
  machine.crash("kept");
  return { world, machine };
}

async function expectServes(world: World): Promise<void> {
  await world.until(() => world.leader !== undefined, "a leader");
  const client = world.client();
  for (let at = 0; at < 20; at++) expect(await world.wait(client.get(`key ${at}`))).toBe(`${at}`);
  await world.wait(client.put("room", "again"));
  await world.wait(client.close());
  await world.stop();
}

test("each kind of leftover of the log and the store goes before anything is written", async () => {
  const kinds: ((machine: Machine) => string)[] = [
    (machine) => add(machine, "data/store/000900.run", new Uint8Array(9000)),
    (machine) => add(machine, "data/store/MANIFEST.new", new Uint8Array(90)),
    (machine) => add(machine, `data/log/${segmentsOf(machine).at(-1)}.tmp`, new Uint8Array(9000)),
  ];
  for (const kind of kinds) {
    const { world, machine } = await killed();
    const path = kind(machine);
    fill(machine, [path]);
    machine.start();
    expect(machine.disk.exists(path)).toBe(false);
    await expectServes(world);
  }
});

test("a segment of the log that was replaced goes before anything is written", async () => {
  const { world, machine } = await killed();
  machine.start();
  const [replaced] = segmentsOf(machine).slice(-1);
  const path = `data/log/${replaced}`;
  machine.crash("kept");
  const bytes = machine.disk.read(path)!.slice();
  machine.start();
  machine.crash("kept");
  expect(machine.disk.exists(path)).toBe(false);
  // As if the power had gone before its removal was durable.
  add(machine, path, bytes);
  fill(machine, [path]);
  machine.start();
  expect(machine.disk.exists(path)).toBe(false);
  await expectServes(world);
});

test("all of them together, and nothing that is needed", async () => {
  const { world, machine } = await killed();
  const needed = [...machine.disk.snapshot().keys()].filter((path) => !path.endsWith("LOCK"));
  const leftovers = [
    add(machine, "data/store/000900.run", new Uint8Array(9000)),
    add(machine, "data/store/000901.run", new Uint8Array(9000)),
    add(machine, "data/store/MANIFEST.new", new Uint8Array(90)),
    add(machine, `data/log/${segmentsOf(machine).at(-1)}.tmp`, new Uint8Array(9000)),
  ];
  // It stays full: the start fails, but all of this is gone, and all of that is there.
  machine.disk.failure = (action) =>
    ["create", "write"].includes(action) ? new KvraftError("NO_SPACE", "no space left on device") : undefined;
  expect(() => machine.start()).toThrow("no space left");
  for (const path of leftovers) expect(machine.disk.exists(path)).toBe(false);
  for (const path of needed) expect(machine.disk.exists(path)).toBe(true);
  machine.crash("kept");
  machine.disk.failure = undefined;
  machine.start();
  await expectServes(world);
});
