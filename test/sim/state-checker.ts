import { decodeCommand } from "../../src/kv/command.ts";
import type { Result } from "../../src/kv/result.ts";
import type { StateMachine } from "../../src/kv/state-machine.ts";
import { assert } from "../../src/lib/assert.ts";
import { type Bytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";

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

/**
 * Sees what every state machine does with every entry. The first one to apply an entry says what it does; all others, and
 * the same one after a restart, have to do the same (state machine safety, determinism). A dumb model follows along,
 * and every put, which has a value of its own, takes effect once.
 */
export class StateChecker {
  readonly #applied = new Map<number, Applied>();
  readonly #model = new Map<string, Modelled>();
  /** By value: the entry that put it. */
  readonly #putBy = new Map<string, number>();
  #revision = 0;
  #lastIndex = 0;

  /** All keys that were ever written. */
  readonly keys = new Set<string>();

  applied(_: StateMachine, index: number, data: Bytes, revisionBefore: number, result: Result): void {
    const { status, revision } = result;
    const found = { hash: hashOf(data), revisionBefore, status, revision };
    const known = this.#applied.get(index);
    if (known === undefined) {
      this.#first(index, data, found);
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
    for (const key of this.keys) {
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
      const wanted = this.#model.get(key);
      if (JSON.stringify(found) !== JSON.stringify(wanted))
        assert(
          false,
          `${name} holds "${key}" as ${JSON.stringify(found)}, right is ${JSON.stringify(wanted)}`,
        );
    }
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
    const key = fromUtf8(command.key);
    this.keys.add(key);
    const old = this.#model.get(key);
    // A duplicate has the result of the original, whose revision lies further back.
    if (!hasEffect) return;
    this.#revision = found.revision;
    if (command.type === "delete") {
      assert(old !== undefined, `entry ${index} deletes "${key}", which does not exist`);
      this.#model.delete(key);
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
    this.#model.set(key, { value, created, modified: found.revision, count: count + 1 });
  }
}

/** Without the time, which stands at the same place in every copy of the entry anyway. */
function hashOf(data: Bytes): number {
  return crc32(data, 0);
}
