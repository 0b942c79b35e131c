import type { Client } from "./client.ts";
import type { Command, Context, Settings } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { readLines } from "./input.ts";
import { runPrompt } from "./prompt.ts";
import { ReplSession } from "./repl-session.ts";
import { withClient } from "./with-client.ts";

export const replCommand: Command = {
  name: "repl",
  summary: "Open a prompt: put, get, delete, status, exit",
  usage: "",
  argumentsMin: 0,
  argumentsMax: 0,
  flags: [],
  details: [
    "On a terminal: a prompt with history (kept in $KVRAFT_HISTFILE, or kvraft/history below $XDG_STATE_HOME or",
    "~/.local/state; a line that begins with a space is not kept), Tab for commands, Ctrl-C to clear the line and",
    "Ctrl-D to leave. Otherwise the lines of stdin are run without a prompt: values alone go to stdout, a missing",
    "key is said on stderr, and the first error ends it with that error's status.",
  ].join("\n"),
  examples: ["kvraft repl", "printf 'put a 1\\nget a\\n' | kvraft repl"],
  run: (context, call) =>
    withClient(context, call.settings, (client) => runRepl(context, client, call.settings)),
};

/** Runs commands from a person at a terminal, or from a pipe, until they end. */
export async function runRepl(context: Context, client: Client, settings: Settings): Promise<number> {
  const session = new ReplSession(context, client, settings, context.stdin.isTerminal);
  if (context.stdin.isTerminal) return runPrompt(context, session);
  for await (const line of readLines(context.stdin)) {
    if ((await session.run(line)) === "leave") break;
  }
  return exitStatus.done;
}
