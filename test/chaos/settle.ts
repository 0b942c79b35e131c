import type { KVClient } from "../../src/client/kv-client.ts";
import { until } from "../e2e/wait.ts";
import { runOperation } from "./chaos-client.ts";
import { setFoldersBack } from "./folder-faults.ts";
import type { Nodes } from "./nodes.ts";
import type { Recorder } from "./recorder.ts";
import type { VersionLedger } from "./version-ledger.ts";

/** How long the cluster may take to be whole again, with no fault left. */
const settleMsMax = 40_000;

/** Reads at one time. */
const readLanes = 32;

/**
 * After the faults: all nodes are killed and started once more. Those that were removed must end, the members must become
 * equal. Then every key is read once more; these reads belong to the history. Throws, or yields what is wrong with the
 * numbers of versions.
 */
export async function settle(nodes: Nodes, recorder: Recorder, ledger: VersionLedger): Promise<string[]> {
  const { cluster } = nodes;
  nodes.look();
  const all = nodes.present;
  await Promise.all(all.map((index) => nodes.kill(index)));
  for (const index of all) nodes.start(index);
  const client = cluster.client({ timeoutMs: settleMsMax });
  await cluster.awaitLeader(settleMsMax);
  await cluster.awaitEqual(settleMsMax, await membersOf(nodes, client));
  nodes.setBack = await setFoldersBack(nodes);
  await readAll(client, recorder);
  const problems = await countVersions(client, ledger);
  nodes.look();
  return problems;
}

/** Waits until who is there is who the members are: those that were removed have ended, those that asked are let in. */
async function membersOf(nodes: Nodes, client: KVClient): Promise<number[]> {
  const { cluster } = nodes;
  let addresses: string[] = [];
  await until(
    "the members are those that are there",
    async () => {
      nodes.look();
      addresses = (await client.members()).members.map(({ address }) => address);
      return nodes.present.every((index) => addresses.includes(cluster.address(index)));
    },
    settleMsMax,
    () =>
      `members ${addresses.join(", ")}; there ${nodes.present.map((index) => cluster.address(index)).join(", ")}`,
  );
  return nodes.present;
}

async function readAll(client: KVClient, recorder: Recorder): Promise<void> {
  const keys = [...new Set(recorder.history.map(({ key }) => key))];
  await inLanes(keys, async (key, lane) => {
    const asked = { operation: "get", key, isOwn: false } as const;
    const done = await runOperation(client, `final.${lane + 1}`, asked);
    recorder.add(done);
    if (done.outcome !== "ok") throw new Error(`Cannot read "${key}" from the cluster after it was healed`);
  });
}

async function countVersions(client: KVClient, ledger: VersionLedger): Promise<string[]> {
  const problems: string[] = [];
  await inLanes(ledger.keys, async (key) => {
    const problem = ledger.problemOf(key, await client.getRecord(key));
    if (problem !== undefined) problems.push(problem);
  });
  return problems;
}

async function inLanes(
  keys: readonly string[],
  body: (key: string, lane: number) => Promise<void>,
): Promise<void> {
  const left = keys.values();
  const lane = async (number: number) => {
    for (const key of left) await body(key, number);
  };
  await Promise.all(Array.from({ length: readLanes }, (_, number) => lane(number)));
}
