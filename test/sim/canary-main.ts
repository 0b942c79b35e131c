/**
 * Runs the simulator on deliberately broken code: `bun test/sim/canary-main.ts <canary> [first seed] [runs]`. Prints one line of
 * JSON: the number of seeds it took to find the fault, or 0, and what was found.
 */
import { breakCode, type Canary } from "./canary.ts";

const [name, from, runs] = process.argv.slice(2);
const { canary } = (await import(`./canaries/${name}.ts`)) as { readonly canary: Canary };
breakCode(canary);

// Only now: these load the code that was broken.
const { drawPlan } = await import("./draw-plan.ts");
const { runPlan } = await import("./run-plan.ts");

const { kinds, isStatic = false } = canary;
const first = Number(from ?? canary.firstSeed ?? 1);
const runsMax = Number(runs ?? canary.runsMax);
for (let count = 1; count <= runsMax; count++) {
  const { reason } = await runPlan(drawPlan(first + count - 1, { kinds, isStatic }));
  if (reason === undefined) continue;
  console.log(JSON.stringify({ seeds: count, found: reason.split("\n")[0] }));
  process.exit(0);
}
console.log(JSON.stringify({ seeds: 0, found: "" }));
process.exit(1);
