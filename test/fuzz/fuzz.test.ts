import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Prng } from "../../src/env/prng.ts";
import { fromHex } from "../../src/lib/bytes.ts";
import { allocatedBytesOf } from "./allocation-meter.ts";
import { bytesTarget, ensure, fuzz, withinMemory } from "./fuzzer.ts";
import { mutate } from "./mutate.ts";
import { removeScratch } from "./scratch.ts";
import { targets } from "./targets.ts";

const { SEED } = process.env;
const fixedSeed = 20_260_722;
/** Other cases with every run; a failure names its own. */
const newSeed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
const casesFolder = join(import.meta.dir, "cases");
const bounds = { casesMax: 400, secondsMax: 0.2 };

afterAll(removeScratch);

describe("the fuzzer itself", () => {
  const target = bytesTarget(
    "sevens",
    (prng) => Uint8Array.of(prng.int(0, 63)),
    (input) => ensure(input[0] !== 7, "no seven comes"),
  );

  test("names the seed of what fails, shows the input, and fails again with that seed alone", async () => {
    const failure = await fuzz(target, 1, { casesMax: 10_000 }).catch(String);
    expect(failure).toContain("breaks the target sevens: Violation: no seven comes");
    expect(failure).toContain("input:  07\n");
    const [, seed] = /SEED=(\d+) bun test\/fuzz\/main.ts sevens --cases 1/.exec(String(failure)) ?? [];
    const again = await fuzz(target, Number(seed), { casesMax: 1 }).catch(String);
    expect(again).toBe(failure);
  });

  test("fails a case that takes more than a second", async () => {
    const slow = bytesTarget(
      "slow",
      () => new Uint8Array(1),
      () => Bun.sleepSync(1100),
    );
    expect(await fuzz(slow, 1, { casesMax: 1 }).catch(String)).toContain("a case takes at most 1000 ms");
  });

  test("sees an allocation from a length field, also of what is garbage at once", () => {
    expect(allocatedBytesOf(() => new Uint8Array(10_000_000))).toBe(10_000_000);
    expect(allocatedBytesOf(() => new Uint32Array(1000))).toBe(4000);
    expect(() => withinMemory(100, () => new Array(1_000_000))).toThrow(
      "100 bytes of input allocate at most",
    );
    withinMemory(1_000_000, () => new Uint8Array(1_000_000));
  });

  test("mutates the same way from the same seed, and changes nearly every input", () => {
    const input = new Uint8Array(100).map((_, at) => at);
    let changed = 0;
    for (let seed = 0; seed < 200; seed++) {
      const mutated = mutate(new Prng(seed), input);
      expect(mutate(new Prng(seed), input)).toEqual(mutated);
      if (!Bun.deepEquals(mutated, input)) changed++;
    }
    expect(changed).toBeGreaterThan(150);
  });
});

describe("what once failed", () => {
  for (const file of readdirSync(casesFolder).toSorted())
    test(file, async () => {
      const target = targets.find(({ name }) => file.startsWith(`${name}-`));
      const input = fromHex(readFileSync(join(casesFolder, file), "utf8").trim());
      if (target?.check === undefined || input === undefined)
        throw new Error(`"${file}" is named <target>-<what>.hex and holds hexadecimal digits`);
      const startedAt = performance.now();
      await target.check(input);
      expect(performance.now() - startedAt).toBeLessThan(1000);
    });
});

describe("a few cases of every target", () => {
  for (const target of targets)
    for (const seed of SEED === undefined ? [fixedSeed, newSeed] : [Number(SEED)])
      test(`${target.name}, ${seed === fixedSeed ? "the usual ones" : "new ones"}`, async () => {
        expect((await fuzz(target, seed, bounds)).cases).toBeGreaterThan(0);
      });
});
