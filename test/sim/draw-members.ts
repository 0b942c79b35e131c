import type { Prng } from "../../src/env/prng.ts";
import { drawIncident } from "./draw-incident.ts";
import type { Incident, IncidentKind, Plan } from "./plan.ts";

/** What a world has beyond a fixed cluster with a log that only grows. */
export interface Extras {
  /** Machines that wait to be let in. */
  readonly spares: number;
  readonly kinds: readonly IncidentKind[];
  /** How many incidents of these kinds. */
  readonly count: number;
  readonly limits: Partial<Plan["limits"]>;
  readonly prng: Prng;
}

const memberKinds: readonly IncidentKind[] = ["join", "join", "remove", "replace", "replace-all", "wipe"];
/** What people get wrong, and what becomes of addresses. */
const carelessKinds: readonly IncidentKind[] = ["mistake", "mistake", "swap", "move", "reuse"];
const needingSpares = new Set<IncidentKind>([...memberKinds, "mistake", "reuse"]);
/** Plain majorities of more machines are no other ones, and cost time. */
const machinesMax = 9;

/**
 * Draws from a stream of its own what came later than the rest, so that a world is otherwise what it was: logs that are
 * dropped, members that come and go, leaders that hand over, links that flap. Each in a share of the runs.
 */
export function drawExtras(
  prng: Prng,
  founders: number,
  wanted: readonly IncidentKind[] | undefined,
): Extras {
  const isChanging = wanted?.some((kind) => needingSpares.has(kind)) ?? prng.chance(2, 5);
  const spares = isChanging ? Math.min(machinesMax - founders, prng.int(1, founders + 1)) : 0;
  const kinds: IncidentKind[] = [];
  if (isChanging) kinds.push(...memberKinds.filter(() => prng.chance(1, 2)), "join");
  if (prng.chance(1, 3)) kinds.push("transfer");
  if (prng.chance(1, 5)) kinds.push("flap");
  const isCompacting = prng.chance(3, 5);
  if (isCompacting && prng.chance(1, 2)) kinds.push("lag-crash", "lag-crash");
  const limits: Partial<Plan["limits"]> = {
    agreementEntries: prng.pick([0, 4, 16, 64]),
    ...(isCompacting && {
      logTailEntries: prng.pick([0, 3, 20, 100]),
      logTailBytes: prng.pick([0, 500, 4000, 1 << 20]),
      memtableBytes: prng.pick([300, 300, 600, 2000]),
      segmentBytes: prng.pick([1024, 2048, 4096]),
    }),
  };
  // Drawn last: a world is otherwise what it was.
  const careless = prng.chance(1, 2) ? carelessKinds.filter(() => prng.chance(1, 2)) : [];
  if (isChanging) kinds.push(...careless, ...careless);
  else kinds.push(...careless.filter((kind) => !needingSpares.has(kind)));
  const count = kinds.length === 0 || wanted !== undefined ? 0 : prng.int(2, 8);
  return { spares, kinds, count, limits, prng };
}

export function withExtras(plan: Plan, { kinds, count, limits, prng }: Extras): Plan {
  const extra: Incident[] = [];
  for (let made = 0; made < count; made++) {
    const atMs = prng.int(0, plan.faultsMs);
    const kind = prng.pick(kinds);
    extra.push({ atMs, ...drawIncident(prng, kind, plan.machines.length, plan.clients.length) });
  }
  const incidents = [...plan.incidents, ...extra].sort((a, b) => a.atMs - b.atMs);
  return { ...plan, incidents, limits: { ...plan.limits, ...limits } };
}
