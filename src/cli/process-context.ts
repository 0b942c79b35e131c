import { fstatSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import type { Bytes } from "../lib/bytes.ts";
import { KvraftError, messageOf } from "../lib/error.ts";
import type { Context, Input, Output } from "./context.ts";

/** The process this runs in, as the world of a command. */
export function processContext(): Context {
  const { KVRAFT_ENDPOINTS, KVRAFT_HISTFILE, XDG_CONFIG_HOME, XDG_STATE_HOME } = process.env;
  return {
    stdin: processStdin(),
    stdout: processOutput(process.stdout),
    stderr: processOutput(process.stderr),
    environment: { KVRAFT_ENDPOINTS, KVRAFT_HISTFILE, XDG_CONFIG_HOME, XDG_STATE_HOME },
    homeDir: homedir(),
    readFile: readFileIfAny,
    // Loaded when it is needed: a run from source would parse it for `help` as well.
    openClient: async (servers, timeoutMs) => {
      const { clientEndsOf, makeKVClient } = await import("../client/kv-client.ts");
      return makeKVClient(clientEndsOf(servers), { timeoutMs });
    },
  };
}

function processStdin(): Input {
  return {
    isTerminal: process.stdin.isTTY === true,
    hasContent: isPipeOrFile(0),
    chunks: () => Bun.stdin.stream() as AsyncIterable<Bytes>,
  };
}

/** Not /dev/null and not a closed descriptor, which is what a service manager or a remote shell may give. */
function isPipeOrFile(descriptor: number): boolean {
  try {
    const stat = fstatSync(descriptor);
    return stat.isFIFO() || stat.isSocket() || stat.isFile();
  } catch {
    return false;
  }
}

function processOutput(stream: NodeJS.WriteStream): Output {
  return {
    isTerminal: stream.isTTY === true,
    write: (data) => {
      stream.write(data);
    },
  };
}

async function readFileIfAny(path: string): Promise<Bytes | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new KvraftError("IO_ERROR", `Cannot read ${JSON.stringify(path)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
