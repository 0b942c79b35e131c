import { Sha256 } from "../env/sha-256.ts";
import { type Address, formatAddress } from "../lib/address.ts";
import { toUtf8 } from "../lib/bytes.ts";
import type { NodeId } from "../raft/types.ts";
import { type Member, type Members, membersOf } from "../server/members.ts";

/** Who a restored cluster is: the same for everybody who derives it from the same things. */
export interface NewCluster {
  readonly clusterId: string;
  /** All of them voters, in the order of the list. */
  readonly members: Members;
}

/**
 * The cluster that these servers form from a backup:
 *
 *     id        = the first 16 hexadecimal digits of SHA-256 of
 *                 "kvraft restore 1" LF checksum LF server LF server ... LF "token " token LF role LF
 *     role      = "cluster" | "node " place from 0
 *
 * Every server restores by itself, without talking to the others: what they must agree on follows from what they were
 * given. Another list, another backup or another token makes another cluster, whose nodes refuse to speak to this one's.
 */
export function newCluster(checksum: string, servers: readonly Address[], token: string): NewCluster {
  const names = servers.map(formatAddress);
  const head = ["kvraft restore 1", checksum, ...names, `token ${token}`];
  const list = names.map(
    (address, place): Member => ({
      nodeId: deriveId([...head, `node ${place}`]) as NodeId,
      address,
      role: "voter",
    }),
  );
  return { clusterId: deriveId([...head, "cluster"]), members: membersOf(list, []) };
}

function deriveId(lines: readonly string[]): string {
  const hash = new Sha256();
  for (const line of lines) hash.update(toUtf8(`${line}\n`));
  return hash.digestHex().slice(0, 16);
}
