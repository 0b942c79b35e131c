import { clientTarget } from "./client.ts";
import { codecTarget } from "./codec.ts";
import { argumentsTarget, historyTarget, promptTarget, quotingTarget, wordsTarget } from "./command-line.ts";
import { configTarget } from "./config.ts";
import { connectionTarget } from "./connection.ts";
import { framesTarget } from "./frames.ts";
import type { FuzzTarget } from "./fuzzer.ts";
import { identityTarget } from "./identity.ts";
import { impostorTarget } from "./impostor.ts";
import { messagesTarget } from "./messages.ts";
import { raftLogTarget } from "./raft-log.ts";
import { sqliteTarget, storeTarget } from "./store.ts";
import { tableBlocksTarget } from "./table-blocks.ts";

/** Everything that reads bytes from outside. */
export const targets: readonly FuzzTarget[] = [
  codecTarget,
  framesTarget,
  messagesTarget,
  connectionTarget,
  clientTarget,
  impostorTarget,
  identityTarget,
  raftLogTarget,
  storeTarget,
  sqliteTarget,
  tableBlocksTarget,
  configTarget,
  quotingTarget,
  wordsTarget,
  argumentsTarget,
  promptTarget,
  historyTarget,
];
