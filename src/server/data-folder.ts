import type { ServerConfig } from "../config/config.ts";
import type { Disk } from "../env/disk.ts";
import type { Env } from "../env/env.ts";
import { replaceFile } from "../env/replace-file.ts";
import { manifestPath } from "../leveldb/folder-names.ts";
import type { LevelDB } from "../leveldb/level-db.ts";
import { type Applied, readManifest } from "../leveldb/manifest.ts";
import { removeStoreLeftovers } from "../leveldb/run-folder.ts";
import { equalBytes, fromUtf8, toUtf8 } from "../lib/bytes.ts";
import { KvraftError, replaceNodeAdvice } from "../lib/error.ts";
import type { Entry, NodeId } from "../raft/types.ts";
import { removeLogLeftovers } from "../raftlog/leftovers.ts";
import type { LogOwner } from "../raftlog/options.ts";
import { Persister } from "../raftlog/persister.ts";
import { BootList } from "./boot-list.ts";
import { BootMemory } from "./boot-memory.ts";
import { serverListText } from "./formation-messages.ts";
import {
  aloneIdentity,
  type FolderIdentity,
  type Identity,
  isStarted,
  readIdentity,
  writeIdentity,
} from "./identity.ts";
import { newId } from "./ids.ts";
import { encodeMembers } from "./members.ts";

/**
 * A node's folder: `LOCK`, `identity`, its starts in `boots`, those of the others in `admitted`, the Raft log in `log`, the
 * store in `store`, and `condemned` or `condemned-boots` if it must not be used any more. Opening refuses a folder that is
 * not this node's, or whose parts contradict each other, and changes nothing then.
 */
export class DataFolder {
  readonly identity: Identity;
  /** This start is in it, durably. */
  readonly boots: BootList;
  readonly memory: BootMemory;
  readonly #env: Env;
  readonly #config: ServerConfig;
  readonly #report: (line: string) => void;
  #log: Persister | undefined;
  /** Told when what is to be remembered of the others cannot be written. */
  failed: (error: Error) => void = () => {};

  constructor(env: Env, config: ServerConfig, identity: Identity, report: (line: string) => void) {
    this.#env = env;
    this.#config = config;
    this.identity = identity;
    this.#report = report;
    this.memory = BootMemory.open(env.disk, config.dataDir, (error) => this.failed(error));
    try {
      this.boots = BootList.begin(env.disk, config.dataDir, newId(env));
    } catch (error) {
      this.memory.close();
      throw error;
    }
  }

  get storeFolder(): string {
    return `${this.#config.dataDir}/store`;
  }

  /**
   * The Raft log, opened at the first call: recovery checks every byte of it. What the store has up to `applied` is dropped
   * before anything is written.
   */
  openLog(owner: LogOwner, applied: Applied = { index: 0, term: 0 }): Persister {
    const { segmentBytes, logTailEntries, logTailBytes } = this.#config.limits;
    this.#log ??= Persister.open(
      this.#env.disk,
      logFolder(this.#config.dataDir),
      owner,
      {
        segmentBytesMax: segmentBytes,
        stored: { applied, tailEntries: logTailEntries, tailBytes: logTailBytes },
      },
      this.#report,
    );
    return this.#log;
  }

