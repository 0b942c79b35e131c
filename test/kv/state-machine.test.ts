import { expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { encodeCommand, type KeyCommand, type SessionStamp } from "../../src/kv/command.ts";
import { metaKey, sessionKey, sessionNameOf } from "../../src/kv/keys.ts";
import { sessionLifeMs, sessionsMax } from "../../src/kv/limits.ts";
import { StateMachine } from "../../src/kv/state-machine.ts";
import type { Store } from "../../src/kv/store.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import type { StoreEnv } from "../../src/leveldb/run-folder.ts";
import { type Bytes, emptyBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteWriter } from "../../src/lib/codec.ts";
import { MemoryDisk } from "../leveldb/memory-disk.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { MemoryWorkers } from "../leveldb/memory-workers.ts";
import { eachSeed } from "../leveldb/seed.ts";
import { MapStore } from "./map-store.ts";

const t0 = 1_700_000_000_000;

function command(part: Partial<KeyCommand>): Bytes {
  const writer = new ByteWriter();
  const whole: KeyCommand = {
    type: "put",
    timeMs: t0,
    session: undefined,
    principal: emptyBytes,
    key: toUtf8("k"),
    value: emptyBytes,
    ...part,
  };
  encodeCommand(writer, whole);
  return writer.take();
}

function put(key: string, value: string, session?: SessionStamp, timeMs = t0): Bytes {
  return command({ key: toUtf8(key), value: toUtf8(value), session, timeMs });
}

function remove(key: string, session?: SessionStamp, timeMs = t0): Bytes {
  return command({ type: "delete", key: toUtf8(key), session, timeMs });
}

function textOf(machine: StateMachine, key: string): string | undefined {
  const value = machine.get(toUtf8(key));
  return value === undefined ? undefined : fromUtf8(value);
}

test("the revision counts commands that changed a key, and nothing else", () => {
  const machine = new StateMachine(new MapStore(), 0);
  machine.applyConfiguration(1, toUtf8("members"));
  machine.applyNoop(2);
  expect(machine.applyCommand(3, put("a", "1"))).toEqual({ status: "OK", revision: 1 });
  expect(machine.applyCommand(4, remove("b"))).toEqual({ status: "ErrNoKey", revision: 1 });
  expect(machine.applyCommand(5, remove("a"))).toEqual({ status: "OK", revision: 2 });
  expect(machine.applyCommand(6, put("", "empty key"))).toEqual({ status: "OK", revision: 3 });
  expect(textOf(machine, "")).toBe("empty key");
  expect(textOf(machine, "a")).toBeUndefined();
});

test("a retry is answered with the original result, and does nothing", () => {
  const machine = new StateMachine(new MapStore(), 0);
  const session = { name: "s", sequence: 1, acknowledged: 0, bornMs: t0 };
  expect(machine.applyCommand(1, put("a", "1", session)).revision).toBe(1);
  expect(machine.applyCommand(2, put("a", "2"))).toEqual({ status: "OK", revision: 2 });
  expect(machine.applyCommand(3, put("a", "1", session))).toEqual({ status: "OK", revision: 1 });
  expect(textOf(machine, "a")).toBe("2");
  expect(machine.applyCommand(4, remove("gone", { ...session, sequence: 2 })).status).toBe("ErrNoKey");
  expect(machine.applyCommand(5, put("gone", "back")).revision).toBe(3);
  expect(machine.applyCommand(6, remove("gone", { ...session, sequence: 2 })).status).toBe("ErrNoKey");
  expect(textOf(machine, "gone")).toBe("back");
  expect(machine.revision).toBe(3);
});

test("a command of a session that has ended, or behind a gap, changes nothing but the log's time", () => {
  const machine = new StateMachine(new MapStore(), 0);
  const session = { name: "s", sequence: 1, acknowledged: 0, bornMs: t0 };
  machine.applyCommand(1, put("a", "1", session));
  expect(machine.applyCommand(2, put("a", "3", { ...session, sequence: 3 })).status).toBe("ErrOutOfOrder");
  const late = t0 + sessionLifeMs + 1;
  expect(machine.applyCommand(3, put("a", "2", { ...session, sequence: 2 }, late)).status).toBe(
    "ErrSessionEnded",
  );
  expect(machine.applyCommand(4, put("a", "1", session, t0)).status).toBe("ErrSessionEnded");
  expect(textOf(machine, "a")).toBe("1");
  expect(machine.revision).toBe(1);
  expect(machine.clockMs).toBe(late);
});

test("the log's time never goes back, whatever the clocks of leaders say", () => {
  const machine = new StateMachine(new MapStore(), 0);
  machine.applyCommand(1, put("a", "", undefined, t0 + 5));
  machine.applyCommand(2, put("a", "", undefined, t0 - 1_000_000));
  expect(machine.clockMs).toBe(t0 + 5);
});

test("an entry that cannot be understood stops the node, and says why", () => {
  const machine = new StateMachine(new MapStore(), 0);
  const bytes = put("a", "1");
  bytes[1] = 77;
  expect(() => machine.applyCommand(1, bytes)).toThrow(
    "Cannot apply entry 1: a command has the unknown type 77",
  );
});

test("entries are applied in order, each once", () => {
  const machine = new StateMachine(new MapStore(), 7);
  expect(() => machine.applyNoop(7)).toThrow("in order");
  expect(() => machine.applyCommand(9, put("a", "1"))).toThrow("in order");
  machine.applyNoop(8);
});

test("a session's name comes back from the store exactly, with a byte order mark too", () => {
  const store = new MapStore();
  const names = ["\ufeffs", "s", "\ufffd", "ß", "\u0000"];
  const machine = new StateMachine(store, 0);
  names.forEach((name, at) => {
    machine.applyCommand(at + 1, put(name, "1", { name, sequence: 1, acknowledged: 0, bornMs: t0 }));
    expect(sessionNameOf(sessionKey(name))).toBe(name);
  });
  machine.save();
  const again = new StateMachine(store, names.length);
  for (const [at, name] of names.entries())
    expect(again.admit({ name, sequence: 1, acknowledged: 0, bornMs: t0 })).toEqual({
      kind: "duplicate",
      result: { status: "OK", revision: at + 1 },
    });
});

test("a stored state that is none is a fault of the folder, with what to do, and no bare DecodeError", () => {
  const broken = (key: Bytes, value: Bytes) => {
    const store = new MapStore();
    new StateMachine(store, 0).save();
    store.put(key, value, 0);
    return () => new StateMachine(store, 0);
  };
  expect(broken(metaKey, new Uint8Array([3, 0x80]))).toThrow("Cannot read the state: a record ends early");
  expect(broken(metaKey, new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]))).toThrow("follow the end");
  expect(broken(metaKey, new Uint8Array([1]))).toThrow("version 1, 3 is known");
  expect(broken(sessionKey("s"), new Uint8Array([1]))).toThrow("Cannot read the state");
  expect(broken(new Uint8Array([0x73, 0xff]), new Uint8Array([1]))).toThrow("no UTF-8");
});

