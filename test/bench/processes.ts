import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { clientEndsOf, makeKVClient } from "../../src/client/kv-client.ts";
import type { Address } from "../../src/lib/address.ts";

/** Processes and folders that end with the benchmark. */
export class Processes {
  readonly folder = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "kvraft-bench-"));
  readonly #running: Subprocess[] = [];

  spawn(command: readonly string[]): Subprocess {
    const child = Bun.spawn([...command], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
      cwd: this.folder,
    });
    this.#running.push(child);
    return child;
  }

  async end(): Promise<void> {
    for (const child of this.#running) child.kill("SIGTERM");
    await Promise.all(this.#running.map((child) => child.exited));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Processor time that a process has used, in ms; 0 where /proc does not tell. */
export function cpuMsOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return 0;
  }
}

export interface RunningCluster {
  readonly leader: Address;
  readonly leaderPid: number;
  readonly followerPids: readonly number[];
}

/** Three nodes with the default options, each a process of the built binary, synced before they acknowledge. */
export async function startCluster(processes: Processes, binary: string): Promise<RunningCluster> {
  const ports = [freePort(), freePort(), freePort()];
  const servers = ports.map((port) => `  - { ip: 127.0.0.1, port: ${port} }`).join("\n");
  const pids: number[] = [];
  for (const me of [0, 1, 2]) {
    const file = join(processes.folder, `server${me}.yml`);
    await Bun.write(
      file,
      `me: ${me}\nservers:\n${servers}\ndataDir: ${processes.folder}/data${me}\nlogLevel: error\n`,
    );
    pids.push(processes.spawn([binary, "server", file]).pid);
  }
  const addresses = ports.map((port) => ({ host: "127.0.0.1", port }));
  const client = makeKVClient(clientEndsOf(addresses), { timeoutMs: 20_000 });
  await client.put("ready", "yes");
  const at = (await client.status()).findIndex((node) => node.role === "leader");
  await client.close();
  return {
    leader: addresses[at]!,
    leaderPid: pids[at]!,
    followerPids: pids.filter((_, place) => place !== at),
  };
}

/** A single Redis that syncs every write before it answers; undefined where none is installed. */
export async function startRedis(processes: Processes): Promise<{ port: number; pid: number } | undefined> {
  const binary = Bun.which("redis-server");
  if (binary === null) return undefined;
  const port = freePort();
  const options = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--loglevel", "warning"];
  const child = processes.spawn([
    binary,
    "--port",
    `${port}`,
    "--bind",
    "127.0.0.1",
    "--dir",
    processes.folder,
    ...options,
  ]);
  for (let tries = 0; tries < 100; tries++) {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
      socket.end();
      return { port, pid: child.pid };
    } catch {
      await Bun.sleep(50);
    }
  }
  throw new Error("redis-server did not start");
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
