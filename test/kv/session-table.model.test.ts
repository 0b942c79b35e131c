import { expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import type { SessionStamp } from "../../src/kv/command.ts";
import { sessionLifeMs, sessionResultsMax } from "../../src/kv/limits.ts";
import type { Result } from "../../src/kv/result.ts";
import { SessionTable } from "../../src/kv/session-table.ts";
import { type Bytes, toHex } from "../../src/lib/bytes.ts";
import { eachSeed } from "../leveldb/seed.ts";

// Goal: however commands are repeated, reordered, delayed past the end of their session, and however often a replica
// restarts, each is applied at most once, a duplicate gets what the original got, and two replicas never differ.
// Method: a dumb twin remembers every command that was ever applied, and what it gave, for ever.

/** What the rules say, written as a list that is searched, without any of the table's bookkeeping. */
class Model {
  /** Every command that was ever applied, by session (name and birth) and sequence number. */
  readonly results = new Map<string, Result>();
  readonly #sessions: { name: string; born: number; active: number; last: number; acknowledged: number }[] =
    [];
  #floor = 0;

  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  apply(stamp: SessionStamp, clockMs: number, result: Result): Result | "ended" | "gap" {
    const key = `${stamp.name}/${stamp.bornMs}`;
    const isAlive = (one: { active: number }) => clockMs - one.active <= sessionLifeMs;
    const at = this.#sessions.findIndex((one) => one.name === stamp.name);
    const session = at < 0 || !isAlive(this.#sessions[at]!) ? undefined : this.#sessions[at];
    if (session !== undefined && session.born !== stamp.bornMs) return "ended";
    if (session === undefined) {
      if (stamp.bornMs <= this.#floor || clockMs - stamp.bornMs > sessionLifeMs) return "ended";
      if (stamp.sequence !== 1) return "gap";
      if (at >= 0) this.#sessions.splice(at, 1);
      this.#makeRoom(isAlive);
      this.#sessions.push({ name: stamp.name, born: stamp.bornMs, active: 0, last: 0, acknowledged: 0 });
      return this.#record(key, stamp, clockMs, result);
    }
    if (stamp.sequence <= session.acknowledged) return "ended";
    if (stamp.sequence <= session.last) return this.results.get(`${key}/${stamp.sequence}`)!;
    if (stamp.sequence > session.last + 1) return "gap";
    const kept = session.last - Math.max(session.acknowledged, stamp.acknowledged);
    return kept >= sessionResultsMax ? "gap" : this.#record(key, stamp, clockMs, result);
  }

  #makeRoom(isAlive: (one: { active: number }) => boolean): void {
    while (
      this.#sessions.length > 0 &&
      (this.#sessions.length >= this.#most || !isAlive(this.#sessions[0]!))
    ) {
      const quietest = this.#sessions.shift()!;
      if (isAlive(quietest)) this.#floor = Math.max(this.#floor, quietest.born);
    }
  }

  #record(key: string, stamp: SessionStamp, clockMs: number, result: Result): Result {
    const at = this.#sessions.findIndex((one) => one.name === stamp.name);
    const [session] = this.#sessions.splice(at, 1);
    const acknowledged = Math.max(session!.acknowledged, stamp.acknowledged);
    const active = Math.max(clockMs, stamp.bornMs);
    this.#sessions.push({ ...session!, last: stamp.sequence, acknowledged, active });
    const place = `${key}/${stamp.sequence}`;
    expect(this.results.has(place)).toBe(false);
    this.results.set(place, result);
    return result;
  }
}

/** A replica: a table, and what it would find after a restart. */
class Replica {
  readonly most: number;
  table: SessionTable;
  readonly stored = new Map<string, Bytes>();

  constructor(most: number) {
    this.most = most;
    this.table = new SessionTable(0, most);
  }

  apply(stamp: SessionStamp, index: number, clockMs: number, result: Result): Result | "ended" | "gap" {
    const admission = this.table.admit(stamp, clockMs);
    if (admission.kind === "duplicate") return admission.result;
    if (admission.kind === "refuse") return admission.status === "ErrSessionEnded" ? "ended" : "gap";
    this.table.record(stamp, index, clockMs, result);
    return result;
  }

  save(): void {
    for (const { name, record } of this.table.takeChanges())
      if (record === undefined) this.stored.delete(name);
      else this.stored.set(name, record);
  }

  restart(): void {
    this.save();
    const floor = this.table.bornFloorMs;
    this.table = new SessionTable(floor, this.most);
    this.table.restore([...this.stored].map(([name, record]) => ({ name, record })));
  }

  state(): string {
    this.save();
    const sessions = [...this.stored].sort().map(([name, record]) => `${name}:${toHex(record)}`);
    return `${this.table.bornFloorMs} ${sessions.join(" ")}`;
  }
}

/** A client that sends, sends again, and is told results or not. */
function drawStamp(prng: Prng, sent: SessionStamp[], clockMs: number): SessionStamp {
  if (sent.length > 0 && prng.chance(1, 3)) return prng.pick(sent);
  const before = sent.length > 0 && prng.chance(5, 6) ? prng.pick(sent.slice(-20)) : undefined;
  if (before === undefined) {
    const bornMs = Math.max(1, clockMs + prng.int(-1000, 1000) - (prng.chance(1, 10) ? sessionLifeMs : 0));
    return { name: `s${prng.int(1, 12)}`, sequence: 1, acknowledged: 0, bornMs };
  }
  const newest = sent.filter((one) => one.name === before.name && one.bornMs === before.bornMs).at(-1)!;
  const sequence = Math.max(1, newest.sequence + prng.pick([1, 1, 1, 1, 2, -1]));
  return { ...before, sequence, acknowledged: prng.int(0, sequence - 1) };
}

test("the table does what the rules say, on a replica that restarts as on one that does not", () => {
  eachSeed(20, (prng) => {
    const most = prng.int(1, 6);
    const [model, steady, restarting] = [new Model(most), new Replica(most), new Replica(most)];
    const sent: SessionStamp[] = [];
    let clockMs = 10 * sessionLifeMs;
    for (let index = 1; index <= 600; index++) {
      clockMs += prng.chance(1, 40) ? prng.int(0, sessionLifeMs + 10) : prng.int(0, 500);
      const stamp = drawStamp(prng, sent, clockMs);
      sent.push(stamp);
      const result: Result = { status: prng.pick(["OK", "ErrNoKey"]), revision: index };
      const wanted = model.apply(stamp, clockMs, result);
      expect(steady.apply(stamp, index, clockMs, result)).toEqual(wanted);
      expect(restarting.apply(stamp, index, clockMs, result)).toEqual(wanted);
      if (prng.chance(1, 10)) steady.save();
      if (prng.chance(1, 20)) restarting.restart();
      expect(steady.table.size).toBeLessThanOrEqual(most);
    }
    expect(restarting.state()).toBe(steady.state());
    expect(model.results.size).toBeGreaterThan(50);
  });
});

test("two tables that end equal were filled in an order that a restart keeps", () => {
  eachSeed(10, (prng) => {
    const [steady, restarted] = [new Replica(4), new Replica(4)];
    const clockMs = 10 * sessionLifeMs;
    for (let index = 1; index <= 40; index++) {
      const stamp = { name: `s${index}`, sequence: 1, acknowledged: 0, bornMs: clockMs + prng.int(0, 50) };
      const results = [steady, restarted].map((replica) =>
        replica.apply(stamp, index, clockMs, { status: "OK", revision: index }),
      );
      expect(results[1]).toEqual(results[0]!);
      restarted.restart();
    }
    expect(restarted.state()).toBe(steady.state());
  });
});
