import { drawPlan } from "./draw-plan.ts";
import type { Incident, Plan } from "./plan.ts";

/** A calm world of that seed, with these incidents only. */
export function calmWorld(seed: number, incidents: readonly Incident[]): Plan {
  const plan = drawPlan(seed, { isStandard: true });
  const machines = plan.machines.map((machine) => ({
    ...machine,
    clockRate: 1,
    skewMs: 0,
    writeMsMin: 1,
    writeMsMax: 2,
  }));
  const weather = { ...plan.weather, latencyMsMin: 0.1, latencyMsMax: 0.3 };
  const calm = { lossPerMille: 0, duplicatePerMille: 0, delayPerMille: 0 };
  return { ...plan, machines, weather: { ...weather, ...calm }, incidents, isFormationDisturbed: true };
}
