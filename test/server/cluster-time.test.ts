import { expect, test } from "bun:test";
import { type ClockCommand, decodeCommand } from "../../src/kv/command.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import type { StartResult } from "../../src/raft/raft-options.ts";
import type { Configuration, Message, NodeId } from "../../src/raft/types.ts";
import { ClusterTime } from "../../src/server/cluster-time.ts";
import { medianOffset } from "../../src/server/median-offset.ts";
import { ManualClock } from "../rpc/memory-net.ts";

const ids = ["000000000000000a", "000000000000000b", "000000000000000c", "000000000000000d"] as NodeId[];
const [own, b, c, d] = ids as [NodeId, NodeId, NodeId, NodeId];
const electionMs = 600;
const year2100Ms = 4_102_444_800_000;

class WildClock extends ManualClock {
  skewMs = 0;

  override wallMs(): number {
    return super.wallMs() + this.skewMs;
  }
}

/** A node's clocks; the test plays the core, the log and the other voters. */
class Scene {
  readonly clock = new WildClock();
  readonly machine = { clockMs: 0, wallOffsetMs: 0 };
  readonly raft = {
    term: 3,
    leader: own as NodeId | undefined,
    configuration: { incoming: [own, b, c], outgoing: [], learners: [] } as Configuration,
    commit: 7,
    last: 7,
    getState: () => ({ commit: this.raft.commit, last: { index: this.raft.last, term: 3 } }),
  };
  isReady = true;
  isBusy = false;
  readonly proposed: ClockCommand[] = [];
  readonly time = new ClusterTime({
    clock: this.clock,
    nodeId: own,
    raft: this.raft as never,
    machine: this.machine,
    isReady: () => this.isReady,
    propose: (command) => this.#propose(command),
    electionMs,
  });

  #propose(command: Bytes): StartResult {
    if (this.isBusy) return { ok: false, reason: "busy", leader: undefined };
    this.proposed.push(decodeCommand(command) as ClockCommand);
    return { ok: true, index: 8, term: 3 };
  }

  hear(from: NodeId, offMs = 0, kind: "heartbeat-reply" | "request-vote-reply" = "heartbeat-reply"): void {
    const envelope = {
      from,
      to: own,
      term: this.raft.term,
      timeMs: new ManualClockNow(this.clock).ms + offMs,
    };
    const reply: Message =
      kind === "heartbeat-reply"
        ? { kind, ...envelope, context: 0 }
        : { kind, ...envelope, preVote: false, granted: true };
    this.time.heard(reply);
  }

  /** Lets time pass; these voters answer heartbeats. */
  run(ms: number, voters: readonly NodeId[] = [b, c], offMs = 0): void {
    for (let passed = 0; passed < ms; passed += 50) {
      this.clock.run(50);
      for (const voter of voters) this.hear(voter, offMs);
      this.time.check();
    }
  }
}

/** The right wall time. */
class ManualClockNow {
  readonly ms: number;

  constructor(clock: WildClock) {
    this.ms = clock.wallMs() - clock.skewMs;
  }
}

test("lease time goes on from the highest of the log and the heartbeats, and as fast as the monotonic clock", () => {
  for (const [logMs, toldMs] of [
    [5_000, 4_000],
    [4_000, 5_000],
  ] as const) {
    const scene = new Scene();
    scene.isReady = false;
    scene.raft.leader = b;
    scene.time.heard({ kind: "heartbeat", from: b, to: own, term: 3, commit: 0, context: 0, timeMs: toldMs });
    scene.machine.clockMs = logMs;
    scene.clock.run(10_000);
    // It stood still since the last heartbeat: an election timeout at the most went on.
    expect(scene.time.leaseMs).toBeWithin(5_000, 5_000 + electionMs + 1);
    scene.isReady = true;
    scene.raft.leader = own;
    scene.hear(b);
    expect(scene.time.leaseMs).toBe(5_000);
    scene.run(10_000);
    expect(scene.time.leaseMs).toBe(15_000);
  }
});

test("wall clocks do not move lease time, whatever they say", () => {
  const scene = new Scene();
  scene.run(1_000);
  const before = scene.time.leaseMs;
  scene.clock.skewMs = year2100Ms;
  scene.run(1_000, [b, c], year2100Ms);
  expect(scene.time.leaseMs).toBe(before + 1_000);
});

