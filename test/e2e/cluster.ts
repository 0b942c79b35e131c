import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  clientEndsOf,
  type KVClient,
  type KVClientOptions,
  makeKVClient,
  type NodeStatus,
} from "../../src/client/kv-client.ts";
import { kvraft, type Outcome, type RunOptions } from "./binary.ts";
import { freePorts } from "./ports.ts";
import { temporaryFolder } from "./processes.ts";
import { ServerProcess } from "./server-process.ts";
import { until } from "./wait.ts";

/** What stands in a node's configuration file besides `me`, `servers` and `dataDir`. */
export interface Overrides {
  readonly timings?: Readonly<Record<string, string>>;
  readonly limits?: Readonly<Record<string, string | number>>;
  readonly logLevel?: string;
}

export interface ClusterOptions extends Overrides {
  /** 3 if not said. */
  readonly nodes?: number;
  /** Where node `index` has its data; below a temporary folder if not said. */
  readonly dataDir?: (index: number) => string;
  /** See ServerProcess. */
  readonly wrapper?: readonly string[];
}

/** Nodes of one cluster on this machine, each a process of the binary under test. Nodes are counted from 0. */
export class Cluster {
  /** A folder of its own: configuration files, logs, data. */
  readonly folder = temporaryFolder();
  readonly #ports: number[] = [];
  readonly #servers: ServerProcess[] = [];
  /** So many of them form the cluster; the others join it. */
  readonly #founderCount: number;
  readonly #options: ClusterOptions;
  readonly #clients: KVClient[] = [];

