import type { Address } from "../lib/address.ts";
import { ClientEnd, type ClientEndEnv, type ClientEndOptions } from "./client-end.ts";
import type { Hello } from "./hello.ts";

export type ConnectResult =
  | { readonly ok: true; readonly end: ClientEnd }
  | { readonly ok: false; readonly reason: "unreachable" | "refused"; readonly text: string };

/** Dials once and says hello: a connected end, or why there is none. `end.close()` is the caller's. */
export function tryConnect(
  env: ClientEndEnv,
  address: Address,
  hello: Hello,
  timeoutMs: number,
  options: Omit<ClientEndOptions, "keepConnected"> = {},
): Promise<ConnectResult> {
  return new Promise((resolve) => {
    const end = new ClientEnd(env, address, hello, {
      ...options,
      onConnected: (reply) => {
        options.onConnected?.(reply);
        resolve({ ok: true, end });
      },
      onDialFailed: (failure) => {
        options.onDialFailed?.(failure);
        resolve({ ok: false, reason: failure.reason, text: failure.text });
      },
    });
    end.connect(timeoutMs);
  });
}
