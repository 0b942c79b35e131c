/** Goal: the state of a restored cluster is one that a state machine takes up, and no session of the old one lives on. */
import { expect, test } from "bun:test";
import { restoredRevision, restoredState } from "../../src/backup/restored-state.ts";
import { stateRowOf } from "../../src/backup/state-row.ts";
import type { BackupRow } from "../../src/env/sqlite-backup.ts";
import { StateMachine } from "../../src/kv/state-machine.ts";
import type { StoredRecord } from "../../src/kv/store.ts";
import { decodeRows } from "../../src/leveldb/row-chunk.ts";
import { concatBytes, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { bornAheadMsMax } from "../../src/server/limits.ts";
import { MapStore } from "../kv/map-store.ts";
import { origin } from "./folders.ts";

const backup = { ...origin, revision: 100, clockMs: 1_000_000, keys: 3, bytes: 0 };
const users: BackupRow[] = ["", "a", "b"].map((key, at) => ({
  key: toUtf8(key),
  value: new Uint8Array(at * 700_000).fill(at),
  created: at + 1,
  modified: 50 + at,
  count: at + 1,
}));

function machineOf(): StateMachine {
  const chunks = [...restoredState(backup, users)];
  expect(chunks.length).toBe(2);
  const records = new Map<string, StoredRecord>();
  // All chunks together are in order, too.
  for (const row of decodeRows(concatBytes(chunks))) {
    const { key, ...record } = stateRowOf(row);
    records.set(toHex(key), record);
  }
  return new StateMachine(new MapStore(records), 1);
}

test("keys and lives are there, the revision is ahead of all that the old cluster gave, and no session or member is", () => {
  const machine = machineOf();
  for (const { key, ...record } of users) expect(machine.getRecord(key)).toEqual(record);
  expect([machine.revision, machine.sessionCount]).toEqual([100 + 2 ** 32, 0]);
  expect(machine.configuration).toBeUndefined();
});

test("no session of the old cluster opens again, and a new one opens at once", () => {
  const machine = machineOf();
  const admit = (bornMs: number) => machine.admit({ name: "s", sequence: 1, acknowledged: 0, bornMs }).kind;
  for (const bornMs of [0, backup.clockMs - 700_000, backup.clockMs, backup.clockMs + bornAheadMsMax])
    expect(admit(bornMs)).toBe("refuse");
  // A node tells its clients the log's time at least.
  expect(admit(machine.clockMs)).toBe("apply");
});

test("a backup whose revision leaves no room below 2^53 is refused", () => {
  const highest = 2 ** 53 - 1 - 2 * 2 ** 32;
  expect(restoredRevision({ revision: highest })).toBe(highest + 2 ** 32);
  for (const revision of [highest + 1, Number.MAX_SAFE_INTEGER])
    expect(() => restoredRevision({ revision })).toThrow("there are no revisions above 2^53");
});
