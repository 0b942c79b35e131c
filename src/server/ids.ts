import type { Env } from "../env/env.ts";
import { noId } from "../rpc/hello.ts";

/** A random id of 64 bits: 16 hexadecimal digits, never all zeros. */
export function newId(env: Pick<Env, "random32">): string {
  const half = () => env.random32().toString(16).padStart(8, "0");
  const id = half() + half();
  return id === noId ? newId(env) : id;
}
