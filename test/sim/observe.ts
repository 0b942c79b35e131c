import type { Result } from "../../src/kv/result.ts";
import { StateMachine } from "../../src/kv/state-machine.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import { describeMessage } from "../../src/raft/describe.ts";
import { Raft } from "../../src/raft/raft.ts";
import type {
  Configuration,
  Entry,
  EntryId,
  Message,
  NodeId,
  ReadState,
  Write,
} from "../../src/raft/types.ts";
import { Persister } from "../../src/raftlog/persister.ts";

/**
 * Who watches the cores and the state machines of a run from outside. Whatever an observer throws ends the run.
 */
export interface Observer {
  /** Before the first call into a core. */
  born(raft: Raft): void;
  /** Before a tick. */
  ticked(raft: Raft): void;
  /** Before a message is handed to the core. */
  heard(raft: Raft, message: Message): void;
  /** Before the core is told that its write is durable. */
  writeEnded(raft: Raft): void;
  /** After a call into the core that may have changed its state. */
  stepped(raft: Raft): void;
  /** These messages leave the core. */
  sent(raft: Raft, messages: readonly Message[]): void;
  /** This write leaves the core. */
  writeBegan(raft: Raft, write: Write): void;
  /** Before a read is asked for. */
  readAsked(raft: Raft, context: number): void;
  /** These reads may be answered. */
  readsConfirmed(raft: Raft, reads: readonly ReadState[]): void;
  /** These entries leave the core, to be applied. */
  committed(raft: Raft, entries: readonly Entry[]): void;
  /** Before the core is told that the process which led it is gone. */
  toldGone(raft: Raft, id: NodeId): void;
  /** Before the core is told that the process of this node counts no more. */
  forgot(raft: Raft, id: NodeId): void;
  /** Before the core is told that a snapshot has taken the place of the state. */
  restored(raft: Raft, snapshot: EntryId, configuration: Configuration): void;
  /** A state machine has taken up what its store holds: the state after entry `index`. */
  tookUp(machine: StateMachine, index: number): void;
  /** A log was looked at for what may be dropped, and begins there now. */
  compacted(log: Persister, upTo: number, firstIndexBefore: number): void;
  /** A state machine has applied an entry that is no command. */
  passed(machine: StateMachine, index: number): void;
  /** A state machine has applied a command, with this result. */
  applied(machine: StateMachine, index: number, data: Bytes, revisionBefore: number, result: Result): void;
}

let observer: Observer | undefined;

/** Sets who watches, or nobody. One simulation runs at a time. */
export function observe(by: Observer | undefined): void {
  observer = by;
}

const known = new WeakSet<Raft>();

function meet(raft: Raft): Observer | undefined {
  if (observer === undefined || known.has(raft)) return observer;
  known.add(raft);
  observer.born(raft);
  return observer;
}

// The nodes are made deep inside of a server. So the methods of their classes are wrapped here, once, for this process: the
// production code has no hook for it and does not know.

const { tick, overslept, step, start, readIndex, wrote } = Raft.prototype;
const { changeConfiguration, transferLeadership, reportGone, restore, forget } = Raft.prototype;
const { takeMessages, takeWrite, takeCommitted, takeReads } = Raft.prototype;

Raft.prototype.tick = function (this: Raft): void {
  meet(this)?.ticked(this);
  tick.call(this);
  observer?.stepped(this);
};

Raft.prototype.overslept = function (this: Raft, ticks: number): void {
  meet(this);
  overslept.call(this, ticks);
  observer?.stepped(this);
};

Raft.prototype.step = function (this: Raft, message: Message): string | undefined {
  const watcher = meet(this);
  watcher?.heard(this, message);
  const problem = step.call(this, message);
  assert(
    problem === undefined || watcher === undefined,
    `what members send each other is never refused: ${describeMessage(message)}: ${problem}`,
  );
  observer?.stepped(this);
  return problem;
};

Raft.prototype.start = function (this: Raft, command: Bytes) {
  meet(this);
  const result = start.call(this, command);
  observer?.stepped(this);
  return result;
};

Raft.prototype.changeConfiguration = function (this: Raft, data: Bytes) {
  meet(this);
  const result = changeConfiguration.call(this, data);
  observer?.stepped(this);
  return result;
};

Raft.prototype.transferLeadership = function (this: Raft, to?: NodeId) {
  meet(this);
  const result = transferLeadership.call(this, to);
  observer?.stepped(this);
  return result;
};

Raft.prototype.reportGone = function (this: Raft, id: NodeId): void {
  meet(this)?.toldGone(this, id);
  reportGone.call(this, id);
  observer?.stepped(this);
};

Raft.prototype.forget = function (this: Raft, id: NodeId): void {
  meet(this)?.forgot(this, id);
  forget.call(this, id);
  observer?.stepped(this);
};

Raft.prototype.restore = function (this: Raft, snapshot: EntryId, configuration: Configuration): void {
  meet(this)?.restored(this, snapshot, configuration);
  restore.call(this, snapshot, configuration);
  observer?.stepped(this);
};

Raft.prototype.wrote = function (this: Raft, id: number): void {
  observer?.writeEnded(this);
  wrote.call(this, id);
  observer?.stepped(this);
};

Raft.prototype.takeMessages = function (this: Raft): readonly Message[] {
  meet(this);
  const messages = takeMessages.call(this);
  if (messages.length > 0) observer?.sent(this, messages);
  return messages;
};

Raft.prototype.takeWrite = function (this: Raft): Write | undefined {
  const write = takeWrite.call(this);
  if (write !== undefined) observer?.writeBegan(this, write);
  return write;
};

Raft.prototype.takeCommitted = function (this: Raft, bytesMax: number): readonly Entry[] {
  const entries = takeCommitted.call(this, bytesMax);
  if (entries.length > 0) observer?.committed(this, entries);
  return entries;
};

Raft.prototype.readIndex = function (this: Raft, context: number) {
  observer?.readAsked(this, context);
  return readIndex.call(this, context);
};

Raft.prototype.takeReads = function (this: Raft): readonly ReadState[] {
  const reads = takeReads.call(this);
  if (reads.length > 0) observer?.readsConfirmed(this, reads);
  return reads;
};

const { applyCommand, applyConfiguration, applyNoop } = StateMachine.prototype;
const takeUp = StateMachine.prototype.restore;

StateMachine.prototype.restore = function (this: StateMachine, index: number): void {
  takeUp.call(this, index);
  observer?.tookUp(this, index);
};

StateMachine.prototype.applyConfiguration = function (this: StateMachine, index: number, data: Bytes): void {
  applyConfiguration.call(this, index, data);
  observer?.passed(this, index);
};

StateMachine.prototype.applyNoop = function (this: StateMachine, index: number): void {
  applyNoop.call(this, index);
  observer?.passed(this, index);
};

const { compact } = Persister.prototype;

Persister.prototype.compact = function (this: Persister, keep): boolean {
  const before = this.firstIndex;
  const isMore = compact.call(this, keep);
  observer?.compacted(this, keep.upTo, before);
  return isMore;
};

StateMachine.prototype.applyCommand = function (this: StateMachine, index: number, data: Bytes): Result {
  const before = this.revision;
  const result = applyCommand.call(this, index, data);
  observer?.applied(this, index, data, before, result);
  return result;
};
