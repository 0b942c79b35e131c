import type { Canary } from "../canary.ts";

export const canary: Canary = {
  fault:
    "A segment that repeats the last group does not restate the hard state, and the segments before it are removed.",
  edits: [
    {
      file: "src/raftlog/persister.ts",
      from: "      hardState: last.hardStateBefore,",
      to: "      hardState: noState,",
    },
    {
      file: "src/raftlog/recovery.ts",
      from: `    if (hardState.term !== state.term || hardState.vote !== state.vote || hardState.commit !== state.commit)
      throw damaged(segment.path, 0, "the hard state of the segment before", "another one");`,
      to: "    if (hardState !== state) this.hardState = hardState;",
    },
    {
      file: "src/raft/raft.ts",
      from: "    const hardState = { term: this.#term, vote: this.#vote, commit: this.#log.commit };",
      to: `    const hardState = this.#hardStateChanged
      ? { term: this.#term, vote: this.#vote, commit: this.#log.commit }
      : undefined;`,
    },
  ],
  runsMax: 100,
};
