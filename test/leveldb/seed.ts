import { Prng } from "../../src/env/prng.ts";

/** `SEED` replays one run; without it the seeds are fixed, so that a red test is red again. */
export function seeds(count: number): number[] {
  const { SEED: asked } = process.env;
  if (asked !== undefined) return [Number(asked)];
  return Array.from({ length: count }, (_, at) => 1000 + at);
}

/** Runs `body` with a generator per seed, and names the seed when it throws. */
export function eachSeed(count: number, body: (prng: Prng, seed: number) => void): void {
  for (const seed of seeds(count)) {
    try {
      body(new Prng(seed), seed);
    } catch (error) {
      if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
}

/** The same for a body that takes its time. */
export async function eachSeedLater(
  count: number,
  body: (prng: Prng, seed: number) => Promise<void>,
): Promise<void> {
  for (const seed of seeds(count)) {
    try {
      await body(new Prng(seed), seed);
    } catch (error) {
      if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
}
