import { expect, test } from "bun:test";
import { heartbeat } from "../raft/messages.ts";
import { Played } from "../raft/played.ts";
import { drawPlan } from "./draw-plan.ts";
import { runPlan } from "./run-plan.ts";

// Goal: whoever loads the simulator changes no other test of the same process. Method: after a run a core is told what it
// refuses, and it refuses that without an assertion of the simulator.

test("a core that is in no simulation may refuse a message, also after one", async () => {
  expect((await runPlan(drawPlan(3))).reason).toBeUndefined();
  const played = new Played([1, 1]).lead();
  const { term } = played.state;
  const refusal = played.cluster.run(played.state.id, (raft) => raft.step(heartbeat(term)));
  expect(refusal).toBe(`this node leads term ${term}`);
});
