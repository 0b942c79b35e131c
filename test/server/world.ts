import { clientEndsOf } from "../../src/client/client-ends.ts";
import { KVClient } from "../../src/client/kv-client.ts";
import { defaultLimits, defaultTimings, type Limits, type ServerConfig } from "../../src/config/config.ts";
import type { Clock, Timer } from "../../src/env/clock.ts";
import type { Env } from "../../src/env/env.ts";
import type { Acceptor, ConnectFailure, Net, Socket, SocketHandler } from "../../src/env/net.ts";
import { Prng } from "../../src/env/prng.ts";
import type { Address } from "../../src/lib/address.ts";
import type { KvraftError } from "../../src/lib/error.ts";
import { KVServer } from "../../src/server/kv-server.ts";
import { MemoryTables } from "../leveldb/memory-tables.ts";
import { MemoryWorkers } from "../leveldb/memory-workers.ts";
import { CrashDisk, type Fate } from "../raftlog/crash-disk.ts";
import { ManualClock, MemoryNet } from "../rpc/memory-net.ts";

/** The clock of one process: after its death nothing it has asked for happens. */
class ProcessClock implements Clock {
  readonly #clock: Clock;
  readonly #isAlive: () => boolean;
  /** How far this machine's clock is off, in ms. */
  skewMs = 0;

  constructor(clock: Clock, isAlive: () => boolean) {
    this.#clock = clock;
    this.#isAlive = isAlive;
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  wallMs(): number {
    return this.#clock.wallMs() + this.skewMs;
  }

  after(ms: number, run: () => void): Timer {
    return this.#clock.after(ms, () => {
      if (this.#isAlive()) run();
    });
  }

  soon(run: () => void): void {
    this.after(0, run);
  }
}

/** The network of one process, whose connections break when it dies. */
class ProcessNet implements Net {
  readonly #net: Net;
  readonly #sockets = new Set<Socket>();
  readonly #acceptors = new Set<Acceptor>();
  #isAlive = true;

  constructor(net: Net) {
    this.#net = net;
  }

  listen(host: string, port: number, accept: (socket: Socket) => SocketHandler): Acceptor {
    const acceptor = this.#net.listen(host, port, (socket) => this.#watch(socket, accept(socket)));
    this.#acceptors.add(acceptor);
    return acceptor;
  }

