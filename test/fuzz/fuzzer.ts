import { Prng } from "../../src/env/prng.ts";
import { type Bytes, toHex } from "../../src/lib/bytes.ts";
import { allocatedBytesOf } from "./allocation-meter.ts";

/** What is fuzzed. A case draws everything from its generator, so that its seed is all that a replay needs. */
export interface FuzzTarget {
  readonly name: string;
  /** Runs one case; throws on a violation. `note` keeps the case's input for the message of a failure. */
  run(prng: Prng, note: (input: Bytes) => void): void | Promise<void>;
  /** Checks one input; for targets whose input is bytes and nothing else, so that `cases/` can hold some. */
  readonly check?: (input: Bytes) => void | Promise<void>;
}

/** Makes a target of a function that draws an input and one that checks any. */
export function bytesTarget(
  name: string,
  draw: (prng: Prng) => Bytes,
  check: (input: Bytes) => void | Promise<void>,
): FuzzTarget {
  return {
    name,
    check,
    run(prng, note) {
      const input = draw(prng);
      note(input);
      return check(input);
    },
  };
}

/** A promise of the code that a case has broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** Throws a Violation unless the condition holds. */
export function ensure(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Violation(promise);
}

/** Throws a Violation that shows both unless they are deeply equal. */
export function ensureEqual(found: unknown, wanted: unknown, promise: string): void {
  if (!Bun.deepEquals(found, wanted, true))
    throw new Violation(`${promise}: found ${Bun.inspect(found)}, wanted ${Bun.inspect(wanted)}`);
}

/** What reading n bytes may allocate at most: some copies of it, and one small buffer. */
const allocationFactor = 16;
const allocationBytesFree = 16 * 1024;

/** Runs what reads `inputBytes` bytes, and throws a Violation when it takes memory that they do not account for. */
export function withinMemory(inputBytes: number, run: () => void): void {
  const allowed = allocationFactor * inputBytes + allocationBytesFree;
  const allocated = allocatedBytesOf(run);
  ensure(
    allocated <= allowed,
    `${inputBytes} bytes of input allocate at most ${allowed} bytes, found ${allocated}`,
  );
}

/** When to stop: after so many cases, or after so much time, whichever comes first. */
export interface FuzzBounds {
  readonly casesMax?: number;
  readonly secondsMax?: number;
}

/** The cases of one run of a target. */
export interface FuzzRun {
  readonly cases: number;
  readonly seconds: number;
  readonly slowestMs: number;
}

/** Longer than any case may take: what takes longer would be a way to stop a node. */
const caseMsMax = 1000;
/** Hexadecimal digits of an input that a message shows. */
const shownBytesMax = 8192;
/** Bounded runs look at the clock, and let others run, after so many ms. */
const sliceMs = 50;

/**
 * Runs cases with the seeds `seed`, `seed + 1` and so on. The first that throws, or takes longer than a second, ends
 * the run with an error that names its seed, shows its input, and says how to replay it alone.
 */
export async function fuzz(
  target: FuzzTarget,
  seed: number,
  bounds: FuzzBounds,
  begins: (seed: number) => void = () => {},
): Promise<FuzzRun> {
  const { casesMax = Number.POSITIVE_INFINITY, secondsMax = Number.POSITIVE_INFINITY } = bounds;
  const startedAt = performance.now();
  let pausedAt = startedAt;
  let slowestMs = 0;
  let cases = 0;
  for (; cases < casesMax; cases++) {
    const now = performance.now();
    if (now - startedAt >= secondsMax * 1000) break;
    if (now - pausedAt > sliceMs) {
      await new Promise((resolve) => setImmediate(resolve));
      pausedAt = performance.now();
    }
    begins(seed + cases);
    slowestMs = Math.max(slowestMs, await runCase(target, seed + cases));
  }
  return { cases, seconds: (performance.now() - startedAt) / 1000, slowestMs };
}

/** Runs one case and returns how long it took, in ms. */
async function runCase(target: FuzzTarget, seed: number): Promise<number> {
  let input: Bytes | undefined;
  const timed = async (): Promise<number> => {
    const startedAt = performance.now();
    const ended = target.run(new Prng(seed), (noted) => {
      input = noted;
    });
    if (ended !== undefined) await ended;
    return performance.now() - startedAt;
  };
  try {
    const ms = await timed();
    // A machine that does something else for a second is no fault of the code: what is slow is slow again.
    if (ms > caseMsMax) ensure((await timed()) <= caseMsMax, `a case takes at most ${caseMsMax} ms`);
    return ms;
  } catch (error) {
    throw new Error(failureText(target.name, seed, input, error), { cause: error });
  }
}

function failureText(name: string, seed: number, input: Bytes | undefined, error: unknown): string {
  const found = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const shown = input === undefined ? "none was noted" : toHex(input.subarray(0, shownBytesMax));
  const more = input !== undefined && input.length > shownBytesMax ? `... (${input.length} bytes)` : "";
  return (
    `SEED=${seed} breaks the target ${name}: ${found}\n` +
    `  input:  ${shown}${more}\n` +
    `  replay: SEED=${seed} bun test/fuzz/main.ts ${name} --cases 1`
  );
}
