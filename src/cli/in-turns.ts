import type { Progress } from "../lib/examination.ts";

/** How long nothing else gets a turn. */
const turnMs = 50;

/** Runs to the end what yields now and then, in turns, so that a signal is heard; `show` is told how far it is. */
export async function inTurns<T>(
  steps: Generator<Progress, T>,
  show: (progress: Progress) => void,
): Promise<T> {
  let turnEndsMs = 0;
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    if (performance.now() < turnEndsMs) continue;
    show(step.value);
    await new Promise((resume) => setImmediate(resume));
    turnEndsMs = performance.now() + turnMs;
  }
}

/** Such as "41%". */
export function percentOf({ done, total }: Progress): string {
  return `${total === 0 ? 100 : Math.floor((100 * done) / total)}%`;
}
