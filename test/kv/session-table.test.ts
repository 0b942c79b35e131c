import { expect, test } from "bun:test";
import type { SessionStamp } from "../../src/kv/command.ts";
import { sessionLifeMs, sessionResultsMax, sessionsMax } from "../../src/kv/limits.ts";
import type { Result } from "../../src/kv/result.ts";
import { SessionTable } from "../../src/kv/session-table.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import { DecodeError } from "../../src/lib/codec.ts";

const t0 = 1_000_000;

function stamp(name: string, sequence: number, acknowledged = 0, bornMs = t0): SessionStamp {
  return { name, sequence, acknowledged, bornMs };
}

function ok(revision: number): Result {
  return { status: "OK", revision };
}

/** Applies a command that must be admitted. */
function apply(table: SessionTable, one: SessionStamp, index: number, clockMs = t0): void {
  expect(table.admit(one, clockMs)).toEqual({ kind: "apply" });
  table.record(one, index, clockMs, ok(index));
}

const ended = { kind: "refuse", status: "ErrSessionEnded" } as const;
const outOfOrder = { kind: "refuse", status: "ErrOutOfOrder" } as const;

test("a duplicate gets the original result, however much later", () => {
  const table = new SessionTable();
  for (let sequence = 1; sequence <= 5; sequence++) apply(table, stamp("s", sequence), 10 + sequence);
  for (let sequence = 1; sequence <= 5; sequence++)
    expect(table.admit(stamp("s", sequence), t0 + sessionLifeMs)).toEqual({
      kind: "duplicate",
      result: ok(10 + sequence),
    });
});

test("only the command after the last one is applied: a gap is refused and changes nothing", () => {
  const table = new SessionTable();
  expect(table.admit(stamp("s", 2), t0)).toEqual(outOfOrder);
  apply(table, stamp("s", 1), 1);
  expect(table.admit(stamp("s", 3), t0)).toEqual(outOfOrder);
  apply(table, stamp("s", 2), 2);
  apply(table, stamp("s", 3), 3);
});

test("acknowledged results are dropped, and a duplicate of one is an explicit end, never applied", () => {
  const table = new SessionTable();
  for (let sequence = 1; sequence <= 4; sequence++) apply(table, stamp("s", sequence), sequence);
  apply(table, stamp("s", 5, 3), 5);
  expect(table.admit(stamp("s", 3), t0)).toEqual(ended);
  expect(table.admit(stamp("s", 4), t0)).toEqual({ kind: "duplicate", result: ok(4) });
});

test("an acknowledgement that arrives late or twice takes nothing back", () => {
  const table = new SessionTable();
  for (let sequence = 1; sequence <= 4; sequence++) apply(table, stamp("s", sequence), sequence);
  apply(table, stamp("s", 5, 4), 5);
  apply(table, stamp("s", 6, 2), 6);
  expect(table.admit(stamp("s", 5), t0)).toEqual({ kind: "duplicate", result: ok(5) });
});

test("so many results are kept, and one more command waits for an acknowledgement", () => {
  const table = new SessionTable();
  for (let sequence = 1; sequence <= sessionResultsMax; sequence++)
    apply(table, stamp("s", sequence), sequence);
  const next = sessionResultsMax + 1;
  expect(table.admit(stamp("s", next), t0)).toEqual(outOfOrder);
  expect(table.admit(stamp("s", 1), t0)).toEqual({ kind: "duplicate", result: ok(1) });
  apply(table, stamp("s", next, 1), next);
  expect(restored(table).admit(stamp("s", 2), t0)).toEqual({ kind: "duplicate", result: ok(2) });
});

test("a session lives for its life after its last command, to the millisecond", () => {
  const table = new SessionTable();
  apply(table, stamp("s", 1), 1);
  apply(table, stamp("s", 2), 2, t0 + sessionLifeMs);
  expect(table.admit(stamp("s", 3), t0 + 2 * sessionLifeMs)).toEqual({ kind: "apply" });
  expect(table.admit(stamp("s", 3), t0 + 2 * sessionLifeMs + 1)).toEqual(ended);
});

test("no retry opens an expired session again, not even its first command", () => {
  const table = new SessionTable();
  apply(table, stamp("s", 1), 1);
  for (const later of [1, 2, sessionLifeMs, 1e12])
    expect(table.admit(stamp("s", 1), t0 + sessionLifeMs + later)).toEqual(ended);
});

test("a session that is born in the log's future lives a life from its birth", () => {
  const table = new SessionTable();
  const born = t0 + 50_000;
  apply(table, stamp("s", 1, 0, born), 1);
  expect(table.admit(stamp("s", 1, 0, born), born + sessionLifeMs).kind).toBe("duplicate");
  expect(table.admit(stamp("s", 1, 0, born), born + sessionLifeMs + 1)).toEqual(ended);
});

test("an evicted session is never opened again by its own retry, also after a restart", () => {
  const table = new SessionTable(0, 2);
  apply(table, stamp("a", 1, 0, t0), 1);
  apply(table, stamp("b", 1, 0, t0 + 1), 2);
  apply(table, stamp("c", 1, 0, t0 + 2), 3);
  expect(table.size).toBe(2);
  for (const one of [table, restored(table, 2)]) {
    expect(one.admit(stamp("a", 1, 0, t0), t0)).toEqual(ended);
    expect(one.admit(stamp("a", 2, 0, t0), t0)).toEqual(ended);
    expect(one.admit(stamp("b", 1, 0, t0 + 1), t0).kind).toBe("duplicate");
    expect(one.admit(stamp("d", 1, 0, t0 + 1), t0)).toEqual({ kind: "apply" });
  }
});

