/** A part of the store's benchmark: opens the store that another part has left, as a node does when it starts. */
import { realEnv } from "../../src/env/real-env.ts";
import { LevelDB } from "../../src/leveldb/level-db.ts";
import { endPart, partOptions } from "./store-child.ts";

export interface OpenFigures {
  readonly openMs: number;
  readonly files: number;
}

const { folder, memtableBytesMax } = partOptions();
const env = realEnv();
const beganMs = performance.now();
const db = LevelDB.open(env, folder, { memtableBytesMax });
const openMs = performance.now() - beganMs;
const files = Number(db.getProperty("kvraft.files"));
db.close();
endPart({ openMs, files } satisfies OpenFigures);
