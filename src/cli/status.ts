import type { NodeStatus } from "../client/kv-client.ts";
import { formatSize } from "../config/units.ts";
import type { Command } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { jsonLine } from "./output.ts";
import { withClient } from "./with-client.ts";

export const statusCommand: Command = {
  name: "status",
  summary: "Show each node: role, term, commit, applied, log, leader",
  usage: "",
  argumentsMin: 0,
  argumentsMax: 0,
  flags: [],
  details: [
    "A table with one line a node; what a node does not say is -. The last column may hold spaces.",
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

const header = ["ADDRESS", "REACHABLE", "ROLE", "TERM", "COMMIT", "APPLIED", "LOG", "LEADER", "STATE"];

/** The same columns for people and scripts; people get the log's size rounded, scripts in bytes. */
export function statusTable(nodes: readonly NodeStatus[], isForPeople: boolean): string {
  const rows = nodes.map((node) => {
    const logSize =
      node.logBytes === undefined ? undefined : isForPeople ? roundedSize(node.logBytes) : node.logBytes;
    const parts = [node.role, node.term, node.commit, node.applied, logSize, node.leader];
    return [
      node.address,
      node.reachable ? "yes" : "no",
      ...parts.map((part) => String(part === undefined || part === "" ? "-" : part)),
      oneLine(node.reachable ? (node.state ?? "-") : (node.error ?? "-")),
    ];
  });
  return alignColumns([header, ...rows]);
}

/** Columns two spaces apart, with no spaces at the end of a line. */
function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths = header.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

/** Such as 1.5MiB: one digit behind the point, which is as exact as a glance needs. */
function roundedSize(bytes: number): string {
  for (const unit of [1024 ** 3, 1024 ** 2, 1024]) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(1)}${formatSize(unit).slice(1)}`;
  }
  return formatSize(bytes);
}
