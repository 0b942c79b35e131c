import type { ServerConfig } from "../config/config.ts";
import type { Prng } from "../env/prng.ts";
import { Raft } from "../raft/raft.ts";
import type { RaftOptions } from "../raft/raft-options.ts";
import type { NodeId } from "../raft/types.ts";
import type { Persister } from "../raftlog/persister.ts";
import { appendBytesMax, windowBytesMax } from "./limits.ts";

/** The core of a node as its configuration and its log say. */
export function makeRaft(
  id: NodeId,
  config: ServerConfig,
  log: Persister,
  prng: Prng,
  state: Pick<RaftOptions, "configuration" | "decodeConfiguration" | "applied" | "trace">,
): Raft {
  const { tickMs, heartbeatMs, electionMinMs, electionMaxMs, diskStallMs } = config.timings;
  const ticks = (ms: number) => Math.max(1, Math.round(ms / tickMs));
  const { hardState } = log.readRaftState();
  return new Raft({
    id,
    hardState,
    log,
    chance: prng.fork(),
    heartbeatTicks: ticks(heartbeatMs),
    electionTicksMin: ticks(electionMinMs),
    electionTicksMax: ticks(electionMaxMs),
    diskStallTicks: ticks(diskStallMs),
    appendBytesMax,
    windowBytesMax,
    get uncommittedBytesMax() {
      return config.limits.uncommittedBytes;
    },
    ...state,
  });
}
