import type { Clock, Timer } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { statusOf } from "../kv/status.ts";
import { type Address, formatAddress, parseAddress } from "../lib/address.ts";
import { ByteReader, DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import type { NodeId } from "../raft/types.ts";
import { ClientEnd } from "../rpc/client-end.ts";
import { makeHello, noId } from "../rpc/hello.ts";
import { encodeJoin } from "../rpc/member-requests.ts";
import { method } from "../rpc/method.ts";
import { decodeAnswerHead, decodeRefusal } from "../rpc/reply.ts";
import { encodeRequestHead } from "../rpc/request.ts";

export interface JoiningOptions {
  readonly env: { readonly clock: Clock; readonly net: Net };
  /** Servers of the cluster, any of them: asked in turn until one knows who leads. */
  readonly via: readonly Address[];
  /** The only cluster that may answer; any one when it is not said. */
  readonly clusterId?: string;
  readonly nodeId: NodeId;
  /** Where the others will find this node. */
  readonly address: Address;
  readonly log: (line: string) => void;
}

/** Between two tries, in ms: a person starts the cluster and the new server in any order. */
const askEveryMs = 500;
/** A change of the members takes two rounds of the cluster and needs a majority; an answer is not waited for longer. */
const askTimeoutMs = 5_000;

/**
 * A new server asks the cluster to be let in, as a learner: it is sent the data and decides nothing, until a person says
 * so. Asked again and again until the leader has answered, because the answer may get lost; being let in twice changes
 * nothing.
 */
export class Joining {
  readonly #options: JoiningOptions;
  readonly #done = Promise.withResolvers<string>();
  #end: ClientEnd;
  /** Servers to ask: those that were named, and the members that one of them told of: it may be the next to go. */
  #servers: readonly Address[];
  /** The place of the one that was asked last. */
  #at = 0;
  #timer: Timer | undefined;
  #isOver = false;
  #told = "";

  constructor(options: JoiningOptions) {
    this.#options = options;
    this.#servers = options.via;
    this.#end = this.#endAt(options.via[0]!);
  }

  /** Resolves with the id of the cluster; rejects with a KvraftError when it does not want this node. */
  run(): Promise<string> {
    void this.#ask();
    return this.#done.promise;
  }

  /** Gives up, without a result. */
  stop(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    void this.#end.close();
  }

  async #ask(): Promise<void> {
    const { nodeId, address } = this.#options;
    const request = { nodeId, address: formatAddress(address) };
    const result = await this.#end.call(
      method.join,
      (body) => {
        encodeRequestHead(body, askTimeoutMs);
        encodeJoin(body, request);
      },
      askTimeoutMs,
    );
    if (this.#isOver) return;
    try {
      if (result.ok) this.#answered(new ByteReader(result.body));
      else this.#failed(result.text);
    } catch (error) {
      if (error instanceof DecodeError) this.#tell(`the answer cannot be read: ${error.message}`);
      else {
        this.stop();
        this.#done.reject(error);
      }
    }
    if (!this.#isOver) this.#timer = this.#options.env.clock.after(askEveryMs, () => void this.#ask());
  }

  /** Whom it was sent to may be gone for good: one of the servers that were named knows who leads now. */
  #failed(text: string): void {
    this.#tell(text);
    this.#follow(undefined);
  }

  #answered(reader: ByteReader): void {
    const status = statusOf(reader.u8());
    if (status === "OK") {
      decodeAnswerHead(reader);
      const clusterId = reader.id();
      this.stop();
      this.#done.resolve(clusterId);
      return;
    }
    const { leader, retryable, text } = decodeRefusal(reader);
    if (!retryable) throw new KvraftError("IDENTITY", `Cannot join the cluster: ${text}`);
    this.#tell(text);
    // The leader has answered, and cannot do it now: it is asked again.
    if (status === "ErrWrongLeader") this.#follow(parseAddress(leader));
  }

  /** Only the leader can let anybody in; of those who know none each is asked again in its turn. */
  #follow(named: Address | undefined): void {
    this.#learn(this.#end.servers);
    // While addresses change, the leader may be said to be where this node is, or where another one has answered.
    const isElsewhere = named !== undefined && !this.#wasAskedAt(named);
    const leader = isElsewhere ? named : undefined;
    if (leader === undefined) this.#at = (this.#at + 1) % this.#servers.length;
    const next = leader ?? this.#servers[this.#at]!;
    if (formatAddress(next) === formatAddress(this.#end.address)) return;
    void this.#end.close();
    this.#end = this.#endAt(next);
  }

  #wasAskedAt(address: Address): boolean {
    const name = formatAddress(address);
    return name === formatAddress(this.#options.address) || name === formatAddress(this.#end.address);
  }

  #learn(servers: string): void {
    if (servers === "") return;
    const { via, address } = this.#options;
    const known = [...via, address].map(formatAddress);
    const others = servers.split(" ").filter((server) => !known.includes(server));
    this.#servers = [...via, ...others.flatMap((server) => parseAddress(server) ?? [])];
  }

  #endAt(address: Address): ClientEnd {
    const { clusterId = noId } = this.#options;
    const hello = makeHello({ clusterId, nodeId: noId, role: "client", purpose: "client" });
    return new ClientEnd(this.#options.env, address, hello);
  }

  #tell(line: string): void {
    if (line === this.#told) return;
    this.#told = line;
    this.#options.log(`waiting to be let in by ${formatAddress(this.#end.address)}: ${line}`);
  }
}
