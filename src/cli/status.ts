import type { NodeStatus } from "../client/kv-client.ts";
import { alignColumns, cellOf } from "./columns.ts";
import type { Command } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { jsonLine } from "./output.ts";
import { roundedSize } from "./rounded-size.ts";
import { withClient } from "./with-client.ts";

export const statusCommand: Command = {
  name: "status",
  summary: "Show each node: role, term, commit, applied, lag, log, leader",
  usage: "",
  argumentsMin: 0,
  argumentsMax: 0,
  flags: [],
  details: [
    "A table with one line a node; what a node does not say is -. The last column may hold spaces. LAG is how many entries",
    "of the leader's log are not known to be on that node's disk, STORED the last one that its store holds durably (its",
    "snapshot), ENTRIES the first and last of its own log, LOG its bytes. -o json says more: revisions, and the leader's",
    "view of each follower.",
    "Status 0 when a leader is reachable, 1 when only other nodes are, 3 when no node is.",
  ].join("\n"),
  examples: ["kvraft status", "kvraft status -o json"],
  run: (context, call) =>
    withClient(context, call.settings, async (client) => {
      const nodes = await client.status();
      context.stdout.write(
        call.settings.format === "json"
          ? jsonLine({ leader: leaderOf(nodes)?.address ?? null, nodes })
          : statusTable(nodes, context.stdout.isTerminal),
      );
      return statusOf(nodes);
    }),
};

/** The node that leads; of two that say so, as may be for a moment, the one with the higher term. */
export function leaderOf(nodes: readonly NodeStatus[]): NodeStatus | undefined {
  return nodes
    .filter((node) => node.reachable && node.role === "leader")
    .toSorted((a, b) => (b.term ?? 0) - (a.term ?? 0))[0];
}

function statusOf(nodes: readonly NodeStatus[]): number {
  if (leaderOf(nodes) !== undefined) return exitStatus.done;
  return nodes.some((node) => node.reachable) ? exitStatus.negative : exitStatus.notDone;
}

const header = [
  "ADDRESS",
  "REACHABLE",
  "ROLE",
  "TERM",
  "COMMIT",
  "APPLIED",
  "LAG",
  "STORED",
  "ENTRIES",
  "LOG",
  "LEADER",
  "STATE",
];

/** The same columns for people and scripts; people get the log's size rounded, scripts in bytes. */
export function statusTable(nodes: readonly NodeStatus[], isForPeople: boolean): string {
  const followers = leaderOf(nodes)?.followers ?? [];
  const rows = nodes.map((node) => {
    const logSize =
      node.logBytes === undefined ? undefined : isForPeople ? roundedSize(node.logBytes) : node.logBytes;
    const lag = followers.find(({ nodeId }) => nodeId !== undefined && nodeId === node.nodeId)?.lag;
    const parts = [
      node.role,
      node.term,
      node.commit,
      node.applied,
      lag,
      node.snapshotIndex,
      boundsOf(node),
      logSize,
      node.leader,
    ];
    return [
      node.address,
      node.reachable ? "yes" : "no",
      ...parts.map(cellOf),
      oneLine(node.reachable ? (node.state ?? "-") : (node.error ?? "-")),
    ];
  });
  return alignColumns([header, ...rows]);
}

/** The first and the last entry of the log: `1-42`; nothing when it has none. */
function boundsOf({ firstIndex, lastIndex }: NodeStatus): string | undefined {
  if (firstIndex === undefined || lastIndex === undefined || lastIndex < firstIndex) return undefined;
  return `${firstIndex}-${lastIndex}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}
