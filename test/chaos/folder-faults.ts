import { cpSync, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { anyOne } from "./choices.ts";
import { type Fault, namesOf } from "./fault.ts";
import type { Nodes } from "./nodes.ts";

const refusedWithinMs = 30_000;

const copyOf = (nodes: Nodes, index: number) => `${nodes.cluster.dataDir(index)}-copy`;

/** A node is killed, and starts again when its folder was copied: what it promises from now on the copy does not know. */
const copyFolder: Fault = {
  name: "copy a folder",
  weight: 90,
  begin: async (stage, prng) => {
    const { nodes } = stage;
    const victims = await anyOne(stage, prng);
    const [victim] = victims;
    // A server that was not let in yet has promised nothing.
    const isMember = victim !== undefined && existsSync(join(nodes.cluster.dataDir(victim), "identity"));
    if (!isMember || !nodes.take(victims)) return undefined;
    await nodes.kill(victim);
    rmSync(copyOf(nodes, victim), { recursive: true, force: true });
    cpSync(nodes.cluster.dataDir(victim), copyOf(nodes, victim), { recursive: true });
    const heal = () => {
      nodes.start(victim);
      nodes.giveBack(victims);
    };
    return { whom: namesOf(victims), holdMs: 0, heal };
  },
};

export const folderFaults: readonly Fault[] = [copyFolder];

/**
 * When all is well again, each folder that was copied is set back to its copy: the node must be refused, and its folder, which ran last, is
 * as good as ever. While faults go on nobody could say that: a node that was set back can be known by those only who are there. Yields how
 * many were refused. Throws when one was not.
 */
export async function setFoldersBack(nodes: Nodes): Promise<number> {
  let refused = 0;
  for (const index of nodes.members) {
    const folder = nodes.cluster.dataDir(index);
    if (!existsSync(copyOf(nodes, index))) continue;
    await nodes.kill(index);
    renameSync(folder, `${folder}-aside`);
    renameSync(copyOf(nodes, index), folder);
    if (!(await nodes.isRefused(index, refusedWithinMs)))
      throw new Error(
        `Node ${index + 1} was set back to a copy of its folder, and was not refused:\n${nodes.logOf(index).slice(-3000)}`,
      );
    refused++;
    rmSync(folder, { recursive: true });
    renameSync(`${folder}-aside`, folder);
    nodes.start(index);
    await nodes.cluster.awaitEqual(refusedWithinMs, nodes.members);
  }
  return refused;
}
