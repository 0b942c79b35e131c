import { messageOf } from "../../src/lib/error.ts";
import type { Coverage } from "./coverage.ts";
import type { Effect } from "./incident-effects.ts";
import type { IncidentKind, Plan } from "./plan.ts";
import type { StoreWork } from "./sim-workers.ts";
import { Simulation } from "./simulation.ts";

/** What became of one run. */
export interface Report {
  readonly plan: Plan;
  /** Why it failed, or undefined. */
  readonly reason: string | undefined;
  /** Where in the code, for whoever repairs it. */
  readonly stack: string;
  /** The last events, oldest first. */
  readonly lastEvents: readonly string[];
  readonly operations: number;
  readonly acknowledged: number;
  readonly events: number;
  readonly virtualMs: number;
  /** What all stores have done. */
  readonly storeWork: StoreWork;
  readonly coverage: Coverage;
  /** Of each kind of incident: how many began, and how many did something. */
  readonly effects: ReadonlyMap<IncidentKind, Effect>;
  /** Of all that clients saw and all that happened: equal seeds give equal ones. */
  readonly fingerprint: string;
}

/** What a promise threw and nobody caught belongs to the run that was under way. */
let rejection: unknown;
process.on("unhandledRejection", (error) => {
  rejection ??= error;
});

/** Runs a world to its end; whatever it throws is the reason of its failure. `onLine` is told every event. */
export async function runPlan(plan: Plan, onLine?: (line: string) => void): Promise<Report> {
  rejection = undefined;
  const report = simulate(plan, onLine);
  await new Promise((resolve) => setImmediate(resolve));
  if (rejection === undefined || report.reason !== undefined) return report;
  return { ...report, reason: messageOf(rejection), stack: stackOf(rejection) };
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? "") : "";
}

function simulate(plan: Plan, onLine: ((line: string) => void) | undefined): Report {
  const simulation = new Simulation(plan);
  simulation.trace.onLine = onLine;
  let reason: string | undefined;
  let stack = "";
  try {
    simulation.run();
  } catch (error) {
    reason = messageOf(error);
    stack = stackOf(error);
  }
  const { history, trace, events, timeline } = simulation;
  return {
    plan,
    reason,
    stack,
    lastEvents: trace.last(reason === undefined ? 0 : 80),
    operations: history.length,
    acknowledged: history.filter(({ outcome }) => outcome === "ok").length,
    events,
    virtualMs: timeline.nowMs,
    storeWork: simulation.storeWork,
    coverage: simulation.coverage,
    effects: simulation.effects,
    fingerprint: Bun.hash(JSON.stringify([history, trace.count, events, timeline.nowMs])).toString(16),
  };
}
