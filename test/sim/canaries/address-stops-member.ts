import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault: "A member that starts at the address of another one is told that it is not wanted, and stops.",
  edits: [
    {
      file: "src/server/member-requests.ts",
      from: `    const member = progress.find((each) => each.nodeId === nodeId);
`,
      to: `    if (progress.some((member) => member.nodeId !== nodeId && member.address === address))
      return { status: "ErrMembers", text: "it is the address of a member" };
    const member = progress.find((each) => each.nodeId === nodeId);
`,
    },
  ],
  kinds: ["swap", "reuse", "move"],
  runsMax: 50,
};