test("lease time stops an election timeout after the last sign of a quorum, and the time without does not count", () => {
  const scene = new Scene();
  scene.run(1_000);
  const before = scene.time.leaseMs;
  scene.run(5_000, []);
  expect(scene.time.leaseMs).toBe(before + electionMs);
  scene.run(1_000);
  expect(scene.time.leaseMs).toBeWithin(before + electionMs + 900, before + electionMs + 1_051);
  // The same when the process stood still, and hears the answers before it looks at the time.
  const paused = scene.time.leaseMs;
  scene.clock.run(20_000);
  scene.hear(b);
  scene.hear(c);
  expect(scene.time.leaseMs).toBeWithin(paused, paused + electionMs + 1);
});

test("lease time stops while nothing that was proposed is committed", () => {
  const scene = new Scene();
  scene.run(1_000);
  const before = scene.time.leaseMs;
  scene.raft.last++;
  scene.run(5_000);
  expect(scene.time.leaseMs).toBeWithin(before + electionMs - 50, before + electionMs + 51);
  scene.raft.commit++;
  scene.run(1_000);
  expect(scene.time.leaseMs).toBeGreaterThan(before + electionMs + 800);
});

test("no command comes before the offset, after the no-op and after each pause, and no offset before a quorum was heard", () => {
  const scene = new Scene();
  expect(scene.time.prepare()).toBe(false);
  expect(scene.proposed).toEqual([]);
  scene.hear(b, 0, "request-vote-reply");
  expect(scene.time.prepare()).toBe(true);
  expect(scene.proposed.length).toBe(1);
  expect(scene.proposed[0]!.wallMs).toBe(scene.clock.wallMs());
  expect(scene.time.prepare()).toBe(true);
  scene.run(900);
  expect(scene.proposed.length).toBe(1);
  scene.clock.run(electionMs + 100);
  scene.isBusy = true;
  expect(scene.time.prepare()).toBe(false);
  scene.isBusy = false;
  expect(scene.time.prepare()).toBe(true);
  expect(scene.proposed.length).toBe(2);
});

test("what was heard in an earlier term is no quorum of this one", () => {
  const scene = new Scene();
  scene.run(1_000);
  scene.proposed.length = 0;
  scene.raft.term++;
  expect(scene.time.prepare()).toBe(false);
  scene.hear(c);
  expect(scene.time.prepare()).toBe(true);
  expect(scene.proposed.length).toBe(1);
});

test("one wrong clock of three does not move wall time, the leader's own neither, and two do", () => {
  const scene = new Scene();
  scene.run(2_000);
  const { ms: right } = new ManualClockNow(scene.clock);
  expect(scene.time.wallMs + offsetOf(scene)).toBeWithin(right - 100, right + 101);
  scene.clock.skewMs = year2100Ms;
  scene.run(5_000);
  const count = scene.proposed.length;
  expect(offsetOf(scene)).toBeWithin(offsetOf(scene, 0) - 60, offsetOf(scene, 0) + 61);
  expect(count).toBe(1);
  scene.run(5_000, [b, c], 3_600_000);
  expect(scene.proposed.length).toBe(2);
  expect(offsetOf(scene) - offsetOf(scene, 0)).toBeWithin(3_599_000, 3_601_000);
  // And back again.
  scene.run(5_000);
  expect(offsetOf(scene)).toBeWithin(offsetOf(scene, 0) - 60, offsetOf(scene, 0) + 61);
});

function offsetOf({ proposed }: Scene, at = proposed.length - 1): number {
  return proposed[at]!.wallMs - proposed[at]!.timeMs;
}

test("an idle leader writes its lease time once a minute, and a follower never", () => {
  const scene = new Scene();
  scene.run(300_000);
  expect(scene.proposed.map(({ timeMs }) => Math.round(timeMs / 10_000))).toEqual([0, 6, 12, 18, 24]);
  scene.isReady = false;
  scene.run(300_000);
  expect(scene.proposed.length).toBe(5);
});

test("the median is over all voters of both halves, and the present offset stands for the silent ones", () => {
  const configuration = (incoming: NodeId[], outgoing: NodeId[] = []) => ({
    incoming,
    outgoing,
    learners: [],
  });
  const median = (of: Configuration, present: number, offsets: readonly (number | undefined)[]) =>
    medianOffset(of, present, (id) => offsets[ids.indexOf(id)]);
  const three = configuration([own, b, c]);
  expect(median(three, 0, [5, 1, 9])).toBe(5);
  expect(median(three, 4, [5, 900, undefined])).toBe(5);
  expect(median(three, 7, [5, 900, undefined])).toBe(7);
  expect(median(configuration([own]), 4, [70])).toBe(70);
  // Of an even number the middle value nearer to the present one.
  expect(median(configuration([own, b]), 60, [0, 100])).toBe(100);
  expect(median(configuration([own, b]), 40, [0, 100])).toBe(0);
  expect(median(configuration([own, b, c], [b, c, d]), 50, [1, 40, 70, 900])).toBe(40);
});
