import type { MemberStatus } from "../client/member-list.ts";
import type { Call, Context } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { jsonLine } from "./output.ts";

/** What a change of the members came to. */
export interface DoneChange {
  readonly promoted: readonly MemberStatus[];
  readonly removed: readonly MemberStatus[];
  /** What was so already. */
  readonly notes: readonly string[];
}

/** Tells it, and yields the exit status: it is done, also when there was nothing left to do. */
export function tellChange(context: Context, call: Call, { promoted, removed, notes }: DoneChange): number {
  for (const note of notes) context.stderr.write(`kvraft: ${note}\n`);
  const brief = ({ nodeId, address }: MemberStatus) => ({ nodeId, address });
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
export function unique(members: readonly MemberStatus[]): MemberStatus[] {
  return [...new Map(members.map((member) => [member.nodeId, member])).values()];
}