test("the session that was quiet for the longest is evicted, not the oldest one", () => {
  const table = new SessionTable(0, 2);
  apply(table, stamp("a", 1), 1);
  apply(table, stamp("b", 1, 0, t0 + 1), 2);
  apply(table, stamp("a", 2), 3);
  apply(table, stamp("c", 1, 0, t0 + 2), 4);
  expect(table.admit(stamp("a", 3), t0)).toEqual({ kind: "apply" });
  expect(table.admit(stamp("b", 2, 0, t0 + 1), t0)).toEqual(ended);
});

test("expired sessions go first, and bar nobody from opening", () => {
  const table = new SessionTable(0, 2);
  const later = t0 + sessionLifeMs + 1;
  apply(table, stamp("a", 1), 1);
  apply(table, stamp("b", 1, 0, later - 10), 2, later - 10);
  apply(table, stamp("c", 1, 0, later - 20), 3, later);
  expect(table.size).toBe(2);
  expect(table.bornFloorMs).toBe(0);
});

test("two sessions of one name are told apart by their birth", () => {
  const table = new SessionTable();
  apply(table, stamp("s", 1), 1);
  expect(table.admit(stamp("s", 1, 0, t0 + 5), t0)).toEqual(ended);
  const later = t0 + sessionLifeMs + 1;
  apply(table, stamp("s", 1, 0, later), 2, later);
  expect(table.admit(stamp("s", 2), later)).toEqual(ended);
  expect(table.admit(stamp("s", 1, 0, later), later)).toEqual({ kind: "duplicate", result: ok(2) });
});

test("a stored session with any part missing, or more than there can be, is refused", () => {
  const table = new SessionTable();
  apply(table, stamp("s", 1), 1);
  apply(table, stamp("s", 2), 300);
  const record = table.takeChanges()[0]!.record!;
  for (let length = 0; length < record.length; length++)
    expect(() => new SessionTable().restore([{ name: "s", record: record.subarray(0, length) }])).toThrow(
      DecodeError,
    );
  const longer = new Uint8Array([...record, 0]);
  expect(() => new SessionTable().restore([{ name: "s", record: longer }])).toThrow(DecodeError);
});

test("a session that ends before it was stored leaves nothing to store", () => {
  const table = new SessionTable(0, 2);
  for (let at = 1; at <= 1_000; at++) apply(table, stamp(`s${at}`, 1, 0, t0 + at), at);
  expect(table.takeChanges().map(({ name }) => name)).toEqual(["s999", "s1000"]);
  expect(table.hasChanges).toBe(false);
});

test("a stored session that ended is deleted before a new one of its name is stored", () => {
  const table = new SessionTable(0, 1);
  apply(table, stamp("a", 1, 0, t0), 1);
  table.takeChanges();
  const later = t0 + sessionLifeMs + 1;
  apply(table, stamp("a", 1, 0, later), 2, later);
  expect(table.takeChanges(1)).toEqual([{ name: "a", record: undefined }]);
  expect(table.takeChanges(1)[0]!.record).toBeDefined();
  // The second one ends unstored: only the first one's record is there to be deleted.
  apply(table, stamp("a", 2, 0, later), 3, later);
  apply(table, stamp("b", 1, 0, later + 1), 4, later);
  apply(table, stamp("c", 1, 0, later + 2), 5, later);
  expect(table.takeChanges()).toMatchObject([{ name: "a", record: undefined }, { name: "c" }]);
});

test("changes are taken in slices, and one that changes again in between is taken again", () => {
  const table = new SessionTable();
  for (let at = 1; at <= 5; at++) apply(table, stamp(`s${at}`, 1, 0, t0 + at), at);
  const namesOf = (count: number) => table.takeChanges(count).map(({ name }) => name);
  expect(namesOf(2)).toEqual(["s1", "s2"]);
  apply(table, stamp("s1", 2, 0, t0 + 1), 6);
  expect(namesOf(2)).toEqual(["s3", "s4"]);
  expect(namesOf(2)).toEqual(["s5", "s1"]);
  expect(table.hasChanges).toBe(false);
});

test("opening a session takes as long with many sessions as with few, also when all others have just expired", () => {
  const [few, many] = [new SessionTable(0, 64), new SessionTable()];
  let index = 0;
  const open = (table: SessionTable, clockMs: number) => {
    const one = stamp(`s${++index}`, 1, 0, clockMs + index);
    table.record(one, index, clockMs, ok(index));
  };
  while (many.size < sessionsMax) open(many, t0);
  while (few.size < 64) open(few, t0);
  /** The best of some rounds: a busy machine makes some slower, and none faster. */
  const bestMs = (table: SessionTable, clockMs: number) => {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 8; round++) {
      const startMs = performance.now();
      for (let count = 0; count < 2_000; count++) open(table, clockMs);
      best = Math.min(best, performance.now() - startMs);
    }
    return best;
  };
  expect(bestMs(many, t0) / bestMs(few, t0)).toBeLessThan(8);
  const before = many.size;
  open(many, t0 + 2 * sessionLifeMs);
  expect(many.size).toBeGreaterThan(before - 10);
});

/** The table that a restart makes of this one. */
function restored(table: SessionTable, most?: number): SessionTable {
  const records = table.takeChanges().filter((change): change is { name: string; record: Bytes } => {
    return change.record !== undefined;
  });
  const twin = new SessionTable(table.bornFloorMs, most);
  twin.restore(records.reverse());
  return twin;
}
