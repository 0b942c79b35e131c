import type { Proxies } from "../e2e/proxied-cluster.ts";
import type { FrameProxy, Weather } from "../e2e/proxy.ts";
import { PacketFilter } from "./packet-filter.ts";

/** One way from a node or a client to a node. What a node sends to a peer goes over a link that it dials itself. */
export interface Link {
  readonly from: { readonly kind: "node" | "client"; readonly index: number };
  readonly to: number;
  readonly proxy: FrameProxy;
}

/** What a fault does to a link; undefined where it does nothing. */
export type Rule = (link: Link) => Weather | undefined;

/** Which ways of a link drop all packets in silence, seen from the side that dials. */
export type Silence = "both" | "out" | "in";
export type SilenceRule = (link: Link) => Silence | undefined;

/** Nothing passes. */
export const cut: Weather = { lossPercent: 100, delayPercent: 0, delayMsMin: 0, delayMsMax: 0 };

/** Cuts some nodes off from the others, both ways. Clients reach all. */
export function cutOff(nodes: readonly number[]): Rule {
  return ({ from, to }) =>
    from.kind === "node" && nodes.includes(from.index) !== nodes.includes(to) ? cut : undefined;
}

/** All links of the cluster and its clients. Faults overlap: a link has the worst of what is imposed on it. */
export class Links {
  readonly #links: Link[] = [];
  readonly #rules = new Set<Rule>();
  readonly #silences = new Set<SilenceRule>();
  /** Undefined where packets cannot be dropped: then proxies freeze. */
  readonly #filter = PacketFilter.open();

  /** All ways between a server and those that were added before it. */
  addNode(place: number, { rows }: Proxies): void {
    for (let other = 0; other < place; other++) {
      this.#add({ kind: "node", index: other }, place, rows[other]![place]!);
      this.#add({ kind: "node", index: place }, other, rows[place]![other]!);
    }
  }

  addClient(index: number, to: number, proxy: FrameProxy): void {
    this.#add({ kind: "client", index }, to, proxy);
  }

  /** Holds until the function that is returned is called. */
  impose(rule: Rule): () => void {
    this.#rules.add(rule);
    this.#apply();
    return () => {
      this.#rules.delete(rule);
      this.#apply();
    };
  }

  /** Drops all packets of some links until the function that is returned is called. */
  silence(rule: SilenceRule): () => void {
    this.#silences.add(rule);
    this.#applySilences();
    return () => {
      this.#silences.delete(rule);
      this.#applySilences();
    };
  }

  /** Packets that were dropped, or writes that frozen proxies kept back. */
  get silenced(): number {
    const kept = this.#links.reduce((sum, { proxy }) => sum + proxy.keptBack, 0);
    return kept + (this.#filter?.dropped ?? 0);
  }

  /** Ends the connections of some links, as a reset does. Yields how many there were. */
  reset(concerns: (link: Link) => boolean): number {
    let count = 0;
    for (const link of this.#links) if (concerns(link)) count += link.proxy.reset();
    return count;
  }

  get framesLost(): number {
    return this.#links.reduce((sum, { proxy }) => sum + proxy.dropped, 0);
  }

  get framesDelayed(): number {
    return this.#links.reduce((sum, { proxy }) => sum + proxy.delayed, 0);
  }

  #add(from: Link["from"], to: number, proxy: FrameProxy): void {
    this.#links.push({ from, to, proxy });
    this.#apply();
    if (this.#silences.size > 0) this.#applySilences();
  }

  #applySilences(): void {
    const to: number[] = [];
    const from: number[] = [];
    for (const link of this.#links) {
      const silences = [...this.#silences].map((rule) => rule(link)).filter((each) => each !== undefined);
      const { port } = link.proxy;
      const isOut = silences.some((silence) => silence !== "in");
      const isIn = silences.some((silence) => silence !== "out");
      if (isOut) to.push(port);
      if (isIn) from.push(port);
      if (this.#filter === undefined) link.proxy.isFrozen = isOut || isIn;
    }
    this.#filter?.setSilent({ to, from });
  }

  #apply(): void {
    for (const link of this.#links) {
      let weather: Weather | undefined;
      for (const rule of this.#rules) weather = worse(weather, rule(link));
      link.proxy.weather = weather;
    }
  }
}

function worse(one: Weather | undefined, other: Weather | undefined): Weather | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return {
    lossPercent: Math.max(one.lossPercent, other.lossPercent),
    delayPercent: Math.max(one.delayPercent, other.delayPercent),
    delayMsMin: Math.max(one.delayMsMin, other.delayMsMin),
    delayMsMax: Math.max(one.delayMsMax, other.delayMsMax),
  };
}
