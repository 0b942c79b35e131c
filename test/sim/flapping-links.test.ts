import { expect, test } from "bun:test";
import { calmWorld } from "./calm-world.ts";
import type { Incident, Plan } from "./plan.ts";
import { runPlan } from "./run-plan.ts";

// Goal: connections that are reset, however often, unseat no leader; its death does, at once. Method: worlds in which nothing
// else happens, in which all machines live on, and a count of the leaders that there were.

async function leadersOf(plan: Plan): Promise<number> {
  const { reason, coverage } = await runPlan(plan);
  if (reason !== undefined) throw new Error(`seed ${plan.seed}: ${reason}`);
  return coverage.leaders;
}

test("links that flap unseat no leader", async () => {
  for (let seed = 1; seed <= 6; seed++) {
    const incidents: Incident[] = [
      { atMs: 3000, kind: "flap", target: "leader", everyMs: 250 + 30 * (seed % 5), forMs: 3000 },
      { atMs: 7000, kind: "flap", target: seed % 3, everyMs: 200, forMs: 2000 },
    ];
    expect([seed, await leadersOf(calmWorld(seed, incidents))]).toEqual([seed, 1]);
  }
}, 60_000);

test("a leader that dies has a successor, and no third one comes", async () => {
  for (let seed = 1; seed <= 3; seed++) {
    const incidents: Incident[] = [{ atMs: 4000, kind: "kill", target: "leader", forMs: 1500 }];
    expect([seed, await leadersOf(calmWorld(seed, incidents))]).toEqual([seed, 2]);
  }
}, 60_000);
