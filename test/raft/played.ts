import { assert } from "../../src/lib/assert.ts";
import { describeMessage } from "../../src/raft/describe.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { RaftState } from "../../src/raft/raft-options.ts";
import type { Message, NodeId } from "../../src/raft/types.ts";
import { Cluster, logOf, type Tuning } from "./cluster.ts";
import { n1, voteReply } from "./messages.ts";

/** n1 of three nodes, driven by hand: n2 and n3 say what the test makes them say. Starts from the log it is given. */
export class Played {
  readonly cluster: Cluster;

  constructor(
    terms: readonly number[] = [],
    { term = terms.at(-1) ?? 0, vote = undefined as NodeId | undefined, commit = 0 } = {},
    tuning: Tuning = {},
  ) {
    const beginning = { entries: logOf(...terms), hardState: { term, vote, commit } };
    this.cluster = new Cluster(3, { tuning, isPlayed: true }, new Map([[n1, beginning]]));
  }

  get raft(): Raft {
    return this.cluster.raft(n1);
  }

  get state(): RaftState {
    return this.raft.getState();
  }

  /** Hands a message over and returns what n1 sends at once, as text. */
  step(message: Message): string[] {
    this.cluster.run(n1, (raft) => raft.step(message));
    return this.take();
  }

  /** What n1 has sent since the last look. */
  take(): string[] {
    const lines = this.cluster.network.filter(({ from }) => from === n1).map(describeMessage);
    this.cluster.network = [];
    return lines;
  }

  tick(count: number): string[] {
    this.cluster.tick(n1, count);
    return this.take();
  }

  write(): string[] {
    this.cluster.finishWrite(n1);
    return this.take();
  }

  /** n1 becomes leader of the term after its own, with n2's vote; nobody has acknowledged anything. */
  lead(): this {
    this.tick(10);
    const { term } = this.state;
    this.step(voteReply({ term: term + 1, preVote: true }));
    this.write();
    this.step(voteReply({ term: term + 1 }));
    assert(this.state.role === "leader", "n1 was elected");
    return this;
  }
}
