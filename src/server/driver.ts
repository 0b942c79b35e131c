import type { Clock, Timer } from "../env/clock.ts";
import type { Result } from "../kv/result.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import type { LevelDB } from "../leveldb/level-db.ts";
import type { Bytes } from "../lib/bytes.ts";
import { KvraftError, messageOf } from "../lib/error.ts";
import type { Raft } from "../raft/raft.ts";
import type { ChangeResult, StartResult } from "../raft/raft-options.ts";
import type {
  Configuration,
  Entry,
  EntryId,
  Index,
  Message,
  NodeId,
  ReadState,
  Write,
} from "../raft/types.ts";
import type { Persister } from "../raftlog/persister.ts";
import { entryOverheadBytes } from "../raftlog/records.ts";
import type { LogCompaction } from "./log-compaction.ts";

/** Whom the driver serves. None of these calls comes back into the driver before it returns. */
export interface DriverOwner {
  /** A message leaves now; returns false when it cannot. */
  send(message: Message): boolean;
  /** The command of this entry was applied. */
  applied(id: EntryId, result: Result): void;
  /** Everything up to a read's index is applied: the reads of this context may be answered now. */
  readable(context: number): void;
  /** Committed entries have waited for so long for a store whose worker does not get on; or it gets on again. */
  storeHangs(forMs: number): void;
  storeGetsOn(): void;
  /** Other members are in force than before, committed or not. */
  configured(): void;
  /** A configuration was applied: it is committed, and stays. */
  configurationApplied(): void;
  /** An entry was applied, and everything before it. */
  reached(index: Index): void;
  /** The leader's log begins after what this node has: it needs the state instead. */
  snapshotOffered(from: NodeId): void;
  /** The node led a term, and does so no more: whoever waits for it waits in vain. */
  lostLeadership(): void;
  /** Right before messages are taken, once per turn: last chance to propose or to ask for reads. */
  turnBegins(): void;
  /** All messages of this turn were given to `send`: they may leave. */
  messagesSent(): void;
  /** The end of a turn: replies that were encoded may leave. */
  turnEnds(): void;
  /** The node cannot go on, and does nothing more. */
  failed(error: KvraftError): void;
}

export interface DriverOptions {
  readonly clock: Clock;
  readonly raft: Raft;
  readonly persister: Persister;
  readonly machine: StateMachine;
  readonly store: LevelDB;
  readonly compaction: LogCompaction;
  readonly tickMs: number;
  /**
   * Bytes of entries after which the store takes up what is applied although its memory is not full: what changes nothing
   * takes none, as deletes of keys that are not there, and the log behind it could never be dropped.
   */
  readonly unsealedBytesMax: number;
}

/** Bytes of entries that are applied before the clock is looked at again. */
const applySliceBytesMax = 128 * 1024;
/** Milliseconds that applying may take out of one turn: heartbeats and other clients come in between. */
const applyTurnMs = 4;
/** Sessions that are written to the store before the clock is looked at again, when it is to be sealed. */
const saveSliceSessions = 512;
/** And bytes of entries that are applied in between, so that the sessions become fewer. */
const savingSliceBytesMax = 16 * 1024;
/** What may be applied in a tick when the store begins to ask for slower writes; nothing is when it asks for none. */
const pressedTickBytesMax = 512 * 1024;
/** People are told of a store that hangs for so long. */
const hangToldMs = 1_000;
/** The store may tidy up when there were few entries in so many ticks. */
const restTicks = 200;
const restEntriesMax = 200;

/**
 * Runs the core against the world. Every event (a tick, messages, requests, a finished write) ends in the same
 * `drain`, once per turn of the event loop: messages leave, the next write begins unless one is in flight, what is
 * committed is applied, reads are answered. So all input of a turn is one batch, and whatever is proposed during a
 * write is the next write: group commit. There is no promise, and no closure per request.
 */
