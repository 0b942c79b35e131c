import type { MemberList, MemberStatus } from "../client/member-list.ts";
import type { Client } from "./client.ts";
import type { Command } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { findNode, noMember, parseMemberName } from "./member-name.ts";
import { jsonLine } from "./output.ts";
import { withClient } from "./with-client.ts";

export const leaderTransferCommand: Command = {
  name: "leader transfer",
  summary: "Have the leader hand over to another voter",
  usage: "[id | host:port]",
  argumentsMin: 0,
  argumentsMax: 1,
  flags: [],
  details: [
    "To the one that is named, or to whichever is the furthest. Prints who leads now. Nothing is lost and requests go on:",
    "clients follow. Of one that leads already it is said: status 0. Status 2 when there is no such member or it cannot",
    "take over (a learner, a voter that is not heard of, the only one), 1 when nobody, or another one, leads afterwards.",
  ].join("\n"),
  examples: ["kvraft leader transfer", "kvraft leader transfer 127.0.0.1:5002"],
  run: (context, call) => {
    const [text] = call.positionals;
    const name = text === undefined ? undefined : parseMemberName(text, leaderTransferCommand);
    return withClient(context, call.settings, async (client) => {
      const list = await client.members();
      const to = name === undefined ? undefined : findNode(list, name);
      if (name !== undefined && to === undefined) throw noMember("hand over to", name, list);
      if (to !== undefined && to.nodeId === list.leaderId)
        context.stderr.write(`kvraft: ${to.address} leads already (${to.nodeId})\n`);
      else await client.transferLeadership(to?.nodeId);
      const leader = await leaderNow(client);
      context.stdout.write(
        call.settings.format === "json"
          ? jsonLine({ leader: leader?.address ?? null, nodeId: leader?.nodeId ?? null })
          : `${leader?.address ?? "-"}\n`,
      );
      return leader === undefined || (to !== undefined && to.nodeId !== leader.nodeId)
        ? exitStatus.negative
        : exitStatus.done;
    });
  },
};

/** Undefined when nobody leads who can be asked. */
async function leaderNow(client: Client): Promise<MemberStatus | undefined> {
  const list: MemberList = await client.members();
  return list.members.find(({ nodeId }) => nodeId === list.leaderId);
}
