import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { checkProgress, checkState, checkStep } from "../../src/raft/invariants.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { RaftState } from "../../src/raft/raft-options.ts";
import {
  type HardState,
  indexMax,
  type Message,
  type NodeId,
  termMax,
  type Write,
} from "../../src/raft/types.ts";
import { logOf } from "./cluster.ts";
import { configurationOf, decodeConfiguration, encodeConfiguration } from "./configuration-text.ts";
import { MemoryLog } from "./memory-log.ts";
import {
  accepted,
  appendEntries,
  entry,
  heartbeat,
  heartbeatReply,
  n1,
  n2,
  n3,
  refused,
  requestVote,
  voteReply,
} from "./messages.ts";

/** A core with a disk of its own, among members of whom none is honest. */
class Victim {
  readonly raft: Raft;
  readonly #disk: MemoryLog;
  #write: Write | undefined;
  #before: RaftState;

  constructor(prng: Prng) {
    const entries = logOf(...prng.pick([[], [1], [1, 1, 2, 2, 3]]));
    const hardState: HardState = {
      term: entries.at(-1)?.term ?? 0,
      vote: undefined,
      commit: prng.int(0, entries.length),
    };
    this.#disk = new MemoryLog(entries);
    this.raft = new Raft({
      ...{
        id: n1,
        configuration: configurationOf("n1,n2,n3"),
        decodeConfiguration,
        hardState,
        log: this.#disk,
      },
      ...{ applied: 0, chance: prng, heartbeatTicks: 2, electionTicksMin: 10, electionTicksMax: 20 },
      ...{ diskStallTicks: 60, appendBytesMax: 64, windowBytesMax: 256, uncommittedBytesMax: 1024 },
    });
    this.#before = this.raft.getState();
  }

  /** One call into the core, and what a driver does after each. */
  run(call: (raft: Raft) => void): void {
    call(this.raft);
    const after = this.raft.getState();
    checkStep(this.#before, after);
    checkState(after);
    checkProgress(after, this.raft.progress);
    this.#before = after;
    this.raft.takeMessages();
    this.raft.takeSnapshotOffer();
    this.raft.takeCommitted(64);
    this.raft.takeReads();
    this.#write ??= this.raft.takeWrite();
    this.#before = this.raft.getState();
  }

  finishWrite(): void {
    const write = this.#write;
    if (write === undefined) return;
    if (write.start !== undefined) this.#disk.startAfter(write.start);
    this.#disk.append(write.entries);
    this.#write = undefined;
    this.run((raft) => raft.wrote(write.id));
  }

  /** Votes of n2 make it the leader. */
  lead(): void {
    for (let ticks = 20; ticks > 0; ticks--) this.run((raft) => raft.tick());
    const term = this.raft.term + 1;
    this.run((raft) => raft.step(voteReply({ term, preVote: true })));
    this.finishWrite();
    this.run((raft) => raft.step(voteReply({ term })));
  }

  /** A state was fetched from somewhere. */
  restore(prng: Prng): void {
    const { applied, term, commit } = this.raft.getState();
    const index = Math.max(applied, commit) + prng.int(1, 5);
    if (this.#write === undefined)
      this.run((raft) => raft.restore({ index, term: term + prng.int(0, 1) }, configurationOf("n1,n2,n3")));
  }
}

test("whatever members say, in any order, no assertion of the core fails", () => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
  const counts = { refused: 0, led: 0 };
  for (let round = 0; round < 1_000; round++) {
    try {
      runOnce(new Prng(seed + round), counts);
    } catch (error) {
      throw new Error(`SEED=${seed + round}: ${error instanceof Error ? error.stack : error}`, {
        cause: error,
      });
    }
  }
  expect(counts.refused).toBeGreaterThan(1_000);
  expect(counts.led).toBeGreaterThan(100);
});

function runOnce(prng: Prng, counts: { refused: number; led: number }): void {
  const victim = new Victim(prng);
  let hasLed = false;
  if (prng.chance(1, 2)) victim.lead();
  for (let step = 0; step < 80; step++) {
    const message = { ...drawMessage(prng, victim.raft.getState()), from: prng.pick([n2, n3, stranger]) };
    victim.run((raft) => {
      if (raft.step(message) !== undefined) counts.refused++;
    });
    if (prng.chance(1, 3)) victim.finishWrite();
    if (prng.chance(1, 3))
      for (let ticks = prng.int(1, 12); ticks > 0; ticks--) victim.run((raft) => raft.tick());
    if (prng.chance(1, 4)) victim.run((raft) => raft.readIndex(step + 1));
    if (prng.chance(1, 4)) victim.run((raft) => raft.start(toUtf8("x")));
    if (prng.chance(1, 20)) victim.restore(prng);
    hasLed ||= victim.raft.isLeader;
  }
  if (hasLed) counts.led++;
}

const stranger = "strange" as NodeId;

/** Valid in form; its numbers are near the node's own, or at the bounds. */
function drawMessage(prng: Prng, state: RaftState): Message {
  const { term: own, last, commit } = state;
  const term = Math.max(0, prng.pick([own, own, own, own, own + 1, own - 1, own + 2 ** 24, termMax]));
  const near = (value: number): number =>
    Math.max(0, prng.pick([value, value, value - 1, value + 1, commit, 0, value + 9, indexMax]));
  const id = () => ({ index: near(last.index), term: Math.min(term, near(last.term)) });
  switch (prng.int(1, 9)) {
    case 1:
      return requestVote({ term, last: id(), preVote: prng.chance(1, 2), isTransfer: prng.chance(1, 2) });
    case 2:
      return voteReply({ term, preVote: prng.chance(1, 2), granted: prng.chance(2, 3) });
    case 3:
      return heartbeat(term, near(last.index), near(0));
    case 4:
      return heartbeatReply(term, near(0));
    case 5:
      return { kind: "timeout-now", from: n2, to: n1, term };
    case 6:
      return { kind: "install-snapshot", from: n2, to: n1, term, start: id() };
    case 7:
      return prng.chance(1, 2)
        ? accepted(term, near(last.index))
        : refused(term, near(last.index), [near(last.index), near(last.term)]);
    default:
      return drawEntries(prng, term, id());
  }
}

function drawEntries(prng: Prng, term: number, prev: { index: number; term: number }): Message {
  const terms: number[] = [];
  let floor = prev.term;
  for (let count = prng.int(0, 3); count > 0; count--) {
    floor = Math.min(term, floor + prng.pick([0, 0, 1, term]));
    terms.push(floor);
  }
  const message = appendEntries(term, [prev.index, prev.term], terms, prev.index + prng.int(0, 4));
  const data = encodeConfiguration(prng.pick(["n1,n2", "n2/n1,n2/n3", "n2,n3//n1"]));
  const entries = message.entries.map((each) =>
    prng.chance(1, 6) ? { ...entry(each.index, each.term), kind: "config" as const, data } : each,
  );
  return { ...message, entries };
}
