/** Ports of proxies at which packets are dropped: those on their way to it, and those that come from it. */
export interface SilentPorts {
  readonly to: readonly number[];
  readonly from: readonly number[];
}

const table = `
table inet chaos {
  set to { type inet_service; }
  set from { type inet_service; }
  counter dropped { }
  chain input {
    type filter hook input priority 0;
    tcp dport @to counter name dropped drop
    tcp sport @from counter name dropped drop
  }
}
`;

/**
 * Drops packets in silence, so that TCP itself meets a network that takes everything: no error, retransmissions that come ever later. Needs
 * a network of our own (in-own-network): the rules end with it, and no other process sees them.
 */
export class PacketFilter {
  /** Undefined where there is none: then proxies have to stand in for it. */
  static open(): PacketFilter | undefined {
    if (process.env["KVRAFT_CHAOS_NETWORK"] !== "own") return undefined;
    nft(table);
    return new PacketFilter();
  }

  setSilent({ to, from }: SilentPorts): void {
    const lines = ["flush set inet chaos to", "flush set inet chaos from"];
    if (to.length > 0) lines.push(`add element inet chaos to { ${to.join(", ")} }`);
    if (from.length > 0) lines.push(`add element inet chaos from { ${from.join(", ")} }`);
    nft(`${lines.join("\n")}\n`);
  }

  /** How many packets were dropped so far. */
  get dropped(): number {
    const told = Bun.spawnSync(["nft", "list", "counter", "inet", "chaos", "dropped"]);
    return Number(/packets (\d+)/.exec(told.stdout.toString())?.[1] ?? 0);
  }
}

function nft(commands: string): void {
  const done = Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(commands) });
  if (done.exitCode !== 0) throw new Error(`Cannot filter packets: nft says ${done.stderr.toString()}`);
}
