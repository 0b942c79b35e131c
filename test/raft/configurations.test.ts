import { expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { Configurations, problemOfChange } from "../../src/raft/configurations.ts";
import type { Configuration, NodeId } from "../../src/raft/types.ts";
import { nodeId } from "./cluster.ts";
import { configurationOf, describeConfiguration } from "./configuration-text.ts";
import { alwaysMeet } from "./dumb-quorum.ts";

const { SEED = "1" } = process.env;
const seed = Number(SEED);
const all = Array.from({ length: 5 }, (_, place) => nodeId(place + 1));

function randomConfiguration(prng: Prng, outgoing: readonly (readonly NodeId[])[]): Configuration {
  const some = (of: readonly NodeId[]) => of.filter(() => prng.chance(1, 2));
  const incoming = prng.chance(1, 2) ? prng.pick(outgoing) : some(all);
  const configuration = { incoming, outgoing: prng.chance(1, 3) ? [] : prng.pick(outgoing) };
  const rest = all.filter((id) => ![...incoming, ...configuration.outgoing].includes(id));
  return { ...configuration, learners: some(prng.chance(9, 10) ? rest : all) };
}

test("a change that is legal leads to a configuration whose quorums all meet those of the one before", () => {
  const prng = new Prng(seed);
  const seen = { joins: 0, leaves: 0, keeps: 0, illegal: 0 };
  for (let round = 0; round < 4000; round++) {
    const from = randomConfiguration(prng, [all.filter(() => prng.chance(1, 2)), []]);
    if (from.incoming.length === 0 || problemOfChange(from, from) === "a node is named twice") continue;
    const to = randomConfiguration(prng, [from.incoming, from.outgoing, []]);
    const text = `SEED=${seed} ${describeConfiguration(from)} to ${describeConfiguration(to)}`;
    if (problemOfChange(from, to) !== undefined) {
      seen.illegal++;
      continue;
    }
    expect(alwaysMeet(from, to), text).toBe(true);
    expect(to.incoming.length, text).toBeGreaterThan(0);
    for (const id of to.learners) expect([...to.incoming, ...to.outgoing], text).not.toContain(id);
    expect(from.outgoing.length === 0 || to.outgoing.length === 0, `${text}: one step at a time`).toBe(true);
    seen[to.outgoing.length > 0 ? "joins" : from.outgoing.length > 0 ? "leaves" : "keeps"]++;
  }
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(20);
});

test("what is refused says why", () => {
  const problem = (from: string, to: string) => problemOfChange(configurationOf(from), configurationOf(to));
  expect(problem("n1", "")).toBe("a cluster needs at least one voter");
  expect(problem("n1,n2", "n1,n3,n3/n1,n2/")).toBe("a node is named twice");
  expect(problem("n1,n2", "n1/n1,n2/n2")).toBe("a node is a learner or a voter, not both");
  expect(problem("n1,n2", "n1,n2//n2")).toBe("a node is a learner or a voter, not both");
  expect(problem("n1,n2", "n1")).toBe("voters change by way of a joint configuration");
  expect(problem("n1,n2", "n1/n2/")).toBe("voters change by way of a joint configuration");
  expect(problem("n1/n1,n2/", "n1,n2")).toBe("a joint configuration is left before the next one begins");
  expect(problem("n1/n1,n2/", "n1/n1/")).toBe("a joint configuration is left before the next one begins");
  for (const to of ["n2,n1", "n1,n2//n3", "n3/n2,n1/", "n1,n2/n1,n2/n3"])
    expect(problem("n1,n2", to)).toBe(undefined);
  for (const to of ["n1", "n1//n2", "n1//n2,n3"]) expect(problem("n1/n1,n2/", to)).toBe(undefined);
});

test("the last configuration of the log is in force, through truncations, commits and snapshots", () => {
  for (let run = 0; run < 300; run++) {
    const prng = new Prng(seed * 1000 + run);
    const name = (index: number) => configurationOf(`n${index}`);
    const configurations = new Configurations(0, name(0));
    // The dumb twin: which entries of the log hold a configuration.
    let log: number[] = [0];
    let [last, commit] = [0, 0];
    for (let step = 0; step < 60; step++) {
      const text = `SEED=${seed} run ${run} step ${step}`;
      const action = prng.int(1, 6);
      if (action <= 2) {
        last += prng.int(1, 3);
        configurations.append(last, name(last));
        log.push(last);
      } else if (action === 3 && last > commit) {
        const from = prng.int(commit + 1, last);
        configurations.truncate(from);
        log = log.filter((index) => index < from);
        last = from - 1;
      } else if (action === 4) {
        const settledBefore = log.filter((index) => index <= commit).at(-1);
        commit = prng.int(commit, last);
        const settled = log.filter((index) => index <= commit).at(-1);
        expect(configurations.commitTo(commit), text).toBe(settled !== settledBefore);
      } else if (action === 5) {
        const index = prng.int(commit + 1, last + 3);
        const goesOn = index <= last && prng.chance(1, 2);
        configurations.restore(index, name(index), goesOn);
        log = [index, ...(goesOn ? log.filter((each) => each > index) : [])];
        last = goesOn ? last : index;
        commit = index;
      }
      expect(configurations.latest.incoming, text).toEqual(name(log.at(-1)!).incoming);
      expect(configurations.isSettled, text).toBe(log.at(-1)! <= commit);
    }
  }
});

test("a node may lead while it votes by the committed configuration or by a later one", () => {
  const configurations = new Configurations(0, configurationOf("n1,n2/n1,n3/"));
  configurations.append(1, configurationOf("n1,n2"));
  configurations.append(2, configurationOf("n2//n1"));
  const able = () => all.filter((id) => configurations.mayLead(id));
  expect(able()).toEqual([nodeId(1), nodeId(2), nodeId(3)]);
  configurations.commitTo(1);
  expect(able()).toEqual([nodeId(1), nodeId(2)]);
  configurations.commitTo(2);
  expect(able()).toEqual([nodeId(2)]);
});
