import { processArguments } from "./cli/arguments.ts";
import { runCommandLine } from "./cli/commands.ts";
import { exitStatus } from "./cli/exit-status.ts";
import { processContext } from "./cli/process-context.ts";
import { isWorker, serveWorker } from "./env/bun-workers.ts";
import { Upkeep } from "./leveldb/upkeep.ts";

// A store's worker is this program again, in another thread.
if (isWorker()) serveWorker((env, send) => new Upkeep(env, send));
else runProgram();

/** The command that the arguments name. */
function runProgram(): void {
  /** Set when stdout cannot take the data: whatever the command did, its result did not arrive. */
  let outputStatus: number | undefined;

  process.stdout.on("error", (error) => {
    // The reader has left, as `head` does: nobody misses the rest.
    if ("code" in error && error.code === "EPIPE") return;
    outputStatus = exitStatus.usage;
    process.exitCode = outputStatus;
    process.stderr.write(`kvraft: Cannot write to stdout: ${error.message}\n`);
  });
  // There is nobody left to tell.
  process.stderr.on("error", () => {});

  // No await here: while one is pending at the top level, Bun prints an exception that nobody caught, and goes on; a
  // server whose assertion has failed must not. And never process.exit: it would cut off what stdout has not taken.
  void runCommandLine(processContext(), processArguments(process.argv.slice(2))).then((status) => {
    process.exitCode = outputStatus ?? status;
  });
}