export class Driver {
  readonly #options: DriverOptions;
  readonly #owner: DriverOwner;
  readonly #raft: Raft;
  #isScheduled = false;
  #isStopped = false;
  #timer: Timer | undefined;
  #tickedAtMs: number;
  /** The last entry that the state machine has applied. */
  #appliedIndex: number;
  #appliedTerm: number;
  /** The term in which this node led when it last looked, or 0. */
  #ledTerm = 0;
  /** The term whose first entry, the no-op, this node has applied as its leader; before that it serves nobody. */
  #readyTerm = 0;
  /** Confirmed reads whose index is not applied yet, in order of their index. */
  #unreadable: ReadState[] = [];
  /** The members that were in force when it last looked. */
  #configuration: Configuration;
  /** A snapshot is about to take the place of the state: nothing may change it meanwhile. */
  #isRestoring = false;
  /** The last entry whose effects are in a run, or in the memtable that was sealed to become one. */
  #sealedIndex: number;
  /** Somebody waits for the store to take up what is applied. */
  #isSealAsked = false;
  /** Bytes of the entries that were applied since. */
  #unsealedBytes = 0;
  /** Bytes that were applied in this tick while the store asked for slower writes. */
  #pressedBytes = 0;
  /** Whether committed entries had to wait for the store in this tick; and what its worker had done when it began. */
  #hasWaited = false;
  #workerSlices = 0;
  /** Ticks, one after the other, in which entries had to wait and the worker has done nothing. */
  #heldUpTicks = 0;
  /** Ticks since it was last looked how much there is to apply, and the last entry then. */
  #restTicks = 0;
  #restIndex = 0;

  constructor(options: DriverOptions, owner: DriverOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#raft = options.raft;
    this.#appliedIndex = options.store.applied.index;
    this.#appliedTerm = options.store.applied.term;
    this.#sealedIndex = this.#appliedIndex;
    this.#configuration = options.raft.configuration;
    this.#tickedAtMs = options.clock.monotonicMs();
    this.#timer = options.clock.after(options.tickMs, () => this.#onTimer());
    this.schedule();
  }

  get applied(): EntryId {
    return { index: this.#appliedIndex, term: this.#appliedTerm };
  }

  /** Whether this node leads and has applied everything that earlier leaders may have committed. */
  get isReady(): boolean {
    return this.#raft.isLeader && this.#readyTerm === this.#raft.term;
  }

  /** Returns why no honest member can have sent it; then nothing was done. */
  step(message: Message): string | undefined {
    if (this.#isStopped) return undefined;
    let problem: string | undefined;
    this.#guard(() => {
      problem = this.#raft.step(message);
    });
    this.schedule();
    return problem;
  }

  start(command: Bytes): StartResult {
    this.schedule();
    return this.#raft.start(command);
  }

  /** May be tried at the end of each turn: what is refused makes no turn follow. */
  changeConfiguration(data: Bytes): ChangeResult {
    const result = this.#raft.changeConfiguration(data);
    if (result.ok) this.schedule();
    return result;
  }

  transferLeadership(to?: NodeId): boolean {
    this.schedule();
    return this.#raft.transferLeadership(to);
  }

  reportGone(id: NodeId): void {
    this.#raft.reportGone(id);
  }

  /** Makes the store take up what is applied up to entry `index`, beside the event loop, as soon as it can. */
  sealUpTo(index: Index): void {
    if (this.#isRestoring || this.#sealedIndex >= index) return;
    this.#isSealAsked = true;
    this.schedule();
  }

  /**
   * From now on nothing is applied, until `restored`: a snapshot of the state after entry `index` is being swapped in.
   * Returns false when the state is as new as that by itself.
   */
  beginRestore(index: number): boolean {
    if (this.#isStopped || this.#isRestoring || index <= this.#appliedIndex) return false;
    this.#isRestoring = true;
    return true;
  }

  /** The snapshot was no good, and the state is as it was. */
  abandonRestore(): void {
    this.#isRestoring = false;
    this.schedule();
  }

  /** The store holds the snapshot's state now, durably, and MANIFEST says that the log begins after it. */
  restored(configuration: Configuration): void {
    const { store, machine } = this.#options;
    const { index, term } = store.applied;
    this.#guard(() => {
      machine.restore(index);
      this.#isRestoring = false;
      this.#appliedIndex = index;
      this.#appliedTerm = term;
      this.#sealedIndex = index;
      this.#isSealAsked = false;
      this.#unsealedBytes = 0;
      this.#raft.restore({ index, term }, configuration);
    });
    this.schedule();
  }

  readIndex(context: number): boolean {
    return this.#raft.readIndex(context).ok;
  }

