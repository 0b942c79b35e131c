import type { Prng } from "../../src/env/prng.ts";

/** What a seed decides before anything begins. */
export interface World {
  /** Small, so that flushes and merges happen all the time. */
  readonly memtableBytes: number;
  /** Small, so that the log goes on in a new file all the time. */
  readonly segmentBytes: number;
  /** Few, so that whoever was away needs the state instead. */
  readonly logTailEntries: number;
  readonly logTailBytes: number;
  /** Of each node. */
  readonly timings: readonly Timings[];
  readonly clients: readonly ClientPlan[];
}

export type Timings = Readonly<Record<"heartbeat" | "electionMin" | "electionMax", string>>;

export interface ClientPlan {
  readonly lanes: number;
  readonly thinkMsMax: number;
  /** Short ones give up while the outcome is open, and look for another leader. */
  readonly timeoutMs: number;
}

/** The longest value is accepted with a margin, and a segment has to be larger than it by 4 KiB. */
export const keyBytesMax = 128;
export const valueBytesMax = 2_560;

/**
 * Nothing that is promised depends on time, so the nodes need not agree on it. A leader that is cut off notices after one
 * to two times `electionMin`, and the others have a new one after `electionMin` to `electionMax`: the closer these two
 * are, the longer there are two leaders, and only what both do in that time shows whether reads ask a majority.
 */
const ordinary: Timings = { heartbeat: "50ms", electionMin: "300ms", electionMax: "600ms" };
const hasty: Timings = { heartbeat: "30ms", electionMin: "200ms", electionMax: "400ms" };
const narrow: Timings = { heartbeat: "50ms", electionMin: "500ms", electionMax: "550ms" };

/** Some clients are as hasty, whatever is drawn: somebody has to find the new leader at once. */
const hastyTimeoutMs = 250;
const hastyClients = 2;

export function drawWorld(prng: Prng, nodes: number): World {
  return {
    memtableBytes: prng.pick([4_096, 16_384, 65_536]),
    segmentBytes: prng.pick([8_192, 8_192, 32_768, 131_072]),
    logTailEntries: prng.pick([0, 20, 100]),
    logTailBytes: prng.pick([0, 16_384, 65_536]),
    timings: drawTimings(prng, nodes),
    clients: Array.from({ length: prng.int(5, 8) }, (_, index) => ({
      lanes: prng.int(1, 3),
      thinkMsMax: prng.int(30, 140),
      timeoutMs: index < hastyClients ? hastyTimeoutMs : prng.pick([700, 1_500, 5_000, 10_000]),
    })),
  };
}

/** Mostly the same for all. */
function drawTimings(prng: Prng, nodes: number): Timings[] {
  const equal = prng.chance(3, 4) ? prng.pick([ordinary, narrow, narrow]) : undefined;
  return Array.from({ length: nodes }, () => equal ?? prng.pick([ordinary, hasty, narrow]));
}

export function describeWorld(world: World): string {
  const { memtableBytes, segmentBytes, logTailEntries, logTailBytes, timings, clients } = world;
  const lanes = clients.reduce((sum, client) => sum + client.lanes, 0);
  return (
    `memtables of ${memtableBytes} bytes, segments of ${segmentBytes}, ` +
    `a tail of ${logTailEntries} entries or ${logTailBytes} bytes, ` +
    `elections from ${timings.map(({ electionMin }) => electionMin).join(", ")} on; ` +
    `${clients.length} clients with ${lanes} requests at a time, giving up after ` +
    `${clients.map(({ timeoutMs }) => timeoutMs).join(", ")} ms`
  );
}
