import type { ServerConfig } from "../config/config.ts";
import type { Disk } from "../env/disk.ts";
import type { Env } from "../env/env.ts";
import { replaceFile } from "../env/replace-file.ts";
import type { LevelDB } from "../leveldb/level-db.ts";
import { equalBytes, fromUtf8, toUtf8 } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Entry, NodeId } from "../raft/types.ts";
import { Persister } from "../raftlog/persister.ts";
import { aloneIdentity, type Identity, readIdentity, writeIdentity } from "./identity.ts";
import { newId } from "./ids.ts";
import { encodeMembers } from "./members.ts";

/**
 * A node's folder: `LOCK`, `identity`, the Raft log in `log`, the store in `store`, and `condemned` if its state is
 * wrong. Opening refuses a folder that is not this node's, or whose parts contradict each other, and changes nothing then.
 */
export class DataFolder {
  readonly identity: Identity;
  readonly #env: Env;
  readonly #config: ServerConfig;
  readonly #report: (line: string) => void;
  #log: Persister | undefined;

  constructor(env: Env, config: ServerConfig, identity: Identity, report: (line: string) => void) {
    this.#env = env;
    this.#config = config;
    this.identity = identity;
    this.#report = report;
  }

  get storeFolder(): string {
    return `${this.#config.dataDir}/store`;
  }

  /** The Raft log, opened at the first call: recovery checks every byte of it. */
  openLog(owner: { readonly clusterId: string; readonly nodeId: string }): Persister {
    this.#log ??= Persister.open(
      this.#env.disk,
      logFolder(this.#config.dataDir),
      owner,
      { segmentBytesMax: this.#config.limits.segmentBytes },
      this.#report,
    );
    return this.#log;
  }

  /** Makes the first entry of a new cluster's log durable: the same on all its nodes. May be repeated after a crash. */
  bootstrap(identity: Identity, done: (error?: Error) => void): void {
    const entry: Entry = { kind: "config", term: 1, index: 1, data: encodeMembers(identity.members) };
    const log = this.openLog(identity);
    const [found] = log.slice(1, 2, 1);
    if (found === undefined) {
      log.saveRaftState({ hardState: { term: 1, vote: undefined, commit: 0 }, entries: [entry] }, done);
      return;
    }
    const isSame = found.kind === "config" && equalBytes(found.data, entry.data);
    done(
      isSame
        ? undefined
        : corruptLog(this.#config.dataDir, "its first entry is not the one that forms its cluster"),
    );
  }

  /** Stores why the state is wrong: no start goes on from it. */
  condemn(why: string): void {
    replaceFile(this.#env.disk, this.#config.dataDir, condemnedName, toUtf8(why));
  }

  /** Stores that this node, which was alone, is a member of that cluster from now on. */
  joined(clusterId: string): Identity {
    const identity: Identity = { ...this.identity, state: "joined", clusterId };
    writeIdentity(this.#env.disk, this.#config.dataDir, identity);
    return identity;
  }

  close(): void {
    this.#log?.close();
  }
}

export function openDataFolder(env: Env, config: ServerConfig, report: (line: string) => void): DataFolder {
  const { dataDir } = config;
  const found = readIdentity(env.disk, dataDir);
  if (found !== undefined) {
    checkIdentity(config, found);
    const condemned = condemnationOf(env.disk, dataDir);
    if (condemned !== undefined) throw new KvraftError("CORRUPTION", condemned);
    return new DataFolder(env, config, found, report);
  }
  for (const part of [logFolder(dataDir), `${dataDir}/store`])
    if (env.disk.list(part).length > 0)
      throw new KvraftError(
        "IDENTITY",
        `Cannot use "${dataDir}": "${part}" holds data, but the file identity is missing; restore it from a copy, or ` +
          "empty the folder and replace the node",
      );
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

/** Why the state in a folder was found to be wrong; undefined when it was not. */
export function condemnationOf(disk: Disk, dataDir: string): string | undefined {
  const bytes = disk.read(`${dataDir}/${condemnedName}`);
  return bytes === undefined ? undefined : fromUtf8(bytes);
}

export function corruptLog(dataDir: string, why: string): KvraftError {
  return new KvraftError(
    "CORRUPTION",
    `Cannot use "${logFolder(dataDir)}": ${why}; restore the folder from a copy, or replace the node`,
  );
}

const condemnedName = "condemned";

function logFolder(dataDir: string): string {
  return `${dataDir}/log`;
}

function checkIdentity(config: ServerConfig, identity: Identity): void {
  const { dataDir, me } = config;
  if (identity.state !== "joined" && identity.place !== me)
    throw new KvraftError(
      "IDENTITY",
      `Cannot use "${dataDir}": it belongs to the server in place ${identity.place} of the list, and "me" is ${me}; ` +
        `choose another dataDir, or set "me" to ${identity.place}`,
    );
}
