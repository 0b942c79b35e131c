import type { Prng } from "../../src/env/prng.ts";
import { type Fault, namesOf, type Stage } from "./fault.ts";

/** What a command that makes no sense ends with when the leader, or the command line, has looked at it. */
const refusedStatus = 2;
/** Nobody leads, another request was under way, or nobody knows: the cluster has other troubles at the moment. */
const excusedStatuses = [3, 4, 5];

/** Commands that a tired operator types, none of which may change anything, nor be taken for a repetition of one that was done. */
function drawCommand({ nodes }: Stage, prng: Prng): string[] | undefined {
  const { cluster, members } = nodes;
  const [one, other] = [prng.pick(members), prng.pick(members)];
  const unknown = "00000000deadbeef";
  const address = (index: number) => cluster.address(index);
  const commands: string[][] = [
    ["member", "replace", `${address(one)}=${address(one)}`],
    ["member", "replace", `${unknown}=${address(one)}`],
    ["member", "promote", unknown],
    ["member", "remove", unknown],
    ["member", "remove", ...members.map(address)],
  ];
  if (one !== other) commands.push(["member", "replace", `${address(one)}=${address(other)}`]);
  return prng.pick(commands);
}

/** The command ends with 2 and changes nothing; that all members are still there is seen in the end, and by each that is alive. */
const mistyped: Fault = {
  name: "mistyped member command",
  weight: 4,
  begin: async (stage, prng) => {
    const command = drawCommand(stage, prng);
    if (command === undefined) return undefined;
    const { code, stdout, stderr } = await stage.nodes.cluster.cli(["--timeout", "3s", ...command]);
    if (code !== refusedStatus && !excusedStatuses.includes(code))
      throw new Error(
        `kvraft ${command.join(" ")} ended with ${code}, ${refusedStatus} was expected: ${stdout}${stderr}`,
      );
    return {
      whom: `kvraft ${command.join(" ")}: ${code}; ${namesOf(stage.nodes.members)} stay`,
      holdMs: 0,
      heal: () => {},
      met: () => code === refusedStatus,
    };
  },
};

export const operatorFaults: readonly Fault[] = [mistyped];
