import { defaultTimeoutMs } from "../config/config.ts";
import { formatAddress } from "../lib/address.ts";
import { KvraftError } from "../lib/error.ts";
import { usageError } from "./args.ts";
import type { Client } from "./client.ts";
import type { Call, Command, Context } from "./context.ts";
import { DevCluster, isPortFree } from "./dev-cluster.ts";
import { type DevPlan, parseNodes, planDevCluster } from "./dev-plan.ts";
import { exitStatus } from "./exit-status.ts";
import { runRepl } from "./repl.ts";
import { leaderOf } from "./status.ts";

const dataDirDefault = "data/dev";

/** A cluster that has not elected a leader by then never will. */
const leaderMsMax = 30_000;
const pollMs = 50;

export const devCommand: Command = {
  name: "dev",
  summary: "Start a cluster on this machine and open a prompt on it",
  usage: "",
  argumentsMin: 0,
  argumentsMax: 0,
  flags: [
    { name: "nodes", value: "N", summary: "how many servers: 3 if not said, or as many as the folder keeps" },
    {
      name: "data-dir",
      value: "DIR",
      summary: `where data and logs are kept between runs, ${dataDirDefault} if not said`,
    },
  ],
  details: [
    "The servers are processes of their own, on 127.0.0.1 from port 5001 on (the next free ones if those are taken).",
    "They stop when the prompt ends, or at the end of the commands on stdin if that is no terminal.",
  ].join("\n"),
  examples: [
    "kvraft dev",
    "kvraft dev --nodes 5 --data-dir /tmp/five",
    "printf 'put a 1\\nget a\\n' | kvraft dev",
  ],
  run: async (context, call) => {
    const plan = await planOf(context, call);
    const cluster = new DevCluster(plan, (text) => context.stderr.write(`\nkvraft: ${text}\n`));
    const release = stopOnSignals(cluster);
    try {
      cluster.start();
      announce(context, plan);
      const client = await context.openClient(plan.servers, call.settings.timeoutMs ?? defaultTimeoutMs);
      try {
        await awaitLeader(context, client, cluster);
        return await runRepl(context, client, call.settings);
      } finally {
        await client.close();
      }
    } finally {
      await cluster.stop();
      release();
    }
  },
};

async function planOf(context: Context, call: Call): Promise<DevPlan> {
  const { endpoints, configPath } = call.settings;
  if (endpoints !== undefined || configPath !== undefined)
    throw usageError("dev starts servers of its own and takes no --endpoints and no --config", devCommand);
  const nodes = call.flags.get("nodes");
  const dataDir = call.flags.get("data-dir");
  return planDevCluster(
    context,
    typeof dataDir === "string" && dataDir !== "" ? dataDir.replace(/(.)\/+$/, "$1") : dataDirDefault,
    typeof nodes === "string" ? parseNodes(nodes) : undefined,
    isPortFree,
  );
}

function announce(context: Context, plan: DevPlan): void {
  const addresses = plan.servers.map(formatAddress);
  const lines = [
    `Starting ${addresses.length} ${addresses.length === 1 ? "server" : "servers"}: ${addresses.join(" ")}`,
    ...plan.notes,
    `Data and logs: ${plan.dataDir} (kept between runs)`,
    `From another shell: kvraft -e ${addresses.join(",")} status`,
  ];
  context.stderr.write(`${lines.join("\n")}\n`);
}

/** Returns when a leader answers; a server that ends before, or too long a wait, is a KvraftError. */
async function awaitLeader(context: Context, client: Client, cluster: DevCluster): Promise<void> {
  const start = performance.now();
  const isShown = context.stderr.isTerminal;
  const clearLine = isShown ? "\r\x1b[K" : "";
  for (;;) {
    const waitedMs = performance.now() - start;
    if (isShown) context.stderr.write(`${clearLine}Waiting for a leader: ${(waitedMs / 1000).toFixed(1)}s`);
    const leader = leaderOf(await client.status());
    if (leader !== undefined) {
      context.stderr.write(`${clearLine}Leader: ${leader.address}\n`);
      return;
    }
    if (cluster.failure !== undefined || waitedMs > leaderMsMax) {
      context.stderr.write(clearLine);
      const cause =
        cluster.failure === undefined ? `no leader after ${leaderMsMax / 1000}s` : "a server ended";
      throw new KvraftError("IO_ERROR", `Cannot start the cluster: ${cause}; the logs say more`);
    }
    await Bun.sleep(pollMs);
  }
}

/** A signal that would end this process ends the servers first. */
function stopOnSignals(cluster: DevCluster): () => void {
  const handlers = (
    [
      ["SIGINT", exitStatus.interrupted],
      ["SIGTERM", exitStatus.terminated],
      ["SIGHUP", 129],
    ] as const
  ).map(([signal, status]) => {
    const handler = () => {
      cluster.stop().then(
        () => process.exit(status),
        () => process.exit(status),
      );
    };
    process.on(signal, handler);
    return { signal, handler };
  });
  return () => {
    for (const { signal, handler } of handlers) process.off(signal, handler);
  };
}
