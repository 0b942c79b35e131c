import { expect } from "bun:test";
import type { KVClient } from "../../src/client/kv-client.ts";
import { decodeRecord } from "../../src/leveldb/record.ts";
import { decodeRows } from "../../src/leveldb/row-chunk.ts";
import type { Cluster } from "./cluster.ts";

/** The first byte of a row that holds a client's key (src/kv/keys.ts). */
const userByte = "k".charCodeAt(0);

/** What one node holds after an entry: keys, values, their lives, sessions and members, as one number. */
export interface NodeState {
  readonly index: number;
  readonly revision: number;
  /** Of all rows, about: some say how often they were written. */
  readonly bytes: number;
  readonly hash: string;
}

/** The state of one node, read from that very node, whoever leads. */
export async function stateOf(client: KVClient, port: number): Promise<NodeState> {
  const snapshot = await client.snapshot({ fresh: true, from: { host: "127.0.0.1", port } });
  const { index, revision } = snapshot;
  const hasher = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const chunk of snapshot) {
    bytes += chunk.length;
    for (const { key, sequence, record } of decodeRows(chunk)) {
      hasher.update(key);
      // What a node writes down of itself when it seals its memory is the same everywhere, but not how often it did so.
      if (key[0] === userByte) hasher.update(`${sequence}`).update(record);
      else hasher.update(decodeRecord(record).value);
    }
  }
  return { index, revision, bytes, hash: hasher.digest("hex") };
}

/** Waits until these nodes are level, and compares all that they hold. No client may write meanwhile. */
export async function expectEqualStates(cluster: Cluster, indexes: readonly number[]): Promise<NodeState> {
  const client = cluster.client({ timeoutMs: 10_000 });
  let states: NodeState[] = [];
  // A leader writes down which members' processes it has met, maybe between two nodes' answers.
  for (let left = 20; left > 0; left--) {
    await cluster.awaitEqual(20_000, [...indexes]);
    states = [];
    for (const index of indexes) states.push(await stateOf(client, cluster.ports[index]!));
    if (states.every(({ index }) => index === states[0]!.index)) break;
  }
  await client.close();
  for (const { index, revision, hash } of states)
    expect({ ...states[0]!, index, revision, hash }).toEqual(states[0]!);
  return states[0]!;
}
