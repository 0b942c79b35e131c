import { spawnSync } from "node:child_process";

/**
 * Machines of their own on this machine: network namespaces, all connected by a router that can be told to drop what goes from
 * one to another. Who sends is not told, as with a network that is broken. Needs root and iproute2.
 */
export class RoutedNetwork {
  readonly #name: string;
  readonly #net: string;
  readonly #count: number;
  #silences: string[][] = [];

  /** Makes `count` machines, or throws. `name` and `subnet` (1 to 250) are taken from the caller's process id: several may run. */
  constructor(name: string, subnet: number, count: number) {
    this.#name = name;
    this.#net = `10.${subnet}`;
    this.#count = count;
    try {
      this.#make();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  address(machine: number): string {
    return `${this.#net}.${machine}.2`;
  }

  /** The command that runs another one on that machine. */
  on(machine: number): string[] {
    return ["ip", "netns", "exec", this.#host(machine)];
  }

  /** From now on nothing gets from one of the machines to another one of them, neither way. */
  silence(pairs: readonly (readonly [number, number])[]): void {
    for (const [one, other] of pairs)
      for (const [from, to] of [
        [one, other],
        [other, one],
      ]) {
        const rule = ["from", this.address(from!), "to", this.address(to!), "blackhole"];
        ip("-n", this.#router, "rule", "add", "pref", "100", ...rule);
        this.#silences.push(rule);
      }
    ip("-n", this.#router, "route", "flush", "cache");
  }

  heal(): void {
    for (const rule of this.#silences.splice(0))
      ip("-n", this.#router, "rule", "del", "pref", "100", ...rule);
    ip("-n", this.#router, "route", "flush", "cache");
  }

  close(): void {
    for (let machine = 0; machine < this.#count; machine++)
      spawnSync("ip", ["netns", "del", this.#host(machine)]);
    spawnSync("ip", ["netns", "del", this.#router]);
  }

  get #router(): string {
    return `${this.#name}-router`;
  }

  #host(machine: number): string {
    return `${this.#name}-${machine}`;
  }

  #make(): void {
    const router = this.#router;
    ip("netns", "add", router);
    ip("-n", router, "link", "set", "lo", "up");
    ip("netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    for (let machine = 0; machine < this.#count; machine++) {
      const host = this.#host(machine);
      const near = `m${machine}`;
      ip("netns", "add", host);
      ip("-n", host, "link", "set", "lo", "up");
      ip("-n", router, "link", "add", near, "type", "veth", "peer", "name", "uplink", "netns", host);
      ip("-n", router, "addr", "add", `${this.#net}.${machine}.1/24`, "dev", near);
      ip("-n", router, "link", "set", near, "up");
      ip("-n", host, "addr", "add", `${this.address(machine)}/24`, "dev", "uplink");
      ip("-n", host, "link", "set", "uplink", "up");
      ip("-n", host, "route", "add", "default", "via", `${this.#net}.${machine}.1`);
    }
  }
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync("ip", args);
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}