  connect(
    host: string,
    port: number,
    opened: (socket: Socket) => SocketHandler,
    failed: (reason: string, kind: ConnectFailure) => void,
  ): { cancel(): void } {
    return this.#net.connect(
      host,
      port,
      (socket) => {
        if (this.#isAlive) return this.#watch(socket, opened(socket));
        socket.terminate();
        return this.#watch(socket, undefined);
      },
      (reason, kind) => {
        if (this.#isAlive) failed(reason, kind);
      },
    );
  }

  die(): void {
    this.#isAlive = false;
    for (const acceptor of this.#acceptors) acceptor.close();
    for (const socket of this.#sockets) socket.terminate();
  }

  #watch(socket: Socket, handler: SocketHandler | undefined): SocketHandler {
    this.#sockets.add(socket);
    const live = () => (this.#isAlive ? handler : undefined);
    return {
      data: (bytes) => live()?.data(bytes),
      drain: () => live()?.drain(),
      ended: () => live()?.ended(),
      closed: (reason) => {
        this.#sockets.delete(socket);
        live()?.closed(reason);
      },
    };
  }
}

/** One server's machine: its disk outlives the processes on it. */
export class Machine {
  readonly world: World;
  readonly place: number;
  disk = new CrashDisk();
  /** Its disk ends no write while this is set. */
  isDiskHung = false;
  skewMs = 0;
  server: KVServer | undefined;
  clock: ProcessClock | undefined;
  #net: ProcessNet | undefined;
  /** How the last process ended by itself; undefined while it runs. */
  failure: KvraftError | undefined;
  lines: string[] = [];
  #kill = () => {};

  constructor(world: World, place: number) {
    this.world = world;
    this.place = place;
  }

  get isRunning(): boolean {
    return this.server !== undefined;
  }

  get config(): ServerConfig {
    const { addresses, limits } = this.world;
    return {
      me: this.place,
      servers: addresses,
      dataDir: "data",
      timings: defaultTimings,
      limits: { ...defaultLimits, ...limits },
      logLevel: "info",
    };
  }

  /** Starts as a new server does that asks a cluster to let it in: its own file lists it alone. */
  join(via: Machine): KVServer {
    return this.start({ me: 0, servers: [this.address] }, via.address);
  }

  get address(): Address {
    return { host: "sim", port: 7001 + this.place };
  }

  start(config: Partial<ServerConfig> = {}, join?: Address): KVServer {
    let isAlive = true;
    this.#kill = () => {
      isAlive = false;
    };
    const clock = new ProcessClock(this.world.clock, () => isAlive);
    clock.skewMs = this.skewMs;
    const net = new ProcessNet(this.world.net);
    const { disk } = this;
    const tables = new MemoryTables(disk);
    const env: Env = {
      clock,
      net,
      disk,
      tables,
      workers: new MemoryWorkers({ disk, tables }, (run) => clock.soon(run)),
      random32: () => this.world.prng.u32(),
    };
    this.lines = [];
    this.failure = undefined;
    const log = (_: string, line: string) => void this.lines.push(line);
    const options = join === undefined ? { env, log } : { env, log, join };
    const server = KVServer.start({ ...this.config, ...config }, options);
    this.server = server;
    this.clock = clock;
    this.#net = net;
    void server.stopped.then((failure) => {
      isAlive = false;
      this.failure = failure;
      if (this.server === server) this.server = undefined;
    });
    return server;
  }

  /** Ends the process as SIGTERM does. */
  async stop(): Promise<void> {
    let isDone = false;
    void this.server?.stop().then(() => {
      isDone = true;
    });
    if (this.server !== undefined) await this.world.until(() => isDone, "the server has stopped");
    this.server = undefined;
  }

  /** Ends the process as a power cut does. */
  crash(fate: Fate = "lost"): void {
    this.#kill();
    this.#net?.die();
    this.server = undefined;
    this.disk = this.disk.crash(fate, this.world.prng);
  }
}

/** A few machines, one network, and time that only the test moves. */
export class World {
  readonly clock = new ManualClock();
  readonly net: MemoryNet;
  readonly prng: Prng;
  readonly machines: Machine[];
  readonly limits: Partial<Limits>;
  /** The machines that form the cluster; later ones join it. */
  readonly #count: number;

  constructor(count: number, seed = 1, limits: Partial<Limits> = {}) {
    this.prng = new Prng(seed);
    this.net = new MemoryNet(this.clock, this.prng.fork(), 1 << 16);
    this.limits = limits;
    this.#count = count;
    this.machines = Array.from({ length: count }, (_, place) => new Machine(this, place));
  }

  get addresses(): Address[] {
    return this.machines.slice(0, this.#count).map(({ address }) => address);
  }

  /** One more machine, with an empty disk. */
  add(): Machine {
    const machine = new Machine(this, this.machines.length);
    this.machines.push(machine);
    return machine;
  }

  get leader(): Machine | undefined {
    return this.machines.find((machine) => machine.server?.isLeader === true);
  }

  start(): void {
    for (const machine of this.machines) if (!machine.isRunning) machine.start();
  }

  client(timeoutMs = 5000): KVClient {
    return new KVClient(clientEndsOf(this.addresses, this), { env: this, timeoutMs });
  }

  /** Lets time pass, a millisecond at a time, with everything that promises lead to in between. */
  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed++) {
      this.clock.run(1);
      for (const machine of this.machines) if (!machine.isDiskHung) machine.disk.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async until(condition: () => boolean, what: string, msMax = 8000): Promise<void> {
    for (let passed = 0; !condition(); passed++) {
      if (passed > msMax) throw new Error(`still not so: ${what}`);
      await this.run(1);
    }
  }

  /** The promise's value, with the time that it takes. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await this.until(() => isSettled, "the promise is settled", 20_000);
    return promise;
  }

  async stop(): Promise<void> {
    for (const machine of this.machines) await machine.stop();
  }
}
