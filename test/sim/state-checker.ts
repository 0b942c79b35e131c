import { decodeCommand } from "../../src/kv/command.ts";
import type { Result } from "../../src/kv/result.ts";
import type { StateMachine } from "../../src/kv/state-machine.ts";
import { assert } from "../../src/lib/assert.ts";
import { type Bytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import type { EntryId } from "../../src/raft/types.ts";

/** What applying one entry did, wherever and whenever it was applied. */
interface Applied {
  readonly hash: number;
  readonly revisionBefore: number;
  readonly status: Result["status"];
  readonly revision: number;
}

/** A key as it should be. */
interface Modelled {
  readonly value: string;
  readonly created: number;
  readonly modified: number;
  readonly count: number;
}

/** What tells one state from another at a glance. */
interface Mark {
  readonly hash: number;
  readonly revision: number;
  readonly sessions: number;
}

/**
 * Sees what every state machine does with every entry. The first one to apply an entry says what it does; all others, and
 * the same one after a restart, have to do the same (state machine safety, determinism). A dumb model follows along,
 * and every put, which has a value of its own, takes effect once.
 */
export class StateChecker {
  readonly #applied = new Map<number, Applied>();
  readonly #model = new Map<string, Modelled>();
  /** What each key was, and from which entry on, oldest first. */
  readonly #past = new Map<string, { readonly index: number; readonly value: Modelled | undefined }[]>();
  /** Of the state after an entry. */
  readonly #marks = new Map<number, Mark>();
  /** By value: the entry that put it. */
  readonly #putBy = new Map<string, number>();
  #revision = 0;
  #lastIndex = 0;

  /** `revision` is that of the state that the cluster was founded with. */
  constructor(base: { readonly revision: number; readonly entry: EntryId } | undefined) {
    if (base === undefined) return;
    this.#revision = base.revision;
    this.#lastIndex = base.entry.index;
    this.#marks.set(base.entry.index, { hash: 0, revision: base.revision, sessions: 0 });
  }

  /** All keys that were ever written. */
  readonly keys = new Set<string>();

  applied(machine: StateMachine, index: number, data: Bytes, revisionBefore: number, result: Result): void {
    const { status, revision } = result;
    const found = { hash: hashOf(data), revisionBefore, status, revision };
    const known = this.#applied.get(index);
    if (known === undefined) {
      this.#first(index, data, found);
      this.passed(machine, index);
      return;
    }
    const isSame =
      known.hash === found.hash &&
      known.revisionBefore === revisionBefore &&
      known.status === status &&
      known.revision === revision;
    if (!isSame)
      assert(
        false,
        `entry ${index} does the same everywhere: ${JSON.stringify(known)}, and ${JSON.stringify(found)}`,
      );
  }

  /** An entry was applied, whatever it is. */
  passed(machine: StateMachine, index: number): void {
    if (this.#marks.has(index)) return;
    const { hash, revision, sessionCount: sessions } = machine;
    this.#marks.set(index, { hash, revision, sessions });
  }

  /** A replica has taken up a whole state, after a start or from another one: it is that after entry `index`. */
  tookUp(name: string, machine: StateMachine, index: number): void {
    if (index === 0) return;
    const { hash, revision, sessionCount: sessions } = machine;
    const [found, wanted] = [{ hash, revision, sessions }, this.#marks.get(index)].map((each) =>
      JSON.stringify(each),
    );
    assert(found === wanted, `${name} takes up the state after entry ${index}: ${found}, right is ${wanted}`);
    for (const key of this.keys) this.#checkKey(name, machine, key, this.#pastOf(key, index));
  }

  /** The entry whose put of this value took effect. */
  entryOf(value: string): number | undefined {
    return this.#putBy.get(value);
  }

  /** Compares all that a replica holds with the model; it has applied everything that any replica has. */
  checkReplica(name: string, machine: StateMachine): void {
    assert(
      machine.revision === this.#revision,
      `${name} has revision ${machine.revision}, ${this.#revision} is right`,
    );
    for (const key of this.keys) this.#checkKey(name, machine, key, this.#model.get(key));
  }

  #checkKey(name: string, machine: StateMachine, key: string, wanted: Modelled | undefined): void {
    const record = machine.getRecord(toUtf8(key));
    const found =
      record === undefined
        ? undefined
        : {
            value: fromUtf8(record.value),
            created: record.created,
            modified: record.modified,
            count: record.count,
          };
    if (JSON.stringify(found) !== JSON.stringify(wanted))
      assert(false, `${name} holds "${key}" as ${JSON.stringify(found)}, right is ${JSON.stringify(wanted)}`);
  }

  #pastOf(key: string, index: number): Modelled | undefined {
    return this.#past.get(key)?.findLast((version) => version.index <= index)?.value;
  }

  #become(key: string, index: number, value: Modelled | undefined): void {
    if (value === undefined) this.#model.delete(key);
    else this.#model.set(key, value);
    const past = this.#past.get(key);
    if (past === undefined) this.#past.set(key, [{ index, value }]);
    else past.push({ index, value });
  }

  #first(index: number, data: Bytes, found: Applied): void {
    assert(index > this.#lastIndex, `entry ${index} is applied for the first time before any later one`);
    this.#lastIndex = index;
    this.#applied.set(index, found);
    const before = this.#revision;
    assert(
      found.revisionBefore === before,
      `entry ${index} finds revision ${found.revisionBefore}, right is ${before}`,
    );
    const hasEffect = found.revision === before + 1 && found.status === "OK";
    const command = decodeCommand(data);
    if (command.type === "clock" || command.type === "boots") return;
    const key = fromUtf8(command.key);
    this.keys.add(key);
    const old = this.#model.get(key);
    // A duplicate has the result of the original, whose revision lies further back.
    if (!hasEffect) return;
    this.#revision = found.revision;
    if (command.type === "delete") {
      assert(old !== undefined, `entry ${index} deletes "${key}", which does not exist`);
      this.#become(key, index, undefined);
      return;
    }
    const value = fromUtf8(command.value);
    const other = this.#putBy.get(value);
    assert(
      other === undefined,
      `the put of "${value.slice(0, 20)}" takes effect once: in entry ${other} and in ${index}`,
    );
    this.#putBy.set(value, index);
    const { created, count } = old ?? { created: found.revision, count: 0 };
    this.#become(key, index, { value, created, modified: found.revision, count: count + 1 });
  }
}

/** Without the time, which stands at the same place in every copy of the entry anyway. */
function hashOf(data: Bytes): number {
  return crc32(data, 0);
}
