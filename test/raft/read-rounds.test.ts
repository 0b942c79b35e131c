import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { ReadRounds } from "../../src/raft/read-rounds.ts";

const { SEED = "1" } = process.env;
const seed = Number(SEED);

test("each read comes out once, in order, with the commit of a round that began after it was asked", () => {
  for (let run = 0; run < 300; run++) {
    const prng = new Prng(seed * 1000 + run);
    const rounds = new ReadRounds();
    /** Of each read, the commit when it was asked and the number of rounds begun. */
    const asked: { commit: number; begun: number }[] = [];
    const numbers = new Set<number>();
    let commit = 0;
    let answered = 0;
    for (let step = 0; step < 100; step++) {
      commit += prng.int(0, 1);
      const action = prng.int(1, 3);
      if (action === 1) rounds.add(asked.push({ commit, begun: numbers.size }) - 1);
      else if (action === 2 && rounds.hasWaiting && !rounds.isUnderWay) {
        rounds.begin(commit);
        const text = `SEED=${seed} run ${run} step ${step}`;
        expect(numbers.has(rounds.context), `${text}: the number of a round is never used again`).toBe(false);
        numbers.add(rounds.context);
      } else if (action === 3 && rounds.isUnderWay) {
        rounds.confirm();
        for (const { context, index } of rounds.take()) {
          const text = `SEED=${seed} run ${run} step ${step} read ${context}`;
          expect(context, text).toBe(answered++);
          expect(index, text).toBeGreaterThanOrEqual(asked[context]!.commit);
          expect(numbers.size, `${text}: its round began after it`).toBeGreaterThan(asked[context]!.begun);
        }
        expect(rounds.take()).toHaveLength(0);
      }
    }
    expect(answered, "reads are answered").toBeGreaterThan(0);
  }
});
