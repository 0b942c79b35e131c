import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { Ballot } from "../../src/raft/ballot.ts";
import { isQuorum, isRefused, isVoter, quorumIndex, voters } from "../../src/raft/quorum.ts";
import type { Configuration, NodeId } from "../../src/raft/types.ts";
import { nodeId } from "./cluster.ts";
import { dumbQuorum } from "./dumb-quorum.ts";

const { SEED = "1" } = process.env;
const seed = Number(SEED);
const all = Array.from({ length: 7 }, (_, place) => nodeId(place + 1));

function randomConfiguration(prng: Prng): Configuration {
  const some = (least: number) =>
    all.filter(() => prng.chance(1, 2)).concat(least > 0 ? [prng.pick(all)] : []);
  return {
    incoming: [...new Set(some(1))],
    outgoing: prng.chance(1, 2) ? [] : [...new Set(some(0))],
    learners: [],
  };
}

test("quorumIndex is the largest index for which those who hold it are a quorum", () => {
  const prng = new Prng(seed);
  for (let round = 0; round < 5000; round++) {
    const configuration = randomConfiguration(prng);
    const held = new Map(all.map((id) => [id, prng.int(0, 6)]));
    let wanted = 0;
    for (let index = 0; index <= 6; index++)
      if (dumbQuorum(configuration, new Set(all.filter((id) => held.get(id)! >= index)))) wanted = index;
    const text = `SEED=${seed} round ${round} ${JSON.stringify(configuration)} ${[...held]}`;
    expect(
      quorumIndex(configuration, (id) => held.get(id)!),
      text,
    ).toBe(wanted);
  }
});

test("isQuorum, isRefused and a ballot agree with counting", () => {
  const prng = new Prng(seed);
  for (let round = 0; round < 5000; round++) {
    const configuration = randomConfiguration(prng);
    const yes = new Set(all.filter(() => prng.chance(1, 2)));
    const no = new Set(all.filter((id) => !yes.has(id) && prng.chance(1, 2)));
    const text = `SEED=${seed} round ${round} ${JSON.stringify(configuration)} yes ${[...yes]} no ${[...no]}`;
    const wins = dumbQuorum(configuration, yes);
    // Refused means that even with all who have not answered there would be no quorum.
    const loses = !dumbQuorum(configuration, new Set(all.filter((id) => !no.has(id))));
    expect(
      isQuorum(configuration, (id) => yes.has(id)),
      text,
    ).toBe(wins);
    expect(
      isRefused(configuration, (id) => no.has(id)),
      text,
    ).toBe(loses);
    const ballot = new Ballot();
    for (const id of yes) ballot.record(id, true);
    for (const id of no) ballot.record(id, false);
    for (const id of yes) ballot.record(id, false);
    expect(ballot.result(configuration), text).toBe(wins ? "won" : loses ? "lost" : "open");
  }
});

test("two quorums always meet, also of a joint configuration and either of its halves", () => {
  const subsets = (ids: readonly NodeId[]) =>
    Array.from({ length: 1 << ids.length }, (_, bits) => new Set(ids.filter((_, at) => bits & (1 << at))));
  const prng = new Prng(seed);
  for (let round = 0; round < 20; round++) {
    const few = all.slice(0, 5);
    const joint = {
      incoming: few.slice(0, prng.int(1, 5)),
      outgoing: few.slice(prng.int(0, 4)),
      learners: [],
    };
    const halves = [joint.incoming, joint.outgoing].map((incoming) => ({
      incoming,
      outgoing: [],
      learners: [],
    }));
    for (const first of subsets(few).filter((holders) => dumbQuorum(joint, holders)))
      for (const half of halves)
        for (const second of subsets(half.incoming))
          if (isQuorum(half, (id) => second.has(id)))
            expect(
              [...second].some((id) => first.has(id)),
              `SEED=${seed} ${[...first]} ${[...second]}`,
            ).toBe(true);
  }
});

test("a voter of both halves counts once", () => {
  const [a, b, c] = all as [NodeId, NodeId, NodeId];
  const joint = { incoming: [a, b], outgoing: [b, c], learners: [] };
  expect(voters(joint)).toEqual([a, b, c]);
  expect(all.filter((id) => isVoter(joint, id))).toEqual([a, b, c]);
});
