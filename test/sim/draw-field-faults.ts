import type { Prng } from "../../src/env/prng.ts";
import { drawIncident } from "./draw-incident.ts";
import type { Incident, IncidentKind, Plan } from "./plan.ts";

const kinds: readonly IncidentKind[] = ["silence", "silence", "client-silence", "total-silence", "lost-name"];

/**
 * What real networks, names, disks and people do, in a share of the worlds: drawn from a stream of its own, so that a world is
 * otherwise what it was.
 */
export function withFieldFaults(plan: Plan, prng: Prng): Plan {
  if (!prng.chance(1, 3)) return plan;
  if (prng.chance(1, 6)) return withLaggards(plan, prng);
  const own = kinds.filter(() => prng.chance(1, 2));
  const faults: Incident[] = [];
  const drawn = (kind: IncidentKind): Incident => {
    const atMs = prng.int(0, plan.faultsMs);
    return { atMs, ...drawIncident(prng, kind, plan.machines.length, plan.clients.length) };
  };
  for (let left = own.length === 0 ? 0 : prng.int(1, 5); left > 0; left--) faults.push(drawn(prng.pick(own)));
  const isCareless = prng.chance(1, 10);
  for (let left = isCareless ? prng.int(2, 6) : 0; left > 0; left--) faults.push(drawn("bit-rot"));
  const incidents = [...plan.incidents, ...faults].sort((a, b) => a.atMs - b.atMs);
  return { ...plan, incidents, isCareless, lastSilence: drawLastSilence(prng) };
}

function drawLastSilence(prng: Prng): Plan["lastSilence"] {
  if (!prng.chance(1, 2)) return undefined;
  const between = prng.pick(["machines", "clients", "all"] as const);
  return { between, forMs: prng.pick([prng.int(500, 5000), prng.int(5000, 40_000)]) };
}

/** Nothing but nodes that lag, one after the other, in a world whose logs are short: it takes three accidents in a row, see `lag-handover`. */
export function withLaggards(plan: Plan, prng: Prng): Plan {
  const { machines, clients, faultsMs, limits } = plan;
  const incidents: Incident[] = [];
  for (let atMs = 1000; atMs < faultsMs - 1000; atMs += 5000)
    incidents.push({ atMs, ...drawIncident(prng, "lag-handover", machines.length, clients.length) });
  const logTailEntries = prng.pick([0, 3, 20]);
  const short = { logTailEntries, logTailBytes: 4000, memtableBytes: 600, segmentBytes: 1024 };
  return { ...plan, incidents, limits: { ...limits, ...short } };
}
