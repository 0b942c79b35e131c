import { isIP, Socket as NodeSocket } from "node:net";
import type { SocketHandler as RawHandler, Socket as RawSocket } from "bun";
import { assert } from "../lib/assert.ts";
import { BunSocket, events } from "./bun-socket.ts";
import type { Clock, Timer } from "./clock.ts";
import { codeOf } from "./error-code.ts";
import type { HostNames } from "./host-names.ts";
import type { ConnectFailure, Socket, SocketHandler } from "./net.ts";

/** The next address of a name is tried beside the one before, when that has not answered in this time (ms). */
const nextAddressMs = 100;
/** Addresses of one name that are tried. */
const addressesMax = 4;

/** A failure of one address says less about the host than a failure later in this list. */
const certainty: Record<ConnectFailure, number> = { refused: 0, reset: 1, unreachable: 2 };

interface Failed {
  readonly reason: string;
  readonly kind: ConnectFailure;
}

/**
 * One dial: looks the name up, tries its addresses one after the other, keeps the first connection that opens. The dial
 * is made by node:net, because what Bun.connect has begun cannot be given up: it would hold a descriptor for two minutes
 * when nobody answers. The socket inside of node's is one of Bun's, and is used alone as soon as it is open.
 */
export class BunDial {
  readonly #clock: Clock;
  readonly #names: HostNames;
  readonly #host: string;
  readonly #port: number;
  readonly #opened: (socket: Socket) => SocketHandler;
  readonly #failed: (reason: string, kind: ConnectFailure) => void;
  readonly #attempts = new Set<NodeSocket>();
  #left: readonly string[] = [];
  #lookup: { cancel(): void } | undefined;
  #timer: Timer | undefined;
  #worst: Failed | undefined;
  #isOver = false;

  constructor(
    clock: Clock,
    names: HostNames,
    host: string,
    port: number,
    opened: (socket: Socket) => SocketHandler,
    failed: (reason: string, kind: ConnectFailure) => void,
  ) {
    this.#clock = clock;
    this.#names = names;
    this.#host = host;
    this.#port = port;
    this.#opened = opened;
    this.#failed = failed;
  }

  start(): this {
    if (isIP(this.#host) !== 0) this.#tryAll([this.#host]);
    else
      this.#lookup = this.#names.lookUp(this.#host, (outcome) => {
        if (outcome.ok) this.#tryAll(outcome.addresses.slice(0, addressesMax));
        else this.#tell({ reason: whyUnknown(outcome.code), kind: "unreachable" });
      });
    return this;
  }

  /** Nothing is told any more; what is under way is given up, with its descriptor. */
  cancel(): void {
    this.#isOver = true;
    this.#lookup?.cancel();
    this.#timer?.cancel();
    for (const attempt of this.#attempts) attempt.destroy();
    this.#attempts.clear();
  }

  #tryAll(addresses: readonly string[]): void {
    this.#left = addresses;
    this.#tryNext();
  }

  #tryNext(): void {
    this.#timer?.cancel();
    const [address, ...left] = this.#left;
    if (this.#isOver || address === undefined) return;
    this.#left = left;
    if (left.length > 0) this.#timer = this.#clock.after(nextAddressMs, () => this.#tryNext());
    const attempt = new NodeSocket({ allowHalfOpen: true });
    this.#attempts.add(attempt);
    attempt.once("connect", () => this.#connected(attempt));
    attempt.once("error", (error: Error) => void this.#attemptFailed(attempt, address, error));
    try {
      attempt.connect(this.#port, address);
    } catch (error) {
      void this.#attemptFailed(attempt, address, error);
    }
  }

  #connected(attempt: NodeSocket): void {
    if (this.#isOver) return void attempt.destroy();
    const raw = rawSocketOf(attempt);
    this.#attempts.delete(attempt);
    this.cancel();
    raw.reload({ socket: events });
    new BunSocket(raw).opened(this.#opened);
  }

  async #attemptFailed(attempt: NodeSocket, address: string, error: unknown): Promise<void> {
    const code = String(codeOf(error) ?? error);
    const failed = await failureOf(code, address, this.#port);
    if (this.#isOver) return;
    this.#attempts.delete(attempt);
    if (this.#worst === undefined || certainty[failed.kind] >= certainty[this.#worst.kind])
      this.#worst = failed;
    if (this.#left.length > 0) this.#tryNext();
    else if (this.#attempts.size === 0) this.#tell(this.#worst);
  }

  /** In a turn of its own: what the owner throws reaches the process, and no call nests in another. */
  #tell({ reason, kind }: Failed): void {
    this.#clock.soon(() => {
      if (this.#isOver) return;
      this.#isOver = true;
      this.#failed(reason, kind);
    });
  }
}

/** What `reload` is told has no name in the types of node:net. */
function rawSocketOf(
  attempt: NodeSocket,
): RawSocket<BunSocket> & { reload(to: { socket: RawHandler<BunSocket> }): void } {
  const handle: unknown = (attempt as { _handle?: unknown })._handle;
  assert(
    typeof handle === "object" && handle !== null && "reload" in handle,
    "a socket of node:net holds one of Bun's",
  );
  return handle as ReturnType<typeof rawSocketOf>;
}

async function failureOf(code: string, address: string, port: number): Promise<Failed> {
  if (code !== "ECONNREFUSED")
    return { reason: whyUnreachable(code), kind: code === "ECONNRESET" ? "reset" : "unreachable" };
  const cause = await noRouteTo(address, port);
  return { reason: whyUnreachable(cause ?? code), kind: cause === undefined ? "refused" : "unreachable" };
}

function whyUnknown(code: string): string {
  if (code === "ENOTFOUND" || code === "ENODATA") return "the host is unknown";
  if (code === "ETOOMANYLOOKUPS") return "too many lookups of host names are under way";
  return `the lookup of the host's name failed (${code}); check the name and this machine's resolver`;
}

/**
 * The code of the error when this machine cannot even try to reach the host, else undefined. Bun's dials say ECONNREFUSED
 * also when the network or the host is unreachable, and "nothing listens there" must not be said of a host that nobody has
 * asked. To connect a UDP socket sends nothing, and tells the truth about the routes. It cannot tell that a host of our
 * own network segment is silent: the system gives up on such a one after three seconds, later than our dials do.
 * `address` is no name: Bun would look it up on the event loop.
 */
async function noRouteTo(address: string, port: number): Promise<string | undefined> {
  try {
    const probe = await Bun.udpSocket({
      hostname: address.includes(":") ? "::" : "0.0.0.0",
      connect: { hostname: address, port },
      socket: {},
    });
    probe.close();
    return undefined;
  } catch (error) {
    return String(codeOf(error) ?? error);
  }
}

function whyUnreachable(code: string): string {
  if (code === "ECONNREFUSED") return "the connection was refused, nothing listens there";
  if (code === "ECONNRESET") return "the other side reset the connection while it was made";
  if (code === "ENETUNREACH" || code === "EHOSTUNREACH") return "this machine has no way to the host";
  return code;
}
