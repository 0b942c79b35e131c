/**
 * `make chaos`: real processes of the binary, killed, paused, cut off and starved of disk, under clients whose history is
 * checked for linearizability at the end. See DESIGN.md.
 *
 * Options in the environment: MINUTES [10], SEED [random], NODES [3], HISTORY (a file for the history, in JSON lines),
 * KVRAFT_BINARY (the binary under test) [dist/kvraft].
 */
import { writeFileSync } from "node:fs";
import { cleanUp } from "../e2e/processes.ts";
import { toJsonLine } from "../history/operation.ts";
import { type ChaosReport, runChaos } from "./chaos-run.ts";

const { MINUTES = "10", SEED, NODES = "3", HISTORY } = process.env;
const minutes = readNumber("MINUTES", MINUTES);
const seed = readNumber("SEED", SEED ?? String(Math.floor(Math.random() * 1_000_000_000)));
const nodes = readNumber("NODES", NODES);

/** In so many minutes every kind of fault has to have done something: chaos that does little finds little. */
const minutesThatSeeAll = 10;
/** Beyond its minutes a run may take so long to start, settle and check. */
const graceMs = 180_000;

for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)
  process.on(signal, () => end(status));
setTimeout(
  () => {
    console.log(`FAILED: the run takes ${graceMs / 1000} s longer than it should; SEED=${seed}`);
    end(1);
  },
  minutes * 60_000 + graceMs,
).unref();

console.log(`SEED=${seed}`);
const report = await runChaos({
  seed,
  durationMs: minutes * 60_000,
  nodes,
  print: (line) => console.log(line),
}).catch((error: unknown) => {
  console.log(`FAILED to run: ${error instanceof Error ? error.stack : String(error)}`);
});
if (report === undefined) end(1);
else {
  if (HISTORY !== undefined)
    writeFileSync(HISTORY, `${report.recorder.history.map(toJsonLine).join("\n")}\n`);
  tell(report);
  const { idle } = report.faults;
  const isThin = minutes >= minutesThatSeeAll && idle.length > 0;
  if (idle.length > 0) console.log(`faults that did nothing: ${idle.join(", ")}`);
  end(report.problems.length === 0 && !isThin ? 0 : 1);
}

function tell({ problems, folder, summary }: ChaosReport): void {
  for (const problem of problems) console.log(`\n${problem}`);
  if (problems.length > 0) {
    console.log(`\nData folders, logs and history.jsonl are kept in ${folder}`);
    console.log(`To repeat: make chaos SEED=${seed} MINUTES=${minutes} NODES=${nodes}`);
  }
  console.log(`SEED=${seed}: ${summary}`);
}

function end(status: number): void {
  void cleanUp().finally(() => process.exit(status));
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && number > 0) return number;
  console.error(`Cannot read ${name}: found "${text}"; wanted a number above 0`);
  process.exit(2);
}
