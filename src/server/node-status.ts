import type { ServerConfig } from "../config/config.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import type { LevelDB } from "../leveldb/level-db.ts";
import { formatAddress } from "../lib/address.ts";
import type { Raft } from "../raft/raft.ts";
import type { Persister } from "../raftlog/persister.ts";
import type { Driver } from "./driver.ts";
import type { Identity } from "./identity.ts";

/** How far each part of a node is, as `kvraft status` shows it. */
export function statusOf(
  config: ServerConfig,
  identity: Identity,
  log: Persister,
  { raft, driver, machine, store }: { raft: Raft; driver: Driver; machine: StateMachine; store: LevelDB },
): Record<string, unknown> {
  const { role, term, commit, last, firstIndex } = raft.getState();
  return {
    address: formatAddress(config.servers[config.me]!),
    nodeId: identity.nodeId,
    clusterId: identity.clusterId,
    state: identity.state,
    role,
    term,
    commit,
    applied: driver.applied.index,
    revision: machine.revision,
    firstIndex,
    lastIndex: last.index,
    logBytes: log.bytes,
    snapshotIndex: store.applied.index,
  };
}
