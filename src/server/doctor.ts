/**
 * The data folder of a node that does not run, looked at as a whole: identity, Raft log, store, and whether they
 * belong together. Nothing in it is changed; its lock is held meanwhile.
 */
import type { DiskLock } from "../env/disk.ts";
import { type CheckEnv, checkStore, type StoreCheck, type StoreSummary } from "../leveldb/check-store.ts";
import { equalBytes } from "../lib/bytes.ts";
import { type ErrorCode, KvraftError, replaceNodeAdvice } from "../lib/error.ts";
import { type Finding, type Progress, problemOf } from "../lib/examination.ts";
import { checkLog, type LogCheck, type LogSummary, ownerOfLog } from "../raftlog/check-log.ts";
import type { LogOwner } from "../raftlog/options.ts";
import { BootList } from "./boot-list.ts";
import { BootMemory } from "./boot-memory.ts";
import { condemnationOf, restoredEntry } from "./data-folder.ts";
import { type FolderIdentity, readIdentity } from "./identity.ts";
import { encodeMembers } from "./members.ts";

/** A finding, and what a person can do about it. */
export interface Diagnosed extends Finding {
  readonly advice: string;
}

export interface Diagnosis {
  /** Whether nothing is damaged. */
  readonly ok: boolean;
  readonly findings: readonly Diagnosed[];
  /** What is no damage, and may be good to know. */
  readonly notes: readonly string[];
  /** Undefined where a part cannot be read, or is not there. */
  readonly identity: FolderIdentity | undefined;
  readonly log: LogSummary | undefined;
  readonly store: StoreSummary | undefined;
}

export interface DoctorProgress extends Progress {
  readonly part: "log" | "store";
}

/**
 * Examines a folder, some of it between two yields. NOT_FOUND when it is no data folder, LOCKED while it is in use;
 * what is damaged is no error but a finding.
 */
export function* examineDataFolder(env: CheckEnv, folder: string): Generator<DoctorProgress, Diagnosis> {
  checkIsDataFolder(env, folder);
  const lock = takeLock(env, folder);
  try {
    const examination = new Examination(env, folder);
    examination.readIdentity();
    examination.readCondemnation();
    examination.checkBoots();
    for (const progress of examination.checkLog()) yield { part: "log", ...progress };
    for (const progress of examination.checkStore()) yield { part: "store", ...progress };
    return examination.conclude();
  } finally {
    lock.release();
  }
}

/** Before a lock is taken: it would leave a file in a folder that is none of kvraft's. */
function checkIsDataFolder({ disk }: CheckEnv, folder: string): void {
  const isData = (name: string) => name.endsWith(".log") || name.endsWith(".run") || name === "MANIFEST";
  const hasData = (part: string) => disk.list(`${folder}/${part}`).some(isData);
  if (disk.exists(`${folder}/identity`) || hasData("log") || hasData("store")) return;
  const why = disk.exists(folder)
    ? "it is no node's data folder: it holds no identity, no Raft log and no store"
    : "there is no such folder";
  throw new KvraftError(
    "NOT_FOUND",
    `Cannot check "${folder}": ${why}; name the dataDir of a server's configuration, or one of the folders serverN that ` +
      "kvraft dev keeps below its own",
  );
}

function takeLock({ disk }: CheckEnv, folder: string): DiskLock {
  const lock = disk.lock(`${folder}/LOCK`);
  if (lock !== undefined) return lock;
  throw new KvraftError(
    "LOCKED",
    `Cannot check "${folder}": another process uses it; stop the server that has it as its dataDir, and try again`,
  );
}

class Examination {
  readonly #env: CheckEnv;
  readonly #folder: string;
  readonly #findings: Finding[] = [];
  readonly #notes: string[] = [];
  #identity: FolderIdentity | undefined;
  #log: LogCheck | undefined;
  #store: StoreCheck | undefined;

  constructor(env: CheckEnv, folder: string) {
    this.#env = env;
    this.#folder = folder;
  }

