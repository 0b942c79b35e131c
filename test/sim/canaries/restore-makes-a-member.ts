import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "Ids follow from the backup and the place, so a member's folder can be made a second time.",
  edits: [
    {
      file: "src/server/data-folder.ts",
      from: "  const identity = aloneIdentity(place, newId(env) as NodeId, origin);",
      to: [
        "  const list = origin!.servers.split(' ').map((address, at) =>",
        "    ({ nodeId: ('00000000000000a' + at) as NodeId, address, role: 'voter' as const }));",
        "  const clusterId = '00000000000000c1';",
        "  const { nodeId } = list[place]!;",
        "  const identity: Identity = { state: 'forming', place, nodeId, clusterId, members: membersOf(list, []), origin };",
      ].join("\n"),
    },
    {
      file: "src/server/data-folder.ts",
      from: 'import { encodeMembers } from "./members.ts";',
      to: 'import { encodeMembers, membersOf } from "./members.ts";',
    },
  ],
  kinds: ["wipe", "kill"],
  runsMax: 100,
};
