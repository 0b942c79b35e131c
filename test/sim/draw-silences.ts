import type { Prng } from "../../src/env/prng.ts";
import { drawIncident } from "./draw-incident.ts";
import type { Incident, IncidentKind, Plan } from "./plan.ts";

const kinds: readonly IncidentKind[] = ["silence", "silence", "client-silence", "total-silence"];

/** Silences of the network, in a share of the worlds: from a stream of their own, so that a world is otherwise what it was. */
export function withSilences(plan: Plan, prng: Prng): Plan {
  if (!prng.chance(1, 4)) return plan;
  const own = kinds.filter(() => prng.chance(2, 3));
  const silences: Incident[] = [];
  for (let left = own.length === 0 ? 0 : prng.int(1, 5); left > 0; left--) {
    const atMs = prng.int(0, plan.faultsMs);
    silences.push({ atMs, ...drawIncident(prng, prng.pick(own), plan.machines.length, plan.clients.length) });
  }
  const incidents = [...plan.incidents, ...silences].sort((a, b) => a.atMs - b.atMs);
  return { ...plan, incidents };
}