  reportUnreachable(id: Parameters<Raft["reportUnreachable"]>[0]): void {
    this.#raft.reportUnreachable(id);
  }

  /** Makes sure that a drain follows the input of this turn. */
  schedule(): void {
    if (this.#isScheduled || this.#isStopped) return;
    this.#isScheduled = true;
    this.#options.clock.soon(this.#drain);
  }

  /** Nothing happens any more. A write in flight is left to the disk. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Stores the state as it is, so that the next start has nothing to replay. For a graceful stop. */
  flushStore(): void {
    // What is being swapped in may be there at the next start or not: both are whole states.
    if (this.#isRestoring) return;
    this.#options.store.flushSealed();
    if (this.#appliedIndex === this.#sealedIndex) return;
    this.#sealStore();
    this.#options.store.flushSealed();
  }

  readonly #drain = (): void => {
    this.#isScheduled = false;
    if (this.#isStopped) return;
    this.#guard(() => {
      this.#owner.turnBegins();
      this.#noticeRole();
      this.#noticeConfiguration();
      this.#sendMessages();
      this.#startWrite();
      if (!this.#applyCommitted()) this.schedule();
      this.#answerReads();
      this.#owner.turnEnds();
    });
  };

  /** Late ticks count once; and input that has arrived is read before a late tick can time out an election. */
  #onTimer(): void {
    if (this.#isStopped) return;
    const { clock, tickMs } = this.#options;
    const passedTicks = Math.floor((clock.monotonicMs() - this.#tickedAtMs) / tickMs);
    if (passedTicks > 2) {
      this.#raft.overslept(passedTicks);
      clock.soon(() => clock.soon(() => this.#tick()));
    } else this.#tick();
  }

  #tick(): void {
    if (this.#isStopped) return;
    const { clock, tickMs } = this.#options;
    this.#tickedAtMs = clock.monotonicMs();
    this.#timer = clock.after(tickMs, () => this.#onTimer());
    this.#pressedBytes = 0;
    this.#guard(() => {
      this.#noticeHangingStore();
      this.#raft.tick();
      this.#restStore();
      if (!this.#isRestoring) this.#options.compaction.tick();
    });
    this.schedule();
  }

  /** A store that is slow gets on, and is waited for; with one that hangs this node must not lead. */
  #noticeHangingStore(): void {
    const { store, tickMs } = this.#options;
    const isHeldUp = this.#hasWaited && store.workerSlices === this.#workerSlices;
    this.#workerSlices = store.workerSlices;
    this.#hasWaited = false;
    this.#raft.reportStore(isHeldUp);
    const wasTold = this.#heldUpTicks * tickMs >= hangToldMs;
    this.#heldUpTicks = isHeldUp ? this.#heldUpTicks + 1 : 0;
    const heldUpMs = this.#heldUpTicks * tickMs;
    if (wasTold !== heldUpMs >= hangToldMs)
      if (wasTold) this.#owner.storeGetsOn();
      else this.#owner.storeHangs(heldUpMs);
  }

  #noticeWaiting(): void {
    const { commit, durable } = this.#raft.getState();
    this.#hasWaited ||= this.#appliedIndex < Math.min(commit, durable);
  }

  /** Tells the store, now and then, whether many writes come. */
  #restStore(): void {
    if (this.#isRestoring) return;
    if (++this.#restTicks < restTicks) return;
    this.#options.store.rest(this.#appliedIndex - this.#restIndex <= restEntriesMax);
    this.#restTicks = 0;
    this.#restIndex = this.#appliedIndex;
  }

  /**
   * MANIFEST will say that the store goes up to what is applied now: so the machine puts the rest of its state in. Of many
   * sessions it puts in so many at a time, and the store is sealed only after the last of them. Returns whether it was.
   */
  #sealStore(sessionsMax = Number.POSITIVE_INFINITY): boolean {
    if (!this.#options.machine.save(sessionsMax)) return false;
    this.#options.store.seal(this.applied);
    this.#sealedIndex = this.#appliedIndex;
    this.#isSealAsked = false;
    this.#unsealedBytes = 0;
    return true;
  }

  get #isSealDue(): boolean {
    const { store, unsealedBytesMax } = this.#options;
    return (store.isFull || this.#unsealedBytes >= unsealedBytesMax || this.#isSealAsked) && store.canSeal;
  }

  #noticeRole(): void {
    const term = this.#raft.isLeader ? this.#raft.term : 0;
    if (term === this.#ledTerm) return;
    if (this.#ledTerm !== 0) {
      this.#unreadable = [];
      this.#owner.lostLeadership();
    }
    this.#ledTerm = term;
  }

  #noticeConfiguration(): void {
    if (this.#raft.configuration === this.#configuration) return;
    this.#configuration = this.#raft.configuration;
    this.#owner.configured();
  }

  #sendMessages(): void {
    for (const message of this.#raft.takeMessages())
      if (!this.#owner.send(message) && message.kind === "append-entries")
        this.#raft.reportUnreachable(message.to);
    this.#owner.messagesSent();
    const offeredBy = this.#raft.takeSnapshotOffer();
    if (offeredBy !== undefined) this.#owner.snapshotOffered(offeredBy);
  }

  #startWrite(): void {
    const write = this.#raft.takeWrite();
    if (write === undefined) return;
    this.#options.persister.saveRaftState(write, (error) => this.#wrote(write, error));
  }

  /** After a write or a sync that failed nothing about the file may be believed: the node stops. */
  #wrote(write: Write, error: Error | undefined): void {
    if (this.#isStopped) return;
    if (error !== undefined) return this.#fail(error);
    this.#guard(() => this.#raft.wrote(write.id));
    this.schedule();
  }

  /** Applies what is committed for a few milliseconds. Returns whether that was all of it that may be applied now. */
  #applyCommitted(): boolean {
    const { clock } = this.#options;
    let untilMs = 0;
    let appliedCount = 0;
    for (;;) {
      // An entry changes one session. So the sessions that are left to save become fewer with each round.
      const isSaving =
        !this.#isRestoring && this.#isSealDue && !this.#sealStore(saveSliceSessions + 2 * appliedCount);
      // After that: what is not sealed can be why nothing may be applied.
      const bytesMax = Math.min(this.#applyBytesMax(), isSaving ? savingSliceBytesMax : applySliceBytesMax);
      const entries = bytesMax === 0 ? [] : this.#raft.takeCommitted(bytesMax);
      if (bytesMax === 0) this.#noticeWaiting();
      if (entries.length === 0) return !isSaving;
      for (const entry of entries) this.#apply(entry);
      appliedCount = entries.length;
      if (untilMs === 0) untilMs = clock.monotonicMs() + applyTurnMs;
      else if (clock.monotonicMs() >= untilMs) return false;
    }
  }

  /**
   * Writes that come faster than the store's worker can take them wait, the longer the more memory waits for it; and all
   * of them while another state is swapped in.
   */
  #applyBytesMax(): number {
    if (this.#isRestoring) return 0;
    const { pressure } = this.#options.store;
    if (pressure === 0) return Number.POSITIVE_INFINITY;
    // A whole number: so many bytes may be read from the disk.
    return Math.max(0, Math.floor((1 - pressure) * pressedTickBytesMax) - this.#pressedBytes);
  }

  #apply(entry: Entry): void {
    const { machine } = this.#options;
    this.#appliedIndex = entry.index;
    this.#appliedTerm = entry.term;
    this.#pressedBytes += entry.data.length;
    this.#unsealedBytes += entry.data.length + entryOverheadBytes;
    if (entry.kind === "command") this.#owner.applied(entry, machine.applyCommand(entry.index, entry.data));
    else if (entry.kind === "config") {
      machine.applyConfiguration(entry.index, entry.data);
      this.#owner.configurationApplied();
    } else {
      machine.applyNoop(entry.index);
      if (this.#raft.isLeader && entry.term === this.#raft.term) this.#readyTerm = entry.term;
    }
    this.#owner.reached(entry.index);
  }

  #answerReads(): void {
    for (const read of this.#raft.takeReads()) this.#unreadable.push(read);
    while (this.#unreadable.length > 0 && this.#unreadable[0]!.index <= this.#appliedIndex)
      this.#owner.readable(this.#unreadable.shift()!.context);
  }

  /** Failures of the environment stop the node; bugs are not caught. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#fail(error);
    }
  }

  #fail(error: Error): void {
    this.stop();
    const cause = error instanceof KvraftError ? error : new KvraftError("IO_ERROR", messageOf(error));
    this.#owner.failed(cause);
  }
}
