import type { Acceptor, ConnectFailure, Net, Socket, SocketHandler } from "../../src/env/net.ts";
import type { Prng } from "../../src/env/prng.ts";
import { emptyBytes } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { dialRetransmissionMs, retransmissionMs } from "./retransmission.ts";
import { type Dialler, Link, type LinkMode, type NetMachine, SimSocket } from "./sim-connection.ts";
import type { SimProcess } from "./sim-process.ts";
import { type NetCounts, type NetWeather, Sky } from "./sky.ts";
import type { Timeline } from "./timeline.ts";

export type { NetWeather } from "./sky.ts";

/** `hold`: what is sent arrives after the healing. `drop`: it never arrives. `silent`: as TCP meets a network that drops all. */
export type CutMode = Exclude<LinkMode, "open">;

type Accept = (socket: Socket) => SocketHandler;

/** What the dialler gave to be told by. */
interface Told {
  readonly opened: Accept;
  readonly failed: (reason: string, kind: ConnectFailure) => void;
}

interface Listening {
  readonly process: SimProcess;
  readonly accept: Accept;
  /** Dials that have arrived while the process is busy. */
  readonly dials: Set<Dial>;
}

/**
 * A network in virtual time that loses, doubles, delays and chops what it carries, and can be cut. A machine is named by
 * the host of its addresses. What a process sends leaves when the process is done with what came before, and it is told
 * everything in a turn of its own; so a dead one hears nothing, and a busy one later. All chance comes from one seed.
 */
export class SimNet {
  readonly #sky: Sky;
  readonly #machines = new Map<string, NetMachine>();
  readonly #links = new Map<string, Link>();
  readonly #listening = new Map<string, Listening>();
  /** Hosts that are addresses of other machines than those they are named like. */
  readonly #owners = new Map<string, string>();
  /** Those who cannot look up the name of a machine. */
  readonly #lostNames = new Map<string, readonly string[]>();
  /** All that are not gone, and some that are: see `#track`. */
  readonly #sockets = new Set<SimSocket>();
  #pruneAt = 64;
  #nextPort = firstChosenPort;

  constructor(timeline: Timeline, prng: Prng, weather: NetWeather) {
    this.#sky = new Sky(timeline, prng, weather);
  }

  get counts(): Readonly<NetCounts> {
    return this.#sky.counts;
  }