test("the hash tells apart machines that were given other entries, in another order, or made something else of them", () => {
  const hashOf = (...commands: Bytes[]) => {
    const machine = new StateMachine(new MapStore(), 0);
    for (const [at, command] of commands.entries()) machine.applyCommand(at + 1, command);
    machine.save();
    return machine.hash;
  };
  const [a, b] = [put("a", "1"), put("b", "1")];
  const hashes = [
    hashOf(),
    hashOf(a),
    hashOf(b),
    hashOf(a, b),
    hashOf(b, a),
    hashOf(a, a),
    hashOf(remove("a"), a),
  ];
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(hashOf(a, b)).toBe(hashes[3]!);
});

test("the hash goes on where it was after a restart, and with configurations and no-ops", () => {
  const store = new MapStore();
  const machine = new StateMachine(store, 0);
  machine.applyCommand(1, put("a", "1"));
  machine.save();
  const again = new StateMachine(store, 1);
  expect(again.hash).toBe(machine.hash);
  for (const one of [machine, again]) one.applyNoop(2);
  expect(again.hash).toBe(machine.hash);
  machine.applyConfiguration(3, new Uint8Array([1]));
  again.applyNoop(3);
  expect(again.hash).not.toBe(machine.hash);
});

test("the table is bounded, and an evicted session stays ended over a restart", () => {
  const store = new MapStore();
  const machine = new StateMachine(store, 0);
  const stampOf = (at: number) => ({ name: `${at}`, sequence: 1, acknowledged: 0, bornMs: t0 + at });
  const count = sessionsMax + 10;
  for (let at = 1; at <= count; at++) machine.applyCommand(at, remove("nothing", stampOf(at)));
  expect(machine.sessionCount).toBe(sessionsMax);
  machine.save();
  for (const one of [machine, new StateMachine(store, count)]) {
    for (const at of [1, 10])
      expect(one.admit(stampOf(at))).toEqual({ kind: "refuse", status: "ErrSessionEnded" });
    expect(one.admit(stampOf(11)).kind).toBe("duplicate");
    expect(one.sessionCount).toBe(sessionsMax);
  }
});

// ---- replicas that restart ----

function memoryEnv(disk: MemoryDisk): StoreEnv {
  const tables = new MemoryTables(disk);
  return { disk, tables, workers: new MemoryWorkers({ disk, tables }) };
}

/** A replica on the real store, in memory, that can lose all that was not flushed. */
class Replica {
  readonly disk = new MemoryDisk();
  readonly #env = memoryEnv(this.disk);
  db = this.#open();
  machine = new StateMachine(this.db, 0);
  applied = 0;