  /**
   * Makes the entry that forms a cluster durable: the same on all its nodes. May be repeated after a crash. It is the first
   * one of the log. Where the state comes from a backup, that state stands for entry 1, and the log begins behind it: a
   * server that joins has to be given the state, and not only what comes after it.
   */
  bootstrap(identity: Identity, done: (error?: Error) => void): void {
    const start = identity.origin === undefined ? undefined : restoredEntry;
    const index = 1 + (start?.index ?? 0);
    const entry: Entry = { kind: "config", term: 1, index, data: encodeMembers(identity.members) };
    const log = this.openLog(identity);
    if (log.lastIndex < index) {
      const hardState = { term: 1, vote: undefined, commit: 0 };
      log.saveRaftState({ hardState, entries: [entry], start }, done);
      return;
    }
    const [found] = log.firstIndex === index ? log.slice(index, index + 1, 1) : [];
    const isSame = found?.kind === "config" && equalBytes(found.data, entry.data);
    done(
      isSame
        ? undefined
        : corruptLog(this.#config.dataDir, "its first entry is not the one that forms its cluster"),
    );
  }

  /** Stores why no start goes on from this folder: its state is wrong, or it went back in time. */
  condemn(what: Condemned, why: string): void {
    const name = what === "state" ? condemnedName : rolledBackName;
    try {
      replaceFile(this.#env.disk, this.#config.dataDir, name, toUtf8(why));
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#report(error.message);
    }
  }

  /** Stores that this node, which was alone, is a member of that cluster from now on. */
  joined(clusterId: string): Identity {
    const identity: Identity = { ...this.identity, state: "joined", clusterId };
    writeIdentity(this.#env.disk, this.#config.dataDir, identity);
    return identity;
  }

  close(): void {
    this.#log?.close();
    this.memory.close();
    this.boots.close();
  }
}

/** Why a folder is used no more: its state differs from a majority's, or it lacks what its node has promised. */
export type Condemned = "state" | "boots";

/** `isJoining`: the server was told to ask a cluster to let it in, if it is in none. */
export function openDataFolder(
  env: Env,
  config: ServerConfig,
  isJoining: boolean,
  report: (line: string) => void,
): DataFolder {
  const { dataDir } = config;
  const found = readIdentity(env.disk, dataDir);
  if (found !== undefined) {
    checkIdentity(config, found);
    if (isJoining) checkMayJoin(dataDir, found);
    if (found.state === "formed") checkHasLog(env.disk, dataDir);
    if (found.origin !== undefined && found.state !== "formed") checkPrepared(env.disk, config, found);
    const condemned = condemnationOf(env.disk, dataDir);
    if (condemned !== undefined)
      throw new KvraftError(condemned.what === "state" ? "CORRUPTION" : "IDENTITY", condemned.why);
    const identity = isStarted(found) ? found : startPrepared(env, config, found);
    removeLeftovers(env, dataDir, identity, report);
    if (identity.state !== "formed" && identity.state !== "joined") createBoots(env.disk, dataDir);
    // The process before may have died between the rename of a file and the sync of its name. Others are told what was read,
    // and a power cut must not take it back.
    env.disk.syncFolder(dataDir);
    return new DataFolder(env, config, identity, report);
  }
  for (const part of [logFolder(dataDir), `${dataDir}/store`])
    if (env.disk.list(part).length > 0)
      throw new KvraftError(
        "IDENTITY",
        `Cannot use "${dataDir}": "${part}" holds data, but the file identity is missing, and nobody knows whose data it ` +
          `is; ${replaceNodeAdvice}`,
      );
  createBoots(env.disk, dataDir);
  const identity = aloneIdentity(config.me, newId(env) as NodeId);
  writeIdentity(env.disk, dataDir, identity);
  return new DataFolder(env, config, identity, report);
}

/**
 * A crash may have come between the two steps of taking over another node's state: the store has it, and the log still
 * leads to the old one. Once anything was applied after it, the log has begun anew for certain.
 */
export function followStore(log: Persister, { logStart, applied }: LevelDB): void {
  const isLatest = logStart.index === applied.index && logStart.index >= log.firstIndex - 1;
  if (isLatest && log.term(logStart.index) !== logStart.term) log.restartSync(logStart);
}

/** Why a folder must not be used any more; undefined when it may. */
export function condemnationOf(disk: Disk, dataDir: string): { what: Condemned; why: string } | undefined {
  for (const [what, name] of [
    ["state", condemnedName],
    ["boots", rolledBackName],
  ] as const) {
    const bytes = disk.read(`${dataDir}/${name}`);
    if (bytes !== undefined) return { what, why: fromUtf8(bytes) };
  }
  return undefined;
}

/** Files that a folder without data may lack, and one with data may not: without them it would be taken for a new one. */
export function createBoots(disk: Disk, dataDir: string): void {
  BootList.create(disk, dataDir);
  BootMemory.create(disk, dataDir);
}

export function corruptLog(dataDir: string, why: string): KvraftError {
  return new KvraftError("CORRUPTION", `Cannot use "${logFolder(dataDir)}": ${why}; ${replaceNodeAdvice}`);
}

/** What the state of a backup stands for in the log of the cluster that is formed from it. */
export const restoredEntry: Applied = { index: 1, term: 1 };

const condemnedName = "condemned";
const rolledBackName = "condemned-boots";

function logFolder(dataDir: string): string {
  return `${dataDir}/log`;
}

/** Before a start writes anything: a full disk may have no other room for that. */
function removeLeftovers(
  env: Env,
  dataDir: string,
  identity: Identity,
  report: (line: string) => void,
): void {
  removeStoreLeftovers(env, `${dataDir}/store`, report);
  removeLogLeftovers(env.disk, logFolder(dataDir), identity, report);
}

/** A server starts on a prepared folder for the first time: only now the folder gets an id, so no restore makes one. */
function startPrepared(env: Env, config: ServerConfig, { place, origin }: FolderIdentity): Identity {
  const identity = aloneIdentity(place, newId(env) as NodeId, origin);
  writeIdentity(env.disk, config.dataDir, identity);
  return identity;
}

/** A folder with the state of a backup that is no member yet. */
function checkPrepared(
  disk: Disk,
  { dataDir, servers }: ServerConfig,
  { state, origin }: FolderIdentity,
): void {
  if (state === "restoring")
    throw new KvraftError(
      "IDENTITY",
      `Cannot use "${dataDir}": a restore into it was interrupted; run "kvraft snapshot restore" again, which begins anew`,
    );
  const found = serverListText(servers);
  if (origin!.servers !== found)
    throw new KvraftError(
      "IDENTITY",
      `Cannot use "${dataDir}": it was prepared from a backup for the servers ${origin!.servers}, and the configuration ` +
        `lists ${found}; give that list, or empty the folder and run "kvraft snapshot restore" again on every server`,
    );
  const store = `${dataDir}/store`;
  const manifest = disk.exists(manifestPath(store)) ? readManifest(disk, store) : undefined;
  const isRestored = (entry: Applied | undefined) =>
    entry?.index === restoredEntry.index && entry.term === restoredEntry.term;
  if (isRestored(manifest?.applied) && isRestored(manifest?.logStart)) return;
  throw new KvraftError(
    "CORRUPTION",
    `Cannot use "${dataDir}/store": it does not hold what the folder was prepared with; empty the folder and run "kvraft ` +
      'snapshot restore" again',
  );
}

/** An empty log would be made in its place, and a node that has forgotten its votes would vote. */
function checkHasLog(disk: Disk, dataDir: string): void {
  if (!disk.list(logFolder(dataDir)).some((name) => name.endsWith(".log")))
    throw corruptLog(dataDir, "there is no log, and this node is a member of a formed cluster");
}

/** A member may be told to join: it has done so. */
function checkMayJoin(dataDir: string, { state, origin }: FolderIdentity): void {
  if (state === "formed" || state === "joined" || (state === "alone" && origin === undefined)) return;
  const why = origin === undefined ? "has begun to form one" : "was prepared from a backup, to form one";
  throw new KvraftError(
    "IDENTITY",
    `Cannot join a cluster: the data folder "${dataDir}" ${why}; empty it first, or start without --join`,
  );
}

function checkIdentity(config: ServerConfig, identity: FolderIdentity): void {
  const { dataDir, me } = config;
  if (identity.state !== "joined" && identity.place !== me)
    throw new KvraftError(
      "IDENTITY",
      `Cannot use "${dataDir}": it belongs to the server in place ${identity.place} of the list, and "me" is ${me}; ` +
        `choose another dataDir, or set "me" to ${identity.place}`,
    );
}

/** The store never runs ahead of the log that it was made from. */
export function checkApplied(log: Persister, store: LevelDB, dataDir: string): void {
  const { index, term } = store.applied;
  if (log.term(index) === term) return;
  throw corruptLog(
    dataDir,
    `the store has applied entry ${index} of term ${term}, and the log ` +
      `${index > log.lastIndex ? `ends at ${log.lastIndex}` : `has it in term ${log.term(index)}`}`,
  );
}
