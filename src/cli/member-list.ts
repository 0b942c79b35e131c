import type { MemberList } from "../client/member-list.ts";
import { alignColumns, cellOf } from "./columns.ts";
import type { Command } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { jsonLine } from "./output.ts";
import { withClient } from "./with-client.ts";

export const memberListCommand: Command = {
  name: "member list",
  summary: "Show the members: id, address, role, how far each one is",
  usage: "",
  argumentsMin: 0,
  argumentsMax: 0,
  flags: [],
  details: [
    "MATCH is the last log entry that is known to be on the member's disk, LAG how many the leader has beyond it; both are",
    "- when no leader can be asked. Roles: voter, learner (is sent everything and does not vote), incoming and outgoing",
    "(votes after a change that is under way, or before it).",
  ].join("\n"),
  examples: ["kvraft member list", "kvraft member list -o json"],
  run: (context, call) =>
    withClient(context, call.settings, async (client) => {
      const list = await client.members();
      context.stdout.write(call.settings.format === "json" ? listJson(list) : listTable(list));
      return exitStatus.done;
    }),
};

const header = ["ID", "ADDRESS", "ROLE", "MATCH", "LAG"];

function listTable({ members }: MemberList): string {
  const rows = members.map(({ nodeId, address, role, match, lag }) =>
    [nodeId, address, role, match, lag].map(cellOf),
  );
  return alignColumns([header, ...rows]);
}

/** The fields of the wire: what is not known is not there. */
function listJson({ clusterId, leader, leaderId, members, removed }: MemberList): string {
  return jsonLine({
    clusterId,
    leader: leader === "" ? null : leader,
    leaderId: leaderId === "" ? null : leaderId,
    removed,
    members: members.map(({ isActive, ...member }) => ({ ...member, active: isActive })),
  });
}
