import { expect, test } from "bun:test";
import { calmWorld } from "./calm-world.ts";
import type { Incident, Target } from "./plan.ts";
import { Simulation } from "./simulation.ts";

// Goal: clients get their answers within a bound while the store of one node hangs, the leader's or another's. Method: worlds
// in which nothing else happens and in which little fills the stores' memory, and how long each operation took.

const hangsAtMs = 3000;
/** Until the leader hands over: two of the longest election timeouts; and what it takes to find the next leader. */
const answerMsMax = 1200 + 300;

/** A world in which that node's store hangs for long. Yields the longest wait, and the leaders that had to hand over. */
function run(seed: number, target: Target): { readonly slowestMs: number; readonly hangingLeaders: number } {
  const hang: Incident = { atMs: hangsAtMs, kind: "store-hang", target, forMs: 7000 };
  const plan = calmWorld(seed, [hang]);
  const clients = plan.clients.map((client) => ({
    ...client,
    operations: 80,
    timeoutMs: 20_000,
    thinkMsMax: 200,
  }));
  const limits = { ...plan.limits, memtableBytes: 300, uncommittedBytes: 1 << 20 };
  const simulation = new Simulation({ ...plan, valueBytesMax: 64, clients, limits, faultsMs: 12_000 });
  simulation.run();
  // What ended before may have waited for the cluster to be formed.
  const waits = simulation.clients.flatMap((client) => client.waits.filter(({ endMs }) => endMs > hangsAtMs));
  return {
    slowestMs: Math.max(...waits.map(({ ms }) => ms)),
    hangingLeaders: simulation.coverage.hangingLeaders,
  };
}

test("clients are answered soon while the store of the leader hangs: it hands over", () => {
  for (let seed = 1; seed <= 4; seed++) {
    const { slowestMs, hangingLeaders } = run(seed, "leader");
    expect([seed, slowestMs]).toEqual([seed, Math.min(slowestMs, answerMsMax)]);
    // Or the clients had nothing to wait for.
    expect([seed, hangingLeaders]).toEqual([seed, 1]);
  }
}, 60_000);

test("clients are answered soon while the store of any one node hangs", () => {
  for (const place of [0, 1, 2]) {
    const { slowestMs } = run(5, place);
    expect([place, slowestMs]).toEqual([place, Math.min(slowestMs, answerMsMax)]);
  }
}, 60_000);
