import { readFileSync, rmSync } from "node:fs";
import { Cluster, type ClusterOptions } from "../e2e/cluster.ts";
import { type Puts, putMany } from "../e2e/put-many.ts";
import { KvraftLoad } from "./kvraft-load.ts";
import { type LoadResult, runLoad, Workload } from "./load.ts";
import { cpuMsOf } from "./processes.ts";

/** What is measured beside something else: the load of `make bench`. */
export const loadClients = 64;
const loadKeys = 100_000;
const loadValueBytes = 256;

/** Lets a cluster of three with the default timings live for as long as `measure` takes, and leaves nothing of it. */
export async function withCluster<Result>(
  options: ClusterOptions,
  measure: (cluster: Cluster) => Promise<Result>,
): Promise<Result> {
  const cluster = await Cluster.start(options);
  try {
    return await measure(cluster);
  } catch (error) {
    for (const server of cluster.servers) process.stderr.write(`${server.log.slice(-3000)}\n--\n`);
    process.stderr.write(`${JSON.stringify(await cluster.status(), null, 1)}\n`);
    throw error;
  } finally {
    await cluster[Symbol.asyncDispose]();
    rmSync(cluster.folder, { recursive: true, force: true });
  }
}

/** Puts through clients that follow the leader, as fast as a few of them can; yields the seconds it took. */
export async function fill(cluster: Cluster, puts: Puts): Promise<number> {
  const clients = Array.from({ length: 4 }, () => cluster.client({ timeoutMs: 60_000 }));
  const startMs = performance.now();
  await putMany(clients, puts);
  await Promise.all(clients.map((client) => client.close()));
  return (performance.now() - startMs) / 1000;
}

/** The load on the leader, for so many seconds or until it is over. */
export async function loadLeader(
  cluster: Cluster,
  until: number | ((nowMs: number) => boolean),
): Promise<LoadResult> {
  const leader = { host: "127.0.0.1", port: cluster.ports[await cluster.awaitLeader()]! };
  const workload = new Workload(loadKeys, loadValueBytes);
  const connect = () => KvraftLoad.connect(leader, "put", workload);
  const connections = await Promise.all(Array.from({ length: loadClients }, connect));
  const result = await runLoad(connections, until);
  for (const connection of connections) connection.close();
  return result;
}

/** Watches who uses the processors; the function that is returned says how much of one, of each process, since. */
export function watchProcessors(cluster: Cluster): () => string {
  const running = [...cluster.servers.entries()].filter(([, server]) => server.isRunning);
  const pids = new Map(running.map(([index, server]) => [`node ${index + 1}`, server.pid]));
  pids.set("load", process.pid);
  const startMs = performance.now();
  const before = [...pids.values()].map(cpuMsOf);
  return () => {
    const ms = performance.now() - startMs;
    const share = (pid: number, at: number) => (100 * (cpuMsOf(pid) - before[at]!)) / ms;
    return [...pids].map(([name, pid], at) => `${name} ${share(pid, at).toFixed(0)} %`).join(", ");
  };
}

/** How many puts of a load went wrong, for the margin of a table: mostly none. */
export function failuresOf(...results: readonly LoadResult[]): string {
  const failures = results.reduce((sum, each) => sum + each.failures, 0);
  return failures === 0 ? "" : `; ${failures} FAILED`;
}

/** Memory of a process, in bytes; 0 where /proc does not tell. */
interface Memory {
  readonly resident: number;
  /** Of that, what is not a part of a file. */
  readonly anonymous: number;
}

function memoryOf(pid: number): Memory {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const bytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024;
    return { resident: bytes("VmRSS"), anonymous: bytes("RssAnon") };
  } catch {
    return { resident: 0, anonymous: 0 };
  }
}

/** Samples the memory of a process; the function that is returned ends that, and yields the most that was seen. */
export function watchMemory(pid: number): () => Memory {
  let most = memoryOf(pid);
  const timer = setInterval(() => {
    const { resident, anonymous } = memoryOf(pid);
    most = {
      resident: Math.max(most.resident, resident),
      anonymous: Math.max(most.anonymous, anonymous),
    };
  }, 100);
  return () => {
    clearInterval(timer);
    return most;
  };
}
