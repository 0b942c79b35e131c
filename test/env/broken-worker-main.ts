/** Run by bun-workers.test.ts in a process of its own, which a worker's assertion must end. */
import { BunWorkers } from "../../src/env/bun-workers.ts";
import type { WorkerOrder } from "./worker-program.ts";

const [where, how] = process.argv.slice(2);
const thread = new BunWorkers(`${import.meta.dir}/worker-program.ts`).start(() => {});
thread.post({ kind: "throw", where: where as "receive" | "work" } satisfies WorkerOrder);
if (how === "waiting") thread.wait(5000);
setTimeout(() => {
  console.log("the program has gone on");
  process.exit(0);
}, 5000);