  /** Writes the configuration files and starts nothing. */
  constructor(options: ClusterOptions = {}) {
    this.#options = options;
    this.#founderCount = options.nodes ?? 3;
    mkdirSync(join(this.folder, "data"));
    for (const port of freePorts(this.#founderCount)) this.#addAt(port);
    for (const index of this.ports.keys()) this.configure(index);
  }

  /** Starts all nodes and returns when one leads and serves. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(options);
    for (const server of cluster.servers) server.start();
    await cluster.awaitLeader();
    return cluster;
  }

  /** Of all servers that ever were, also of those that are no members any more. */
  get ports(): readonly number[] {
    return this.#ports;
  }

  get servers(): readonly ServerProcess[] {
    return this.#servers;
  }

  /** Writes the configuration of one more server, which lists only itself; yields its place. Starts nothing. */
  add(): number {
    const index = this.#addAt(freePorts(1)[0]!);
    this.configure(index);
    return index;
  }

  /** Starts a server whose folder is empty as a learner of the cluster that the server `via` belongs to. */
  join(index: number, via: number): void {
    this.servers[index]!.start(["--join", this.address(via)]);
  }

  /** Writes the configuration of a node anew, for its next start. `ports` is the list as this node sees it. */
  configure(index: number, ports = this.#listOf(index), overrides: Overrides = this.#options): void {
    const { timings, limits, logLevel } = overrides;
    const servers = ports.map((port) => ({ ip: "127.0.0.1", port }));
    const me = ports.length === 1 ? 0 : index;
    const config = { me, servers, dataDir: this.dataDir(index), timings, limits, logLevel };
    // JSON is YAML.
    writeFileSync(this.servers[index]!.configPath, JSON.stringify(config, null, 2));
  }

  dataDir(index: number): string {
    return this.#options.dataDir?.(index) ?? join(this.folder, "data", `server${index + 1}`);
  }

  address(index: number): string {
    return `127.0.0.1:${this.ports[index]}`;
  }

  get endpoints(): string {
    return this.ports.map((_, index) => this.address(index)).join(",");
  }

  logOf(index: number): string {
    return this.servers[index]!.log;
  }

  kill9(index: number): Promise<void> {
    return this.servers[index]!.kill9();
  }

  /** SIGTERM; yields the exit status. */
  stop(index: number): Promise<number> {
    return this.servers[index]!.stop();
  }

  restart(index: number): void {
    this.servers[index]!.start();
  }

  pause(index: number): void {
    this.servers[index]!.signal("SIGSTOP");
  }

  resume(index: number): void {
    this.servers[index]!.signal("SIGCONT");
  }

  /** A client of all nodes, or of those that listen on `ports`; closed with the cluster. */
  client(options: KVClientOptions = {}, ports: readonly number[] = this.ports): KVClient {
    const addresses = ports.map((port) => ({ host: "127.0.0.1", port }));
    const ends = options.env === undefined ? clientEndsOf(addresses) : clientEndsOf(addresses, options.env);
    const client = makeKVClient(ends, options);
    this.#clients.push(client);
    return client;
  }

  /** Runs the binary as a client of this cluster, unless `args` begin with `-e` of their own. */
  cli(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const endpoints = args[0] === "-e" ? [] : ["-e", this.endpoints];
    return kvraft([...endpoints, ...args], { cwd: this.folder, ...options });
  }

  /** What each node says of itself, by its place. */
  async status(): Promise<NodeStatus[]> {
    const client = makeKVClient(clientEndsOf(this.ports.map((port) => ({ host: "127.0.0.1", port }))), {
      timeoutMs: 500,
    });
    try {
      return await client.status();
    } finally {
      await client.close();
    }
  }

  /** Who leads, as far as the nodes that run say; of two the one with the higher term. */
  async leader(): Promise<number | undefined> {
    const nodes = await this.status();
    const terms = nodes.map((node) => (node.reachable && node.role === "leader" ? (node.term ?? 0) : -1));
    const highest = Math.max(...terms);
    return highest < 0 ? undefined : terms.indexOf(highest);
  }

  /** Waits until a node leads and answers reads; yields its place. */
  async awaitLeader(timeoutMs = 20_000): Promise<number> {
    const client = this.client({ timeoutMs });
    const logs = () => this.servers.map((server) => `\n${server.log.slice(-1500)}`).join("\n--");
    try {
      await client.get("");
      return await until("a leader", () => this.leader(), timeoutMs, logs);
    } catch (error) {
      throw new Error(`No node leads: ${String(error)}${logs()}`);
    } finally {
      await client.close();
    }
  }

  /** Waits until these nodes, all if not said, have applied what the one that is ahead has. */
  async awaitEqual(timeoutMs = 20_000, indexes = [...this.ports.keys()]): Promise<NodeStatus[]> {
    let nodes: NodeStatus[] = [];
    await until(
      "equal nodes",
      async () => {
        const all = await this.status();
        nodes = indexes.map((index) => all[index]!);
        const [first] = nodes;
        return nodes.every(
          (node) =>
            node.applied !== undefined &&
            node.applied === first!.lastIndex &&
            node.lastIndex === first!.lastIndex &&
            node.revision === first!.revision,
        );
      },
      timeoutMs,
      () => JSON.stringify(nodes),
    );
    return nodes;
  }

  /** Waits until a node has applied all that is committed at this moment. */
  async awaitCaughtUp(index: number, timeoutMs = 20_000): Promise<void> {
    const commits = (await this.status()).map((node) => node.commit ?? 0);
    const commit = Math.max(...commits);
    await until(
      `node ${index} has applied ${commit}`,
      async () => ((await this.status())[index]!.applied ?? 0) >= commit,
      timeoutMs,
      () => this.logOf(index).slice(-1500),
    );
  }

  /** Those that form the cluster list each other, and one that joins lists itself. */
  #listOf(index: number): readonly number[] {
    return index < this.#founderCount ? this.ports.slice(0, this.#founderCount) : [this.ports[index]!];
  }

  #addAt(port: number): number {
    const index = this.#ports.length;
    const path = join(this.folder, `server${index + 1}`);
    this.#ports.push(port);
    this.#servers.push(new ServerProcess(`${path}.yml`, `${path}.txt`, this.#options.wrapper));
    return index;
  }

  /** Ends clients and nodes, the hard way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await Promise.all(this.servers.map((server) => server.kill9()));
  }
}
