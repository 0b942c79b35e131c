import type { Client } from "../../src/cli/client.ts";
import { runCommandLine } from "../../src/cli/commands.ts";
import type { Context, Environment } from "../../src/cli/context.ts";
import type { NodeStatus } from "../../src/client/kv-client.ts";
import { type Address, formatAddress } from "../../src/lib/address.ts";
import { type Bytes, concatBytes, fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";

/** How a KVError looks to the commands. */
export class FakeKvError extends Error {
  readonly outcome: "not-done" | "refused" | "unknown";

  constructor(outcome: "not-done" | "refused" | "unknown", message: string) {
    super(message);
    this.outcome = outcome;
  }
}

/** A client on a map. Each call first throws `failure`, if one is set. */
export class FakeClient implements Client {
  readonly records = new Map<string, { value: Bytes; created: number; modified: number; count: number }>();
  nodes: NodeStatus[] = [];
  failure: Error | undefined;
  revision = 0;
  isClosed = false;

  async getBytes(key: Bytes): Promise<Bytes | undefined> {
    return (await this.getRecord(key))?.value;
  }

  async getRecord(key: Bytes) {
    this.#mayFail();
    return this.records.get(toHex(key));
  }

  async put(key: Bytes, value: Bytes): Promise<void> {
    this.#mayFail();
    const before = this.records.get(toHex(key));
    this.revision++;
    this.records.set(toHex(key), {
      value,
      created: before?.created ?? this.revision,
      modified: this.revision,
      count: (before?.count ?? 0) + 1,
    });
  }

  async delete(key: Bytes): Promise<boolean> {
    this.#mayFail();
    return this.records.delete(toHex(key));
  }

  async status(): Promise<NodeStatus[]> {
    this.#mayFail();
    return this.nodes;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  #mayFail(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

/** Everything around a command, in memory. */
export class World implements Context {
  readonly client = new FakeClient();
  readonly files = new Map<string, Bytes>();
  readonly #out: Bytes[] = [];
  readonly #err: string[] = [];
  input: Bytes[] = [];
  environment: Environment = {};
  readonly homeDir = "/home/u";
  /** What the client was opened with. */
  opened: { servers: string[]; timeoutMs: number } | undefined;
  readonly stdin = {
    isTerminal: false,
    hasContent: true,
    chunks: () => chunksOf(this.input),
  };
  readonly stdout = {
    isTerminal: false,
    write: (data: string | Bytes) => void this.#out.push(typeof data === "string" ? toUtf8(data) : data),
  };
  readonly stderr = {
    isTerminal: false,
    write: (data: string | Bytes) => void this.#err.push(typeof data === "string" ? data : fromUtf8(data)),
  };

  async readFile(path: string): Promise<Bytes | undefined> {
    return this.files.get(path);
  }

  async openClient(servers: readonly Address[], timeoutMs: number): Promise<Client> {
    this.opened = { servers: servers.map(formatAddress), timeoutMs };
    return this.client;
  }

  /** What went to stdout since the last call, as bytes. */
  takeBytes(): Bytes {
    return concatBytes(this.#out.splice(0));
  }

  /** Runs a command line: its status, and what it printed. */
  async run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
    const status = await runCommandLine(this, args);
    return { status, out: fromUtf8(this.takeBytes()), err: this.#err.splice(0).join("") };
  }
}

async function* chunksOf(chunks: readonly Bytes[]): AsyncGenerator<Bytes> {
  yield* chunks;
}
