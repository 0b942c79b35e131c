import { expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { eachSeed, seeds } from "../leveldb/seed.ts";
import { checkLinearizable } from "./linearizability.ts";
import { type Operation, toJsonLine } from "./operation.ts";
import { isLinearizableByDefinition } from "./permutations.ts";
import { randomHistory } from "./random-history.ts";

// The checker against the definition, on small histories: random answers, and right ones with some changed.

test("random answers: the verdict is that of the definition", () => {
  compareAll(4000, randomAnswers);
});

test("right answers, some changed: the verdict is that of the definition", () => {
  compareAll(4000, changedAnswers);
});

function compareAll(count: number, make: (prng: Prng) => Operation[]): void {
  const verdicts = { right: 0, wrong: 0 };
  eachSeed(count, (prng) => {
    const history = make(prng);
    const wanted = isLinearizableByDefinition(history);
    verdicts[wanted ? "right" : "wrong"]++;
    const { ok } = checkLinearizable(history);
    if (ok !== wanted)
      throw new Error(
        `The checker says ${ok}, the definition ${wanted}:\n${history.map(toJsonLine).join("\n")}`,
      );
  });
  const rare = seeds(count).length / 5;
  if (seeds(count).length === count) expect(Math.min(verdicts.right, verdicts.wrong)).toBeGreaterThan(rare);
}

function randomAnswers(prng: Prng): Operation[] {
  const [lastStart, values, unknownTenths] = [prng.int(3, 14), prng.int(1, 2), prng.int(0, 6)];
  return Array.from({ length: prng.int(2, 7) }, (_, client) => {
    const operation = prng.pick(["put", "get", "get", "delete"] as const);
    const start = prng.int(0, lastStart);
    const value = `v${prng.int(1, values)}`;
    return {
      client: `c${client}`,
      operation,
      key: "k",
      value: operation === "put" || (operation === "get" && prng.chance(2, 3)) ? value : undefined,
      existed: operation === "delete" ? prng.pick([true, true, false, undefined]) : undefined,
      start,
      end: start + prng.int(1, prng.pick([2, 5, 9])),
      outcome: prng.chance(unknownTenths, 10) ? "unknown" : prng.chance(1, 12) ? "failed" : "ok",
    };
  });
}

function changedAnswers(prng: Prng): Operation[] {
  const history = randomHistory(prng, {
    operations: prng.int(4, 7),
    clients: prng.int(2, 5),
    keys: 1,
    values: prng.pick([undefined, 1, 2]),
    unknownPercent: prng.pick([0, 20, 50]),
    failedPercent: 8,
    latencyMax: prng.pick([3, 8]),
  });
  const changes = prng.int(0, 3);
  for (let change = 0; change < changes; change++) {
    const at = prng.int(0, history.length - 1);
    const { operation, outcome, ...rest } = history[at]!;
    const values = history.flatMap(({ value }) => value ?? []);
    if (outcome !== "ok") continue;
    if (operation === "put") history[at] = { ...rest, operation, outcome: "failed" };
    if (operation === "get")
      history[at] = { ...rest, operation, outcome, value: prng.pick([undefined, ...values]) };
    if (operation === "delete") history[at] = { ...rest, operation, outcome, existed: !rest.existed };
  }
  return history;
}
