/** Runs the parts of the store's benchmark, and watches them from outside. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import type { PartOptions } from "./store-child.ts";
import { folderBytes } from "./store-files.ts";
import { Heartbeat, nowMs, type Span, type Stops } from "./store-heartbeat.ts";

const sampleEveryMs = 50;
/** Longer than ten million keys take on a slow disk. */
const partMinutesMax = 60;

/** What was seen from outside while a part ran. */
export class Watch {
  readonly #idle = new Heartbeat();
  readonly #samples: { readonly ms: number; readonly bytes: number }[] = [];
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(folder: string) {
    this.#idle.start();
    this.#timer = setInterval(
      () => this.#samples.push({ ms: nowMs(), bytes: folderBytes(folder) }),
      sampleEveryMs,
    );
  }

  end(): void {
    this.#idle.stop();
    clearInterval(this.#timer);
  }

  /** The largest size of the folder from a time on. */
  peakBytes(fromMs: number): number {
    return this.#samples.reduce((most, { ms, bytes }) => (ms >= fromMs ? Math.max(most, bytes) : most), 0);
  }

  /** The stops of a process that only looks at the clock, and at the folder now and then. */
  idleStops(spans: readonly Span[]): Stops {
    return this.#idle.stopsIn(spans);
  }
}

/** Processes and folders that end with the benchmark, also when it is interrupted. */
export class Parts {
  readonly folder = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "kvraft-bench-store-"));
  readonly #running = new Set<Subprocess>();
  #isEnded = false;

  constructor() {
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.once(signal, () => {
        this.end();
        process.exit(1);
      });
  }

  /** Starts a part in a folder that is kept for the next one. */
  async run<Figures>(
    name: string,
    options: Omit<PartOptions, "folder">,
    place = name,
  ): Promise<{ figures: Figures; watch: Watch }> {
    const folder = join(this.folder, place);
    mkdirSync(folder, { recursive: true });
    const program = new URL(`store-${name}.ts`, import.meta.url).pathname;
    const watch = new Watch(folder);
    const profile = process.env["PROFILE"];
    const child = Bun.spawn(
      [
        process.execPath,
        ...(profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`]),
        program,
        JSON.stringify({ ...options, folder }),
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "inherit", timeout: partMinutesMax * 60_000 },
    );
    this.#running.add(child);
    const text = await new Response(child.stdout).text();
    const code = await child.exited;
    this.#running.delete(child);
    watch.end();
    if (code !== 0) throw new Error(`The part "${name}" of the benchmark has failed (exit code ${code})`);
    return { figures: JSON.parse(text), watch };
  }

  remove(place: string): void {
    rmSync(join(this.folder, place), { recursive: true, force: true });
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const child of this.#running) child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
