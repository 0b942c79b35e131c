import { afterAll, expect, test } from "bun:test";
import { cleanUp } from "../e2e/processes.ts";
import { runChaos } from "./chaos-run.ts";

// The short form of `make chaos`: it shows that the machinery works and that nothing is wrong at first sight.

afterAll(cleanUp);

const seed = Number(process.env["SEED"] ?? 20_260_723);

test("20 s of faults: what the clients saw is linearizable, and nothing was lost or done twice", async () => {
  const lines: string[] = [];
  const report = await runChaos({ seed, durationMs: 20_000, nodes: 3, print: (line) => lines.push(line) });
  process.stdout.write(`SEED=${seed}: ${report.summary}\n`);
  expect(report.problems, `SEED=${seed}, kept in ${report.folder}\n${lines.join("\n")}`).toEqual([]);
  expect(report.recorder.counts.ok).toBeGreaterThan(500);
  expect(report.faults.beats).toBeGreaterThanOrEqual(7);
  expect(report.events.snapshotsBegun).toBeGreaterThanOrEqual(1);
  // Amid all of it, on a busy machine, it may take longer than this run.
  expect(report.events.replacementsBegun).toBeGreaterThanOrEqual(1);
  // Whoever dials past the proxies meets no partition.
  expect(report.events.framesLost).toBeGreaterThan(0);
}, 110_000);
