import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Canary, editedTexts } from "./canary.ts";

// Goal: a simulator that passes says something, because it finds each of these deliberate faults within a bounded number
// of seeds. Method: every canary runs in a process of its own, whose code is broken while it is loaded.

const names = readdirSync("test/sim/canaries")
  .filter((name) => name.endsWith(".ts"))
  .map((name) => name.slice(0, -".ts".length))
  .sort();

interface Found {
  readonly seeds: number;
  readonly found: string;
  readonly errors: string;
}

/** All at once, as many at a time as there are processors. */
const results = new Map<string, PromiseWithResolvers<Found>>(
  names.map((name) => [name, Promise.withResolvers<Found>()]),
);

async function work(queue: string[]): Promise<void> {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const child = Bun.spawn([process.execPath, "test/sim/canary-main.ts", name], { stderr: "pipe" });
    const output = await new Response(child.stdout).text();
    const errors = await new Response(child.stderr).text();
    const { seeds, found } = output === "" ? { seeds: 0, found: "" } : JSON.parse(output);
    results.get(name)!.resolve({ seeds, found, errors });
  }
}

const queue = [...names];
for (let lane = 0; lane < Math.max(2, availableParallelism()); lane++) void work(queue);

const table = await Bun.file("test/sim/CANARIES.md").text();

for (const name of names) {
  test(`the simulator finds ${name}`, async () => {
    const { canary } = (await import(`./canaries/${name}.ts`)) as { readonly canary: Canary };
    expect(editedTexts(canary).size).toBeGreaterThan(0);
    const { seeds, found, errors } = await results.get(name)!.promise;
    expect({ isFound: seeds > 0, runsMax: canary.runsMax, found, errors }).toMatchObject({ isFound: true });
  }, 400_000);
}

test("the table of canaries names each of them, with its fault", async () => {
  const rows = [...table.matchAll(/^\| `([a-z-]+)` \| (.+?) \|/gm)].map(
    ([, name, fault]) => [name!, fault!] as const,
  );
  expect(rows.map(([name]) => name)).toEqual(names);
  for (const [name, fault] of rows) {
    const { canary } = (await import(`./canaries/${name}.ts`)) as { readonly canary: Canary };
    expect(fault).toBe(canary.fault);
  }
});