  readCondemnation(): void {
    const condemned = condemnationOf(this.#env.disk, this.#folder);
    if (condemned?.what === "state")
      this.#find("CORRUPTION", `${this.#folder}/condemned`, condemned.why, "the state that a majority has");
    else if (condemned !== undefined)
      this.#find("IDENTITY", `${this.#folder}/condemned-boots`, condemned.why, "the folder that ran last");
  }

  readIdentity(): void {
    const file = `${this.#folder}/identity`;
    try {
      this.#identity = readIdentity(this.#env.disk, this.#folder);
      if (this.#identity !== undefined) this.#checkMembers(file, this.#identity);
      else
        this.#find(
          "IDENTITY",
          file,
          "no such file",
          "the identity of the node whose log and store these are",
        );
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#find(error.code, file, problemOf(error), "a whole identity");
    }
  }

  /** Of a member: a folder without data may have none. */
  checkBoots(): void {
    const { disk } = this.#env;
    if (this.#identity?.state !== "formed" && this.#identity?.state !== "joined") return;
    for (const [name, wanted, check] of [
      ["boots", "a list of all starts", () => BootList.check(disk, this.#folder)],
      ["admitted", "a slot that is whole", () => BootMemory.check(disk, this.#folder)],
    ] as const)
      try {
        check();
      } catch (error) {
        if (!(error instanceof KvraftError)) throw error;
        this.#find(error.code, `${this.#folder}/${name}`, problemOf(error), wanted);
      }
  }

  *checkLog(): Generator<Progress> {
    const { disk } = this.#env;
    const folder = `${this.#folder}/log`;
    const owner: LogOwner | undefined = this.#identity ?? ownerOfLog(disk, folder);
    if (owner === undefined) {
      const segment = disk.list(folder).find((name) => name.endsWith(".log"));
      if (segment === undefined) return;
      this.#find(
        "CORRUPTION",
        `${folder}/${segment}`,
        "no header that tells whose it is",
        "a segment of this node",
      );
      return;
    }
    this.#log = yield* checkLog(disk, folder, owner);
    this.#findings.push(...this.#log.findings);
    this.#noteLog(this.#log);
    if (this.#identity !== undefined) this.#checkBeginning(folder, this.#identity, this.#log);
  }

  *checkStore(): Generator<Progress> {
    const folder = `${this.#folder}/store`;
    this.#store = yield* checkStore(this.#env, folder);
    this.#findings.push(...this.#store.findings);
    this.#noteFiles(this.#store);
    const { store, findings } = this.#store;
    if (this.#identity !== undefined && findings.length === 0)
      this.#checkPrepared(folder, this.#identity, store);
    if (store !== undefined) {
      this.#checkApplied(folder, store);
      if (store.merges > 0)
        this.#notes.push(
          `${count(store.merges, "merge")} of runs under way: the next start goes on with them`,
        );
    } else if (this.#store.findings.length > 0)
      this.#notes.push(
        "what the store's runs hold was not checked: without MANIFEST nobody knows what belongs to it",
      );
    else if (this.#log?.log !== undefined && this.#log.log.firstIndex > 1)
      this.#find(
        "CORRUPTION",
        folder,
        "no store",
        `the state up to entry ${this.#log.log.firstIndex - 1}, which the log does not have any more`,
      );
    else if (this.#log?.log !== undefined)
      this.#notes.push("there is no store yet: the next start makes an empty one and applies the log to it");
  }

  conclude(): Diagnosis {
    return {
      ok: this.#findings.length === 0,
      findings: this.#findings.map((finding) => ({ ...finding, advice: adviceOn(finding.code) })),
      notes: this.#notes,
      identity: this.#identity,
      log: this.#log?.log,
      store: this.#store?.store,
    };
  }

  #checkMembers(file: string, { state, place, nodeId, members }: FolderIdentity): void {
    if (state === "restoring")
      this.#find(
        "IDENTITY",
        file,
        "an unfinished restore",
        "a folder that was prepared: run kvraft snapshot restore again",
      );
    if ((state !== "forming" && state !== "formed") || members.list[place]?.nodeId === nodeId) return;
    const there = members.list[place]?.nodeId ?? "none";
    this.#find("CORRUPTION", file, `node ${there} in place ${place} of its members`, `this node, ${nodeId}`);
  }

  /** The first entry binds a log to its cluster. Until the identity says that it is formed, it need not be there. */
  #checkBeginning(folder: string, identity: FolderIdentity, { log, firstEntry, findings }: LogCheck): void {
    if (identity.state !== "forming" && identity.state !== "formed" && identity.state !== "joined") {
      if (log !== undefined)
        this.#find(
          "IDENTITY",
          folder,
          "a log beside an identity that knows of no cluster",
          "the identity of its node",
        );
      return;
    }
    if (log === undefined) {
      if (identity.state === "formed" && findings.length === 0)
        this.#find("CORRUPTION", folder, "no log", `the log of a member of cluster ${identity.clusterId}`);
      return;
    }
    // What a log that begins later has dropped is in the store: see #checkApplied.
    const firstIndex = identity.origin === undefined ? 1 : restoredEntry.index + 1;
    if (log.firstIndex > firstIndex || identity.state === "joined") return;
    const isForming = identity.state === "forming" && log.lastIndex < firstIndex;
    const isSame =
      log.firstIndex === firstIndex &&
      firstEntry?.kind === "config" &&
      equalBytes(firstEntry.data, encodeMembers(identity.members));
    // An entry that cannot be read has been found already.
    if (isSame || isForming || (firstEntry === undefined && findings.length > 0)) return;
    const found = firstEntry === undefined ? "a log without entries" : "another first entry";
    this.#find(
      "CORRUPTION",
      folder,
      found,
      "the entry that formed the cluster, with the members of the identity",
    );
  }

  /** A folder that was prepared from a backup has its state from the beginning. */
  #checkPrepared(folder: string, { state, origin }: FolderIdentity, store: StoreSummary | undefined): void {
    if (origin === undefined || state === "restoring") return;
    if (store === undefined)
      this.#find("CORRUPTION", folder, "no store", "the state of the backup that it was prepared from");
    else if (store.logStart.index < restoredEntry.index)
      this.#find(
        "CORRUPTION",
        folder,
        "a store that began empty",
        "the state of the backup that it was prepared from",
      );
  }