  /** The network as one process of a machine sees it. A machine that had lost power has it again. */
  of(process: SimProcess, machine: string): Net {
    this.#machine(machine).isDown = false;
    return {
      listen: (host, port, accept) => this.#listen(process, machine, { host, port }, accept),
      connect: (host, port, opened, failed) =>
        new Dial(this, this.#sky, process, machine, { host, port }, { opened, failed }).start(),
    };
  }

  /**
   * From now on nothing gets from one machine to another, in this direction: `hold` keeps it until the heal, then it all
   * arrives; `drop` loses it, and with it what was on its way; `silent` brings it late, and lets neither side know.
   */
  cut(from: string, to: string, mode: CutMode): void {
    this.link(from, to).mode = mode;
  }

  heal(from: string, to: string): void {
    this.link(from, to).mode = "open";
  }

  /** From now on whoever of `from` looks up the name of a machine waits for nothing. */
  loseName(from: readonly string[], machine: string): void {
    this.#lostNames.set(machine, from);
  }

  findName(machine: string): void {
    this.#lostNames.delete(machine);
  }

  isNameLost(from: string, machine: string): boolean {
    return this.#lostNames.get(machine)?.includes(from) === true;
  }

  /** From now on this host is an address of that machine, and of no other one. */
  assign(host: string, machine: string): void {
    this.#owners.set(host, machine);
  }

  /** The machine whose address a host is; without another word it is named like its host. */
  ownerOf(host: string): string {
    return this.#owners.get(host) ?? host;
  }

  /** Ends every cut, every clog and every lost name. */
  healAll(): void {
    this.#lostNames.clear();
    for (const link of this.#links.values()) {
      link.clogMs = 0;
      link.mode = "open";
    }
  }

  /** What is sent from one machine to another from now on takes `ms` longer. */
  clog(from: string, to: string, ms: number): void {
    this.link(from, to).clogMs = ms;
  }

  unclog(from: string, to: string): void {
    this.link(from, to).clogMs = 0;
  }

  /** Resets every connection between the two; both sides are told, whatever is cut. */
  reset(a: string, b: string): void {
    for (const socket of this.#sockets) {
      const { from, to } = socket.out.link;
      if (!(from.name === a && to.name === b) && !(from.name === b && to.name === a)) continue;
      socket.out.clear();
      socket.reset();
    }
  }

  /**
   * The process is dead: its listeners and connections are gone. `reset`: its system tells the others. `silent`: its
   * system died too, and nobody is told; what they send vanishes, until the machine has a new process, whose system
   * answers with a reset.
   */
  died(process: SimProcess, machine: string, how: "reset" | "silent"): void {
    if (how === "silent") this.#machine(machine).isDown = true;
    for (const [address, listening] of this.#listening) {
      if (listening.process !== process) continue;
      this.#listening.delete(address);
      for (const dial of listening.dials) dial.arrived();
    }
    for (const socket of this.#sockets) if (socket.process === process) socket.died(how);
  }

  /** What cuts, clogs and silences on the ways of a machine, or on all, have held up or taken so far. */
  hinderedAt(machine: string | undefined): number {
    let sum = 0;
    for (const { from, to, hindered } of this.#links.values())
      if (machine === undefined || from.name === machine || to.name === machine) sum += hindered;
    return sum;
  }

  link(from: string, to: string): Link {
    const key = `${from} ${to}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = new Link(this.#sky, this.#machine(from), this.#machine(to));
      this.#links.set(key, link);
    }
    return link;
  }

  /** Who listens there, if it lives. */
  listening(address: string): Listening | undefined {
    const listening = this.#listening.get(address);
    return listening?.process.isAlive === true ? listening : undefined;
  }

  /** A connection as the listening side accepts it; runs in its process. The answer is on its way to the dialler. */
  accept(listening: Listening, dial: Dial): void {
    const { process, accept } = listening;
    const remote = `${dial.from}:${this.#choosePort()}`;
    const near = new SimSocket(this.#sky, dial.process, this.link(dial.from, dial.host), dial.address);
    const far = new SimSocket(this.#sky, process, this.link(dial.host, dial.from), remote);
    near.join(far);
    near.dialler = dial;
    this.#track(near, far);
    far.out.push("open", emptyBytes, process.nowMs);
    far.handler = accept(far);
  }

  #listen(
    process: SimProcess,
    machine: string,
    { host, port }: { readonly host: string; readonly port: number },
    accept: Accept,
  ): Acceptor {
    const cannot = (why: string) => new KvraftError("IO_ERROR", `Cannot listen on ${host}:${port}: ${why}`);
    if (this.ownerOf(host) !== machine && host !== "0.0.0.0")
      throw cannot(
        "this machine has no such address; listen on one of its own, or on all of them (the key listen)",
      );
    if (port < 0 || port > 65_535) throw cannot("the port is out of range; choose one from 0 to 65535");
    const chosen = port === 0 ? this.#choosePort() : port;
    const address = `${host === "0.0.0.0" ? machine : host}:${chosen}`;
    if (this.listening(address) !== undefined)
      throw cannot("the port is in use by another process; stop that process or choose another port");
    const listening: Listening = { process, accept, dials: new Set() };
    this.#listening.set(address, listening);
    return {
      port: chosen,
      close: () => {
        if (this.#listening.get(address) === listening) this.#listening.delete(address);
      },
    };
  }

  #choosePort(): number {
    const port = this.#nextPort;
    this.#nextPort = port === 65_535 ? firstChosenPort : port + 1;
    return port;
  }

  #machine(name: string): NetMachine {
    let machine = this.#machines.get(name);
    if (machine === undefined) {
      machine = { name, isDown: false };
      this.#machines.set(name, machine);
    }
    return machine;
  }

  /** Lets go of those that are gone, now and then: looking at all of them each time would cost more than they do. */
  #track(near: SimSocket, far: SimSocket): void {
    this.#sockets.add(near).add(far);
    if (this.#sockets.size < this.#pruneAt) return;
    for (const socket of this.#sockets) if (socket.isGone && socket.out.isIdle) this.#sockets.delete(socket);
    this.#pruneAt = Math.max(64, 2 * this.#sockets.size);
  }
}

/** One dial, from the call to the moment when it is known what becomes of it. */
class Dial implements Dialler {
  readonly process: SimProcess;
  readonly from: string;
  readonly host: string;
  readonly address: string;
  readonly #net: SimNet;
  readonly #sky: Sky;
  readonly #told: Told;
  #startMs = 0;
  #isCancelled = false;

  constructor(
    net: SimNet,
    sky: Sky,
    process: SimProcess,
    from: string,
    to: { readonly host: string; readonly port: number },
    told: Told,
  ) {
    this.#net = net;
    this.#sky = sky;
    this.process = process;
    this.from = from;
    this.host = net.ownerOf(to.host);
    this.address = `${to.host}:${to.port}`;
    this.#told = told;
  }

  start(): { cancel(): void } {
    this.#startMs = this.process.nowMs;
    if (this.#net.isNameLost(this.from, this.host)) this.#lookUpInVain();
    else {
      const arrivalMs = this.#net.link(this.from, this.host).arrivalMs(this.#startMs);
      this.#sky.timeline.at(arrivalMs, undefined, () => this.arrived());
    }
    return {
      cancel: () => {
        this.#isCancelled = true;
      },
    };
  }

  opened(socket: Socket): SocketHandler | undefined {
    return this.#isCancelled ? undefined : this.#told.opened(socket);
  }

  /** The connection was gone before the answer to the dial was here: the machine has not said that nothing listens. */
  failed(reason: string): void {
    if (!this.#isCancelled) this.#told.failed(reason, "unreachable");
  }

  /** It is at the machine, whose system takes it: no process is needed for that. */
  arrived(): void {
    if (!this.process.isAlive) return;
    const { timeline } = this.#sky;
    const there = this.#net.link(this.from, this.host);
    const back = this.#net.link(this.host, this.from);
    for (const link of [there, back]) if (link.mode !== "open") link.hindered++;
    if (there.mode === "silent" || back.mode === "silent") return this.#knockLater();
    const held = [there, back].find((link) => link.mode === "hold");
    if (held !== undefined) return held.wait(() => this.arrived());
    if (there.mode === "drop" || back.mode === "drop" || there.to.isDown) {
      if (!this.#isCancelled) timeline.after(knockAgainMs, undefined, () => this.arrived());
      return;
    }
    const listening = this.#net.listening(this.address);
    if (listening === undefined) return this.#refused();
    listening.dials.add(this);
    timeline.at(timeline.nowMs, listening.process, () => {
      listening.dials.delete(this);
      if (!this.process.isAlive) return;
      // It may have closed its acceptor since.
      if (this.#net.listening(this.address) === listening) this.#net.accept(listening, this);
      else this.#refused();
    });
  }

  /** The system gives a lookup up at last, whether names are answered for again or not. */
  #lookUpInVain(): void {
    this.#sky.counts.hangingLookups++;
    this.#sky.timeline.at(this.#startMs + lookupMsMax, this.process, () => {
      if (!this.#isCancelled) this.#told.failed(lookupText, "unreachable");
    });
  }

  /** A silence took it, or the answer to it: the system asks again, less and less often. */
  #knockLater(): void {
    if (this.#isCancelled) return;
    const { timeline, counts } = this.#sky;
    counts.unansweredDials++;
    const atMs = retransmissionMs(this.#startMs, timeline.nowMs, dialRetransmissionMs);
    timeline.at(atMs, undefined, () => this.arrived());
  }

  #refused(): void {
    const { timeline } = this.#sky;
    const arrivalMs = this.#net.link(this.host, this.from).arrivalMs(timeline.nowMs);
    timeline.at(arrivalMs, this.process, () => {
      if (!this.#isCancelled) this.#told.failed(refusedText, "refused");
    });
  }
}

/** A dial that is not answered is sent again so much later, as TCP does. */
const knockAgainMs = 200;

/** As resolvers do: three servers, twice. */
const lookupMsMax = 20_000;

const firstChosenPort = 40_000;

const lookupText = "the name could not be looked up: no server of names has answered";
const refusedText = "the connection was refused, nothing listens there";
