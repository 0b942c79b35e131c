import { serversMax } from "../config/config.ts";
import { parseServerConfig } from "../config/server-config.ts";
import { type Address, formatAddress } from "../lib/address.ts";
import { KvraftError } from "../lib/error.ts";
import type { Context } from "./context.ts";
import { configText } from "./endpoints.ts";

/** The cluster that `dev` runs: where each server listens, and the folder that keeps everything. */
export interface DevPlan {
  readonly dataDir: string;
  readonly servers: readonly Address[];
  /** Notes for the user: ports that are not the ones expected. */
  readonly notes: readonly string[];
}

const host = "127.0.0.1";
const firstPort = 5001;
const nodesDefault = 3;

/**
 * Plans a new cluster, or goes on with the one in the folder: its number of nodes is settled, and its ports are taken
 * again when they are free. Ports that are not are replaced by the next free ones.
 */
export async function planDevCluster(
  context: Context,
  dataDir: string,
  nodesWanted: number | undefined,
  isFree: (port: number) => boolean,
): Promise<DevPlan> {
  const kept = await readKept(context, dataDir);
  if (kept !== undefined && nodesWanted !== undefined && nodesWanted !== kept.length)
    throw new KvraftError(
      "EXISTS",
      `Cannot run ${nodesWanted} nodes in ${JSON.stringify(dataDir)}: it keeps a cluster of ${kept.length}; ` +
        `leave out --nodes, or choose another --data-dir`,
    );
  const count = kept?.length ?? nodesWanted ?? nodesDefault;
  const notes: string[] = [];
  const servers: Address[] = [];
  const taken = new Set<number>();
  for (let me = 0; me < count; me++) {
    const wanted = kept?.[me]?.port ?? firstPort + me;
    const port = nextFree(wanted, taken, isFree);
    taken.add(port);
    servers.push({ host, port });
    if (port !== wanted) notes.push(`port ${wanted} is taken: server${me + 1} listens on ${port}`);
  }
  return { dataDir, servers, notes };
}

/** The number that --nodes names. */
export function parseNodes(text: string): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= serversMax) return count;
  throw new KvraftError(
    "USAGE",
    `--nodes is ${JSON.stringify(text)}, must be a number from 1 to ${serversMax}, odd for the best use of them`,
  );
}

/** The configuration of one server of the plan, which `kvraft server` runs as well. */
export function devServerConfig(plan: DevPlan, me: number): string {
  const servers = plan.servers.map(({ host, port }) => `  - { ip: ${host}, port: ${port} }\n`);
  return (
    `# Written by kvraft dev at each start: ${formatAddress(plan.servers[me]!)}\n` +
    `me: ${me}\nservers:\n${servers.join("")}dataDir: ${JSON.stringify(`${plan.dataDir}/server${me + 1}`)}\n`
  );
}

export function devConfigPath(dataDir: string, me: number): string {
  return `${dataDir}/server${me + 1}.yml`;
}

async function readKept(context: Context, dataDir: string): Promise<readonly Address[] | undefined> {
  const path = devConfigPath(dataDir, 0);
  const content = await context.readFile(path);
  return content === undefined
    ? undefined
    : parseServerConfig(configText(content, path), path).config.servers;
}

/** From `wanted` upwards, and from the first port on when there is none. */
function nextFree(wanted: number, taken: ReadonlySet<number>, isFree: (port: number) => boolean): number {
  for (let port = wanted; port <= 65_535; port++) {
    if (!taken.has(port) && isFree(port)) return port;
  }
  throw new KvraftError("IO_ERROR", `Cannot find a free port on ${host} from ${wanted} upwards`);
}
