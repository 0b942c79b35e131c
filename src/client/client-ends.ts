import { parseClientConfig } from "../config/client-config.ts";
import { BunClock } from "../env/bun-clock.ts";
import { BunDisk } from "../env/bun-disk.ts";
import { BunNet } from "../env/bun-net.ts";
import type { Clock } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import type { Address } from "../lib/address.ts";
import { fromUtf8Strict } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import { ClientEnd } from "../rpc/client-end.ts";
import { makeHello, noId } from "../rpc/hello.ts";
import { connectTimeoutMs } from "../rpc/limits.ts";
import { type ConnectResult, tryConnect as dialOnce } from "../rpc/try-connect.ts";

/** The world as it is, as far as a client needs it. */
export function realClientEnv(): { readonly clock: Clock; readonly net: Net } {
  return { clock: new BunClock(), net: new BunNet() };
}

/** One end for each server of a client configuration file (YAML: `servers`). Throws a KvraftError (CONFIG). */
export function getClientEnds(path: string): ClientEnd[] {
  const bytes = new BunDisk().read(path);
  if (bytes === undefined)
    throw new KvraftError("CONFIG", `Cannot read the configuration "${path}": there is no such file`);
  const text = fromUtf8Strict(bytes);
  if (text === undefined)
    throw new KvraftError("CONFIG", `Cannot read the configuration "${path}": it is not UTF-8`);
  return clientEndsOf(parseClientConfig(text, path).servers);
}

const hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });

/** Dials one server as a client: a connected end, which is the caller's to close, or why there is none. */
export function tryConnect(address: Address, timeoutMs = connectTimeoutMs): Promise<ConnectResult> {
  return dialOnce(realClientEnv(), address, hello, timeoutMs);
}

/** One end for each address; they dial when they are used. */
export function clientEndsOf(addresses: readonly Address[], env = realClientEnv()): ClientEnd[] {
  return addresses.map((address) => new ClientEnd(env, address, hello));
}