  /** The store never runs ahead of the log that it was made from. */
  #checkApplied(folder: string, store: StoreSummary): void {
    const { applied } = store;
    const term = this.#log?.termOf(applied.index);
    const { logStart } = store;
    if (
      logStart.index > 0 &&
      applied.index === logStart.index &&
      term !== applied.term &&
      this.#log?.log !== undefined
    ) {
      this.#notes.push(
        `The store has the state of another node up to entry ${applied.index}, which it was just given: the next start ` +
          "begins the log anew after it",
      );
      return;
    }
    // Where there is no log that is a finding already; and behind damage nobody knows which entries there are.
    if (this.#log?.log === undefined || term === applied.term) return;
    if (term === undefined && this.#log.findings.length > 0) return;
    const { lastIndex } = this.#log.log;
    this.#find(
      "CORRUPTION",
      `${this.#folder}/log`,
      term === undefined
        ? `no entry ${applied.index}: it ends at entry ${lastIndex}`
        : `entry ${applied.index} of term ${term}`,
      `entry ${applied.index} of term ${applied.term}, which "${folder}/MANIFEST" says was applied`,
    );
  }

  #noteLog(check: LogCheck): void {
    const { torn } = check;
    if (torn !== undefined)
      this.#notes.push(
        `"${torn.path}" has a torn tail of ${count(torn.bytes, "byte")} at byte ${torn.offset}: the next start cuts it ` +
          "off, and nothing that was acknowledged is in it",
      );
    this.#noteFiles(check);
  }

  #noteFiles({ leftovers, strangers }: { leftovers: readonly string[]; strangers: readonly string[] }): void {
    if (leftovers.length > 0)
      this.#notes.push(
        `${count(leftovers.length, "file")} left over from what was cut off or replaced, which the next start removes: ` +
          list(leftovers),
      );
    if (strangers.length > 0)
      this.#notes.push(`${count(strangers.length, "file")} that kvraft did not write: ${list(strangers)}`);
  }

  #find(code: ErrorCode, file: string, found: string, wanted: string): void {
    this.#findings.push({ code, file, found, wanted });
  }
}

function adviceOn(code: ErrorCode): string {
  switch (code) {
    case "FORMAT":
      return "use the version of kvraft that wrote it";
    case "IDENTITY":
      return `use the folder as a whole, as the node wrote it; if parts of it are lost, ${replaceNodeAdvice}`;
    case "IO_ERROR":
      return `let this user read it and check the disk; if the disk has lost it, ${replaceNodeAdvice}`;
    default:
      return replaceNodeAdvice;
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** The first few of what may be many. */
function list(paths: readonly string[]): string {
  const shown = paths.slice(0, namesShown).map((path) => `"${path}"`);
  return paths.length > namesShown ? `${shown.join(", ")}, ...` : shown.join(", ");
}

const namesShown = 5;