  apply(data: Bytes): unknown {
    return this.machine.applyCommand(++this.applied, data);
  }

  flush(): void {
    while (!this.machine.save(2));
    this.db.flush({ index: this.applied, term: 1 });
  }

  /** Starts again from what was flushed, and applies the log's rest. */
  restart(log: readonly Bytes[]): void {
    this.db.close();
    this.db = this.#open();
    this.applied = this.db.applied.index;
    this.machine = new StateMachine(this.db, this.applied);
    for (const data of log.slice(this.applied)) this.apply(data);
  }

  #open(): LevelDB {
    const options = { createIfMissing: true, runsMax: 2, memtableBytesMax: 1 << 20 };
    return LevelDB.open(this.#env, "data", options);
  }
}

function drawCommand(prng: Prng, sessions: SessionStamp[], clockMs: number): Bytes {
  const key = `key${prng.int(0, 7)}`;
  let session: SessionStamp | undefined;
  if (prng.chance(4, 5)) {
    const at = prng.int(0, sessions.length);
    const known = sessions[at];
    if (known === undefined)
      session = {
        name: `s${sessions.length}`,
        sequence: 1,
        acknowledged: 0,
        bornMs: clockMs + prng.int(-9, 9),
      };
    else if (prng.chance(1, 3)) session = known;
    else session = { ...known, sequence: known.sequence + 1, acknowledged: prng.int(0, known.sequence) };
    sessions[Math.min(at, sessions.length)] = session;
  }
  const timeMs = clockMs + (prng.chance(1, 20) ? prng.int(-sessionLifeMs, sessionLifeMs) : 0);
  return prng.chance(1, 3) ? remove(key, session, timeMs) : put(key, `${prng.u32()}`, session, timeMs);
}

/** All that a client can see, and all that decides what it will see. */
function stateOf(machine: StateMachine, store: Store): unknown {
  const records: unknown[] = [];
  for (let at = 0; at < 8; at++) records.push(machine.getRecord(toUtf8(`key${at}`)));
  machine.save();
  const iterator = store.newIterator();
  const rest: string[] = [];
  for (iterator.seek(toUtf8("l")); iterator.valid(); iterator.next())
    rest.push(`${fromUtf8(iterator.key())}=${Buffer.from(iterator.value()).toString("hex")}`);
  iterator.close();
  return { records, rest, revision: machine.revision, clockMs: machine.clockMs, count: machine.sessionCount };
}

test("a replica that restarts from any flush gives the same results and ends in the same state", () => {
  eachSeed(8, (prng) => {
    const [steady, restarting] = [new Replica(), new Replica()];
    const log: Bytes[] = [];
    const sessions: SessionStamp[] = [];
    let clockMs = t0;
    for (let index = 1; index <= 400; index++) {
      clockMs += prng.chance(1, 50) ? prng.int(0, sessionLifeMs) : prng.int(0, 100);
      const data = drawCommand(prng, sessions, clockMs);
      log.push(data);
      expect(restarting.apply(data)).toEqual(steady.apply(data));
      if (prng.chance(1, 25)) restarting.flush();
      if (prng.chance(1, 60)) restarting.restart(log);
      // A part of the sessions goes to the store, and more entries are applied before the rest does.
      if (prng.chance(1, 10)) restarting.machine.save(prng.int(0, 3));
      if (prng.chance(1, 100)) steady.flush();
    }
    expect(stateOf(restarting.machine, restarting.db)).toEqual(stateOf(steady.machine, steady.db));
    restarting.flush();
    restarting.restart(log);
    expect(stateOf(restarting.machine, restarting.db)).toEqual(stateOf(steady.machine, steady.db));
    for (const session of sessions)
      expect(restarting.machine.admit(session)).toEqual(steady.machine.admit(session));
    for (const replica of [steady, restarting]) replica.db.close();
  });
});

test("sessions that change while the revision stands still survive flushes and merges of the store", () => {
  const replica = new Replica();
  const log: Bytes[] = [];
  const stamp = (sequence: number) => ({ name: "s", sequence, acknowledged: sequence - 1, bornMs: t0 });
  for (let sequence = 1; sequence <= 12; sequence++) {
    const data = remove("nothing", stamp(sequence));
    log.push(data);
    replica.apply(data);
    replica.flush();
  }
  replica.restart(log);
  expect(replica.applied).toBe(12);
  expect(replica.machine.admit(stamp(12)).kind).toBe("duplicate");
  expect(replica.machine.admit(stamp(13))).toEqual({ kind: "apply" });
  expect(replica.machine.admit(stamp(11))).toEqual({ kind: "refuse", status: "ErrSessionEnded" });
  replica.db.close();
});
