import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Bytes } from "../../src/lib/bytes.ts";
import { track } from "./processes.ts";

/** The binary under test; KVRAFT_BINARY names another one, such as a build that was broken on purpose. */
export const binary = resolve(process.env["KVRAFT_BINARY"] ?? join(import.meta.dir, "../../dist/kvraft"));

if (!existsSync(binary)) throw new Error(`Cannot test "${binary}": there is no such file; run make build`);

export interface RunOptions {
  readonly stdin?: string | Bytes;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Killed with -9 after this; the test then sees the code 137. */
  readonly timeoutMs?: number;
}

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Bytes;
  /** 128 and the signal's number when a signal ended it, as shells say. */
  readonly code: number;
}

/** Without what would change the binary's behaviour from outside. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { PATH = "/usr/bin:/bin", TMPDIR } = process.env;
  return { PATH, HOME: "/nonexistent", ...(TMPDIR === undefined ? {} : { TMPDIR }), ...extra };
}

/** Runs the binary to its end. Stdin is empty unless given. */
export async function kvraft(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { stdin = "", env = {}, cwd, timeoutMs = 20_000 } = options;
  const child = track(
    Bun.spawn([binary, ...args], {
      stdin: typeof stdin === "string" ? Buffer.from(stdin) : stdin,
      stdout: "pipe",
      stderr: "pipe",
      env: cleanEnvironment(env),
      ...(cwd === undefined ? {} : { cwd }),
    }),
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const [stdoutBytes, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
  await child.exited;
  clearTimeout(timer);
  const stdout = Buffer.from(stdoutBytes).toString();
  return { stdout, stderr, stdoutBytes, code: codeOf(child) };
}

const signalNumbers: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15, SIGXFSZ: 25 };

/** The exit status of an ended child, as shells say it. */
export function codeOf(child: {
  readonly exitCode: number | null;
  readonly signalCode: string | number | null;
}): number {
  return child.exitCode ?? 128 + (signalNumbers[String(child.signalCode)] ?? 0);
}
