import { expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import type { SessionStamp } from "../../src/kv/command.ts";
import { type Waiter, Waiters } from "../../src/server/waiters.ts";
import { eachSeed } from "../leveldb/seed.ts";

function stamp(name: string, sequence: number, bornMs = 1): SessionStamp {
  return { name, sequence, acknowledged: 0, bornMs };
}

function replies(chain: Waiter<string> | undefined): string[] {
  const all: string[] = [];
  for (let each = chain; each !== undefined; each = each.next)
    if (each.reply !== undefined) all.push(each.reply);
  return all.sort();
}

test("a waiter is found by its index, and its term says whose entry it waits for", () => {
  const waiters = new Waiters<string>();
  waiters.add(7, 3, undefined, "a", 100);
  expect(waiters.take(6)).toBeUndefined();
  expect(waiters.take(7)).toMatchObject({ term: 3, reply: "a" });
  expect(waiters.take(7)).toBeUndefined();
  expect(waiters.count).toBe(0);
});

test("a command that is sent again joins its entry, in whatever order the client repeats them", () => {
  const waiters = new Waiters<string>();
  for (let sequence = 1; sequence <= 5; sequence++)
    waiters.add(10 + sequence, 1, stamp("s", sequence), "first", 9);
  for (const sequence of [3, 1, 5, 5])
    expect(waiters.join(stamp("s", sequence), `again ${sequence}`, 9)).toBe(true);
  expect(waiters.join(stamp("s", 6), "new", 9)).toBe(false);
  expect(waiters.join(stamp("t", 1), "other", 9)).toBe(false);
  expect(waiters.join(stamp("s", 1, 2), "another session of that name", 9)).toBe(false);
  expect(replies(waiters.take(15))).toEqual(["again 5", "again 5", "first"]);
  expect(replies(waiters.take(11))).toEqual(["again 1", "first"]);
  expect(waiters.join(stamp("s", 1), "late", 9)).toBe(false);
  expect(waiters.count).toBe(4);
});

test("after its deadline a waiter is told once, and its entry can still be joined instead of appended again", () => {
  const waiters = new Waiters<string>();
  waiters.add(1, 1, stamp("s", 1), "a", 100);
  expect(waiters.join(stamp("s", 1), "b", 200)).toBe(true);
  expect(waiters.takeExpired(99)).toEqual([]);
  expect(waiters.takeExpired(100)).toEqual(["a"]);
  expect(waiters.takeExpired(150)).toEqual([]);
  expect(waiters.takeExpired(300)).toEqual(["b"]);
  expect(waiters.count).toBe(0);
  expect(waiters.join(stamp("s", 1), "c", 400)).toBe(true);
  expect(waiters.count).toBe(1);
  expect(replies(waiters.take(1))).toEqual(["c"]);
  expect(waiters.count).toBe(0);
});

test("who asks again and again for one entry piles nothing up", () => {
  const waiters = new Waiters<string>();
  waiters.add(1, 1, stamp("s", 1), "a", 0);
  for (let at = 1; at <= 1000; at++) {
    waiters.join(stamp("s", 1), "again", at);
    expect(waiters.takeExpired(at).length).toBeGreaterThan(0);
  }
  let length = 0;
  for (let each = waiters.take(1); each !== undefined; each = each.next) length++;
  expect(length).toBe(1);
});

test("takeAll() gives everybody back, and leaves nobody behind", () => {
  const waiters = new Waiters<string>();
  waiters.add(1, 1, stamp("s", 1), "a", 5);
  waiters.add(2, 1, undefined, "b", 5);
  waiters.join(stamp("s", 1), "c", 5);
  expect(waiters.takeAll().flatMap(replies)).toEqual(["a", "c", "b"]);
  expect(waiters.count).toBe(0);
  expect(waiters.join(stamp("s", 1), "d", 5)).toBe(false);
  waiters.add(1, 2, stamp("s", 1), "e", 5);
  expect(replies(waiters.take(1))).toEqual(["e"]);
});

test("waiters never come twice to an index that is not decided", () => {
  const waiters = new Waiters<string>();
  waiters.add(1, 1, undefined, "a", 5);
  expect(() => waiters.add(1, 2, undefined, "b", 5)).toThrow("one entry at an index");
});

/** The same, as a list that is searched. */
class Model {
  entries: { index: number; key: string; waiting: { reply: string; deadlineMs: number }[] }[] = [];

  get count(): number {
    return this.entries.reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  takeExpired(nowMs: number): string[] {
    const expired: string[] = [];
    for (const entry of this.entries) {
      for (const { reply, deadlineMs } of entry.waiting) if (deadlineMs <= nowMs) expired.push(reply);
      entry.waiting = entry.waiting.filter(({ deadlineMs }) => deadlineMs > nowMs);
    }
    return expired.sort();
  }
}

function drawStamp(prng: Prng): SessionStamp {
  return stamp(`s${prng.int(0, 3)}`, prng.int(1, 9));
}

test("waiters are what a list that is searched would be", () => {
  eachSeed(10, (prng) => {
    const [waiters, model] = [new Waiters<string>(), new Model()];
    for (let step = 0, index = 0; step < 800; step++) {
      const [reply, deadlineMs] = [`r${step}`, step + prng.int(0, 40)];
      const session = drawStamp(prng);
      const key = `${session.name}#${session.sequence}`;
      const original = model.entries.find((entry) => entry.key === key);
      const choice = prng.int(0, 3);
      if (choice >= 2) {
        expect(waiters.join(session, reply, deadlineMs)).toBe(original !== undefined);
        if (original !== undefined) original.waiting.push({ reply, deadlineMs });
        else {
          waiters.add(++index, 1, session, reply, deadlineMs);
          model.entries.push({ index, key, waiting: [{ reply, deadlineMs }] });
        }
      } else if (choice === 1) expect(waiters.takeExpired(step).sort()).toEqual(model.takeExpired(step));
      else {
        const entry = model.entries.shift();
        const wanted = entry?.waiting.map((one) => one.reply).sort() ?? [];
        expect(replies(waiters.take(entry?.index ?? -1))).toEqual(wanted);
      }
      if (prng.chance(1, 100)) {
        const wanted = model.entries.flatMap(({ waiting }) => waiting.map((one) => one.reply)).sort();
        expect(waiters.takeAll().flatMap(replies).sort()).toEqual(wanted);
        model.entries = [];
      }
      expect(waiters.count).toBe(model.count);
    }
  });
});
