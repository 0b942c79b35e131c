import type { Call, Context } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import type { FoundNode } from "./member-name.ts";
import { jsonLine } from "./output.ts";

/** What a change of the members came to. */
export interface DoneChange {
  readonly promoted: readonly FoundNode[];
  readonly removed: readonly FoundNode[];
  /** What was so already. */
  readonly notes: readonly string[];
}

/** What there is to tell of a change that is over, of nodes as they were before it. */
export function doneChange(coming: readonly FoundNode[], going: readonly FoundNode[]): DoneChange {
  const promoted = unique(coming.filter(({ member }) => member?.role !== "voter"));
  const removed = unique(going.filter(({ member }) => member !== undefined));
  const voters = unique(coming.filter(({ member }) => member?.role === "voter"));
  const gone = unique(going.filter(({ member }) => member === undefined));
  const notes = [
    ...voters.map(({ address, nodeId }) => `${address} is a voter already (${nodeId})`),
    ...gone.map(({ address, nodeId }) => `${address} was removed already (${nodeId})`),
  ];
  return { promoted, removed, notes };
}

/** Tells it, and yields the exit status: it is done, also when there was nothing left to do. */
export function tellChange(context: Context, call: Call, { promoted, removed, notes }: DoneChange): number {
  for (const note of notes) context.stderr.write(`kvraft: ${note}\n`);
  const brief = ({ nodeId, address }: FoundNode) => ({ nodeId, address });
  if (call.settings.format === "json")
    context.stdout.write(jsonLine({ promoted: promoted.map(brief), removed: removed.map(brief) }));
  else {
    for (const { nodeId, address } of promoted)
      context.stdout.write(`${address} is a voter now (${nodeId})\n`);
    for (const { nodeId, address } of removed)
      context.stdout.write(`${address} is no member any more (${nodeId})\n`);
  }
  return exitStatus.done;
}

/** Without those that stand there twice. */
function unique(nodes: readonly FoundNode[]): FoundNode[] {
  return [...new Map(nodes.map((node) => [node.nodeId, node])).values()];
}
