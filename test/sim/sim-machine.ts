import { defaultLimits, type ServerConfig } from "../../src/config/config.ts";
import type { Env } from "../../src/env/env.ts";
import type { Prng } from "../../src/env/prng.ts";
import type { Address } from "../../src/lib/address.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { serverListText } from "../../src/server/formation-messages.ts";
import { KVServer } from "../../src/server/kv-server.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import type { Fate, MachinePlan, Plan } from "./plan.ts";
import { preparedFiles } from "./restored-founders.ts";
import { PowerCut, SimDisk } from "./sim-disk.ts";
import type { SimNet } from "./sim-net.ts";
import { SimProcess } from "./sim-process.ts";
import { noStoreWork, SimWorkers } from "./sim-workers.ts";
import type { Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

/** Told when a process has ended by itself, with its failure, or as it was asked to. */
export type Ended = (machine: SimMachine, failure: KvraftError | undefined) => void;

export const dataDir = "data";

/** One server's machine: its disk and its clock outlive the processes on it. */
export class SimMachine {
  readonly place: number;
  readonly name: string;
  readonly disk: SimDisk;
  readonly weather: { writeMsMin: number; writeMsMax: number; syncMsMin: number; syncMsMax: number } & {
    isHung: boolean;
    storeHangsUntilMs: number;
    storeHeldUntilMs: number;
    isFull: boolean;
    failSyncs: boolean;
  };
  readonly plan: MachinePlan;
  readonly storeWork = noStoreWork();
  skewMs: number;
  /** How far its wall clock has ever been off: at the least, and at the most. */
  skewMsMin: number;
  skewMsMax: number;
  /** Somebody wants it to be down until they start it again. */
  isHeldDown = false;
  /** Its data is damaged beyond what it can repair by itself: an operator would replace it. */
  isBroken = false;
  /** Its disk was made to fail, or to be full, so that its process may end by itself. */
  mayFail = false;
  isDamaged = false;
  /** Nobody has put it to use yet, or again. */
  isSpare: boolean;
  /** Its disk was lost, and whoever it was is a member still. */
  isWiped = false;
  /** How often its lost folder was prepared from the backup again. */
  restoredAgain = 0;
  /** It was told that it is no member any more, and has ended. */
  isRemoved = false;
  /** The server by which it asks to be let in; undefined for a founder. */
  joinVia: Address | undefined;
  /** How often a process of it has ended, was paused, had its clock moved, and its address. */
  deaths = 0;
  pauses = 0;
  clockJumps = 0;
  moves = 0;
  /** When its last process has ended, in virtual time. */
  endedAtMs: number | undefined;
  process: SimProcess | undefined;
  server: KVServer | undefined;
  /** The host of its address: its own name at first. */
  host: string;
  /** Who it was, when its disk was lost: that one is to be replaced. */
  lostId: string | undefined;
  /** Told that all that was on its disk is lost. */
  onWiped: (machine: SimMachine) => void = () => {};
  /** A copy has taken the place of its folder. */
  wasSetBack = false;
  /** Told that its disk holds what it held before. */
  onSetBack: (machine: SimMachine) => void = () => {};
  readonly #world: {
    readonly timeline: Timeline;
    readonly net: SimNet;
    readonly trace: Trace;
    readonly plan: Plan;
    readonly machines: readonly SimMachine[];
  };
  readonly #prng: Prng;
  readonly #ended: Ended;

  constructor(
    world: {
      readonly timeline: Timeline;
      readonly net: SimNet;
      readonly trace: Trace;
      readonly plan: Plan;
      readonly machines: readonly SimMachine[];
    },
    place: number,
    prng: Prng,
    ended: Ended,
  ) {
    this.#world = world;
    this.place = place;
    this.name = `n${place + 1}`;
    this.host = this.name;
    this.plan = world.plan.machines[place]!;
    this.isSpare = place >= world.plan.founders;
    this.skewMs = this.plan.skewMs;
    this.skewMsMin = this.skewMs;
    this.skewMsMax = this.skewMs;
    this.#prng = prng;
    this.#ended = ended;
    const { writeMsMin, writeMsMax, syncMsMax } = this.plan;
    this.weather = {
      writeMsMin,
      writeMsMax,
      syncMsMin: 0.1,
      syncMsMax,
      isHung: false,
      storeHangsUntilMs: 0,
      storeHeldUntilMs: 0,
      isFull: false,
      failSyncs: false,
    };
    this.disk = new SimDisk(world.timeline, prng.fork(), this.weather);
  }

  get address(): Address {
    return { host: this.host, port: 5001 };
  }

  /** From its next start on it is found there. */
  moveTo(host: string): void {
    this.#world.trace.add(`${this.name} has the address ${host} now`);
    this.moves++;
    this.#world.net.assign(host, this.name);
    this.host = host;
  }

  get isUp(): boolean {
    return this.server !== undefined;
  }

  get isLeader(): boolean {
    return this.server?.isLeader === true;
  }

  /** Its wall clock is set, by an operator or a time server. */
  jumpClock(byMs: number): void {
    this.skewMs += byMs;
    this.skewMsMin = Math.min(this.skewMsMin, this.skewMs);
    this.skewMsMax = Math.max(this.skewMsMax, this.skewMs);
    if (this.process === undefined) return;
    this.clockJumps++;
    this.process.skewMs = this.skewMs;
  }

  /** Starts the process, unless it runs or may not. */
  start(): void {
    if (this.isUp || this.isHeldDown || this.isBroken || this.isSpare) return;
    const { timeline, net, trace } = this.#world;
    const { clockRate } = this.plan;
    const process = new SimProcess(timeline, { name: this.name, clockRate, skewMs: this.skewMs });
    this.process = process;
    const disk = this.disk.of(process);
    const env: Env = {
      clock: process,
      net: net.of(process, this.name),
      disk,
      tables: new MemoryTables(disk),
      workers: new SimWorkers(timeline, process, this.disk, this.storeWork),
      random32: () => this.#prng.u32(),
    };
    this.weather.storeHeldUntilMs = 0;
    trace.add(`${this.name} starts`);
    try {
      const log = (level: string, line: string) => trace.add(`${this.name} ${level}: ${line}`);
      const join = this.joinVia;
      const server = KVServer.start(this.#config(), join === undefined ? { env, log } : { env, log, join });
      this.server = server;
      void server.stopped.then((failure) => this.#stopped(server, failure));
    } catch (error) {
      if (error instanceof PowerCut) return;
      if (!(error instanceof KvraftError)) throw error;
      this.#died("reset");
      this.#ended(this, error);
    }
  }

  /** Ends the process as SIGTERM does; what it does after it is its own affair. */
  stop(): void {
    const { server, process } = this;
    if (server !== undefined) this.#world.timeline.after(0, process, () => void server.stop());
  }

  /** The process stands still, as SIGSTOP does. */
  pause(ms: number): void {
    if (this.process?.isAlive !== true) return;
    this.pauses++;
    this.process.pause(ms);
  }

  /** Ends the process as kill -9 does: its system lives on. */
  kill(): void {
    if (this.process?.isAlive !== true) return;
    this.#world.trace.add(`${this.name} is killed`);
    this.disk.killed(this.process);
    this.#died("reset");
  }

  /** Ends the process and its system. */
  cutPower(fate: Fate, isTold: boolean): void {
    this.#world.trace.add(`${this.name} loses power, what was not synced is ${fate}`);
    if (this.process?.isAlive === true) this.#died(isTold ? "reset" : "silent");
    this.disk.powerCut(fate);
  }

  /** A copy of its folder takes the folder's place. It is down, and stays so until it is started. */
  setBack(files: ReadonlyMap<string, Bytes>): void {
    this.kill();
    this.#world.trace.add(`${this.name} is set back to a copy of its folder`);
    this.disk.wipe();
    this.disk.load(files);
    this.isDamaged = true;
    this.wasSetBack = true;
    this.onSetBack(this);
  }

  /** Its disk is a new one. It is down, and stays so until it is started. */
  wipe(): void {
    this.kill();
    this.#world.trace.add(`${this.name} has an empty disk`);
    this.disk.wipe();
    this.isDamaged = false;
    this.isBroken = false;
    this.onWiped(this);
  }

  /** Its folder is made from the backup, as a founder's; it is down. */
  prepare(): void {
    this.#world.trace.add(`${this.name} has a folder that was prepared from the backup`);
    this.disk.load(preparedFiles(dataDir, this.place, serverListText(this.#founders)));
  }

  /** Somebody restores the lost folder of one member, which must not be done. */
  restoreAgain(): void {
    if (this.#world.plan.restored === undefined || this.joinVia !== undefined) return;
    this.prepare();
    this.restoredAgain++;
  }

  get #founders(): Address[] {
    const { plan, machines } = this.#world;
    return machines.slice(0, plan.founders).map(({ address }) => address);
  }

  #died(how: "reset" | "silent"): void {
    const { process } = this;
    this.process = undefined;
    this.server = undefined;
    if (process === undefined) return;
    this.deaths++;
    this.endedAtMs = this.#world.timeline.nowMs;
    process.die();
    this.#world.net.died(process, this.name, how);
  }

  #stopped(server: KVServer, failure: KvraftError | undefined): void {
    if (this.server !== server) return;
    const { trace } = this.#world;
    trace.add(`${this.name} has ended${failure === undefined ? "" : `: ${failure.code} ${failure.message}`}`);
    if (this.process !== undefined) this.disk.killed(this.process);
    this.#died("reset");
    this.#ended(this, failure);
  }

  #config(): ServerConfig {
    const { timings, limits } = this.#world.plan;
    // Whoever moves a machine tells it where the others are.
    const others = this.#world.machines.filter((machine) => machine !== this && !machine.isSpare);
    const isFounder = this.joinVia === undefined;
    return {
      me: isFounder ? this.place : 0,
      servers: isFounder ? this.#founders : [this.address, ...others.map(({ address }) => address)],
      dataDir,
      timings,
      limits: { ...defaultLimits, ...limits, valueBytes: 16 * 1024, keyBytes: 256 },
      logLevel: "info",
    };
  }
}
