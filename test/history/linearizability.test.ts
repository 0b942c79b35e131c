import { describe, expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { eachSeed } from "../leveldb/seed.ts";
import { checkLinearizable } from "./linearizability.ts";
import { historyOf } from "./notation.ts";
import type { Operation } from "./operation.ts";
import { type HistoryOptions, randomHistory, withStaleRead } from "./random-history.ts";

// Histories whose verdict was found by hand, then long random ones that are right, or wrong, by construction.

/**
 * A put, of a value that was there before, has to wait its turn: each of the two deletes needs a put of its
 * own.
 */
const waiting = "b 10-90 put 1; c 10-20 put 2; d 12-14 get 2; e 16-90 delete yes; f 16-90 delete yes";

const linearizable: Record<string, string> = {
  "one client after another": "a 0-1 put 1; b 2-3 get 1; a 4-5 put 2; b 6-7 get 2",
  "a read beside a write finds the old value": "a 0-1 put 1; a 2-9 put 2; b 3-4 get 1",
  "a read beside a write finds the new value": "a 0-1 put 1; a 2-9 put 2; b 3-4 get 2",
  "reads beside a write find the old, then the new": "a 0-1 put 1; a 2-9 put 2; b 3-4 get 1; b 5-6 get 2",
  "reads that overlap find the new, and the old": "a 0-1 put 1; a 2-9 put 2; b 3-6 get 2; c 5-8 get 1",
  "two writes at a time, read in the order of their ends":
    "a 0-5 put 1; b 0-9 put 2; c 6-7 get 1; c 10-11 get 2",
  "two writes at a time, read against the order of their starts": "a 0-9 put 1; b 1-8 put 2; c 10-11 get 1",
  "a put is read before it is acknowledged (Herlihy & Wing: pending, yet seen)":
    "a 0-100 put 1; b 2-3 get 1; b 4-5 get 1",
  "an end and a start at one moment overlap": "a 0-5 put 1; b 5-9 get -",
  "an unknown put is never seen": "a 0-1 put 1; a 2-3 put 2?; b 4-5 get 1; b 6-7 get 1",
  "an unknown put is seen late, after a read that did not see it": "a 0-1 put 2?; b 2-3 get -; b 4-5 get 2",
  "an unknown put takes effect after another put": "a 0-1 put 1?; b 2-3 put 2; b 4-5 get 2; b 6-7 get 1",
  "a delete shows that an unknown put was done": "a 0-1 put 1?; b 2-3 delete yes; b 4-5 get -",
  "an unknown delete is seen": "a 0-1 put 1; a 2-3 delete?; b 4-5 get 1; b 6-7 get -",
  "an unknown delete, then one that finds no key": "a 0-1 put 1; a 2-3 delete?; b 4-5 delete no",
  "two unknown puts of one value are seen twice":
    "a 0-1 put 1?; b 0-1 put 1?; c 2-3 get 1; c 4-5 delete yes; c 6-7 get 1",
  "a failed put and a failed delete leave no trace": "a 0-1 put 1; a 2-3 put 2!; a 4-5 delete!; b 6-7 get 1",
  "an unknown get says nothing": "a 0-1 put 1; b 2-3 get 7?; b 4-5 get 1",
  "a delete that was not told whether the key existed":
    "a 0-1 put 1; a 2-3 delete; b 4-5 get -; a 6-7 delete",
  "two deletes at a time, one finds the key": "a 0-1 put 1; a 2-5 delete yes; b 2-5 delete no",
  "one value put twice, read in between and after":
    "a 0-1 put 1; b 2-3 put 2; c 4-5 get 2; a 6-7 put 1; c 8-9 get 1",
  "a client that pipelines": "a 0-9 put 1; a 1-9 put 2; a 2-9 get 1; a 3-9 get 2; a 10-11 get 1",
  "an equal value was put, and two deletes need a put each":
    "z 0-1 put 1; z 2-3 delete; a 4-9 put 1; b 4-5 get 1; c 4-8 put 2; d 6-9 delete yes; e 7-9 delete yes",
  "an equal value was perhaps put, and two deletes need a put each": `z 0-1 put 1?; a 2-3 get 1; ${waiting}`,
  "two keys, each right (Herlihy & Wing: locality)": "a 0-1 put 1; b 2-3 y.put 2; a 4-5 y.get 2; b 6-7 get 1",
};

const notLinearizable: Record<string, string> = {
  "a stale read": "a 0-1 put 1; a 2-3 put 2; b 4-5 get 1",
  "a lost write": "a 0-1 put 1; b 2-3 get -",
  "a value that was never put": "a 0-1 put 1; b 2-3 get 9",
  "a value from before it is put": "a 0-1 get 1; b 2-3 put 1",
  "the value of a put that failed": "a 0-1 put 1!; b 2-3 get 1",
  "the effect of a delete that failed": "a 0-1 put 1; a 2-3 delete!; b 4-5 get -",
  "a read that goes back in time beside a write": "a 0-1 put 1; a 2-9 put 2; b 3-4 get 2; b 5-6 get 1",
  "another client that goes back in time": "a 0-1 put 1; a 2-9 put 2; b 3-4 get 2; c 5-6 get 1",
  "etcd's stale read of a leader cut off": "a 0-1 put 1; b 2-4 put 2; b 5-6 get 2; c 7-8 get 1; c 9-10 get 1",
  "Consul's stale read after a delete": "a 0-1 put 1; b 2-3 delete yes; b 4-5 get -; c 6-7 get 1",
  "a write applied twice, around another write": "a 0-1 put 1; b 2-3 put 2; c 4-5 get 2; c 6-7 get 1",
  "a write applied twice, around a delete": "a 0-9 put 1; b 1-2 delete yes; c 3-4 get -; c 5-6 get 1",
  "an unknown put applied twice": "a 0-1 put 1?; b 2-3 delete yes; b 4-5 delete yes",
  "an unknown put seen, then unseen": "a 0-1 put 1; a 2-3 put 2?; b 4-5 get 2; b 6-7 get 1",
  "an unknown put seen before it starts": "b 0-1 get 2; a 2-3 put 2?",
  "an unknown put of one value spent on two": "a 0-1 put 1?; c 2-3 get 1; c 4-5 delete yes; c 6-7 get 1",
  "an unknown delete spent twice": "a 0-1 put 1; a 2-3 delete?; b 4-5 get -; b 6-7 put 1; b 8-9 get -",
  "a delete that finds no key though there is one": "a 0-1 put 1; b 2-3 delete no",
  "a delete that finds a key though there is none": "a 0-1 put 1; b 2-3 delete yes; b 4-5 delete yes",
  "two deletes at a time that both find the key": "a 0-1 put 1; a 2-5 delete yes; b 2-5 delete yes",
  "two writes seen in two orders": "a 0-9 put 1; b 0-9 put 2; c 1-2 get 1; c 3-4 get 2; d 5-6 get 1",
  "the order of two clients in real time is lost": "a 0-1 put 1; b 2-3 put 2; c 4-9 get 1; d 4-9 get 2",
  "sequentially consistent, not linearizable (Herlihy & Wing)": "a 0-1 put 1; b 2-3 get -; b 4-5 get 1",
  "one end before one start, by the least there is": "a 0-5 put 1; b 6-9 get -",
  "two keys, one wrong": "a 0-1 put 1; a 2-3 y.put 2; b 4-5 get 1; b 6-7 y.get -",
};

describe("fits an order of events", () => {
  test.each(Object.entries(linearizable))("%s", (_, text) => {
    expect(checkLinearizable(historyOf(text))).toEqual({ ok: true });
  });
});

describe("fits no order of events", () => {
  test.each(Object.entries(notLinearizable))("%s", (_, text) => {
    expect(checkLinearizable(historyOf(text)).ok).toBe(false);
  });
});

test("what is there before is known", () => {
  const before = new Map([["x", "0"]]);
  const history = historyOf("a 0-1 get 0; a 2-3 delete yes; a 4-5 get -");
  expect(checkLinearizable(history, before)).toEqual({ ok: true });
  expect(checkLinearizable(history).ok).toBe(false);
  expect(checkLinearizable(historyOf("a 0-1 get -"), before).ok).toBe(false);
  expect(checkLinearizable(historyOf(`a 0-1 get 1; ${waiting}`), new Map([["x", "1"]]))).toEqual({
    ok: true,
  });
});

test("the story names the key, the order that was found and what does not fit", () => {
  const text = "a 0-1 y.put 1; b 0-1 put 1; b 2-3 put 2; a 4-5 get 2; c 6-7 get 1; c 8-9 delete yes";
  expect(checkLinearizable(historyOf(text))).toEqual({
    ok: false,
    key: "x",
    story: [
      "The longest order of events has 1 of 5 operations that were done:",
      '  b, 0 to 1: put "1"',
      'Then the key holds "1", and none of these can come next:',
      '  b, 2 to 3: put "2": nothing could then explain c, 6 to 7: get found "1"',
    ],
  });
});

test("the story of a read that nobody put names who did not", () => {
  expect(checkLinearizable(historyOf("a 0-1 put 1!; b 2-3 get 1; a 4-5 put 1"))).toEqual({
    ok: false,
    key: "x",
    story: [
      'b, 2 to 3: get found "1": nothing that may have been done before it ended left the key so.',
      "These would have:",
      '  a, 0 to 1: put "1", failed',
      '  a, 4 to 5: put "1"',
    ],
  });
});

test("a search without an answer is an error, not a verdict", () => {
  const history = historyOf("a 0-1 put 1; b 2-3 put 2; c 4-5 get 2");
  expect(() => checkLinearizable(history, new Map(), 1)).toThrow(
    'Cannot decide on the history of the key "x": the best of 1 configurations has 1 of 3 operations',
  );
  expect(checkLinearizable(history, new Map(), 9)).toEqual({ ok: true });
});

test("an operation without a beginning before its end is not a history", () => {
  expect(() => checkLinearizable(historyOf("a 1-1 put 1"))).toThrow("ends after it starts");
  const [open] = historyOf("a 0-1 put 1?");
  expect(() => checkLinearizable([{ ...open!, end: Infinity }])).toThrow("at a finite time");
});

const long: Record<string, HistoryOptions> = {
  "one key": {
    operations: 10_000,
    clients: 10,
    keys: 1,
    unknownPercent: 1,
    failedPercent: 1,
    latencyMax: 40,
  },
  "one key, three values": {
    operations: 10_000,
    clients: 10,
    keys: 1,
    values: 3,
    unknownPercent: 1,
    failedPercent: 1,
    latencyMax: 40,
  },
  "many unknown": {
    operations: 10_000,
    clients: 6,
    keys: 3,
    unknownPercent: 20,
    failedPercent: 5,
    latencyMax: 15,
  },
  "100 keys": {
    operations: 10_000,
    clients: 10,
    keys: 100,
    unknownPercent: 1,
    failedPercent: 1,
    latencyMax: 40,
  },
};

describe("10,000 operations of real registers", () => {
  test.each(Object.entries(long))("%s: right as they are, wrong with one read changed", (_, options) => {
    eachSeed(2, (prng) => {
      const history = shuffled(prng, randomHistory(prng, options));
      expect(checkLinearizable(history)).toEqual({ ok: true });
      const stale = withStaleRead(prng, history) ?? withStaleRead(prng, history);
      expect(stale).toBeDefined();
      expect(checkLinearizable(stale!).ok).toBe(false);
    });
  });
});

/** The order in which operations are given says nothing. */
function shuffled(prng: Prng, history: readonly Operation[]): Operation[] {
  const keyed = history.map((operation) => ({ operation, at: prng.u32() }));
  return keyed.sort((a, b) => a.at - b.at).map(({ operation }) => operation);
}
