import type { Prng } from "../../src/env/prng.ts";
import { drawIncident } from "./draw-incident.ts";
import type { Incident, IncidentKind, Plan } from "./plan.ts";

const kinds: readonly IncidentKind[] = [
  "silence",
  "silence",
  "client-silence",
  "total-silence",
  "lost-name",
  "lag-handover",
];

/**
 * What real networks, names, disks and people do, in a share of the worlds: drawn from a stream of its own, so that a world is
 * otherwise what it was.
 */
export function withFieldFaults(plan: Plan, prng: Prng): Plan {
  if (!prng.chance(1, 3)) return plan;
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
