/**
 * Goal: a store whose process is killed has what it has called durable, and of what came after a beginning, with no
 * write missing in between. Method: a process that writes numbered pairs (kill-writer.ts) is killed at random moments,
 * again and again in the same folder, on a real disk and with a real worker.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Prng } from "../../src/env/prng.ts";
import { realEnv } from "../../src/env/real-env.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { options, writeOf } from "./kill-writer.ts";
import { eachSeedLater } from "./seed.ts";
import { describeIterator, describeState, StoreModel } from "./store-model.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-kill-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rounds = 6;
/** A machine that is busy with other things gets no further. */
const roundMsMax = 1000;

test("a store that is killed at any moment has its first writes, at least all that were called durable", async () => {
  await eachSeedLater(1, async (prng, seed) => {
    console.log(`SEED=${seed}`);
    const path = join(folder, String(seed));
    const model = new StoreModel();
    let flushes = 0;
    for (let round = 1; round <= rounds; round++) {
      const lines = await writeAndKill(path, prng);
      const numbersOf = (what: string) =>
        lines.filter((line) => line.startsWith(`${what} `)).map((line) => Number(line.slice(what.length)));
      const durable = numbersOf("durable");
      const installed = numbersOf("installed");
      flushes += durable.length;
      const where = `round ${round}`;
      expect(
        lines.filter((line) => !/^(open|durable \d+|installed \d+)$/.test(line)),
        where,
      ).toEqual([]);
      const store = LevelDB.open(realEnv(), path, options);
      // The writer before has the same promise as this one: what was there once stays.
      const before = model.length;
      const known = Math.max(before, durable.at(-1) ?? 0, installed.at(-1) ?? 0);
      expect(store.sequence, where).toBeGreaterThanOrEqual(known);
      expect(store.logStart.index, where).toBeGreaterThanOrEqual(installed.at(-1) ?? 0);
      expect(store.logStart.index, where).toBeLessThanOrEqual(store.sequence);
      expect(store.applied.index, where).toBe(store.sequence);
      for (let number = before + 1; number <= store.sequence; number++) {
        const { key, value } = writeOf(number);
        model.add(key, number, value);
      }
      expectSame(store, model, where);
      // Half of the time the next writer finds merges that this one has begun.
      if (prng.chance(1, 2)) store.compactRange();
      else store.rest(true);
      expectSame(store, model, where);
      store.close();
    }
    expect(flushes).toBeGreaterThan(0);
  });
});

function expectSame(store: LevelDB, model: StoreModel, where: string): void {
  expect(describeIterator(store.newIterator()), where).toBe(describeState(model));
  for (const [key, record] of model.state()) expect(store.getRecord(key), where).toEqual(record);
}

/** Returns the lines that the writer has said before it was killed. */
async function writeAndKill(path: string, prng: Prng): Promise<string[]> {
  const program = join(import.meta.dir, "kill-writer.ts");
  const command = [process.execPath, program, path, String(prng.int(1, 1_000_000))];
  // Sometimes while it starts, and opens or makes the store; mostly some time after so many lines.
  const linesBefore = prng.chance(1, 4) ? 0 : prng.int(1, 25);
  const delayMs = prng.int(0, linesBefore === 0 ? 200 : 30);
  const writer = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  const tooLong = setTimeout(() => writer.kill("SIGKILL"), roundMsMax);
  const reader = writer.stdout.getReader();
  let said = "";
  while (said.split("\n").length <= linesBefore) {
    const { done, value } = await reader.read();
    if (done) break;
    said += Buffer.from(value).toString();
  }
  await Bun.sleep(delayMs);
  writer.kill("SIGKILL");
  await writer.exited;
  clearTimeout(tooLong);
  for (let next = await reader.read(); !next.done; next = await reader.read())
    said += Buffer.from(next.value).toString();
  expect(writer.signalCode).toBe("SIGKILL");
  return said.split("\n").filter(Boolean);
}
