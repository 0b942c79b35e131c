import { readFileSync } from "node:fs";

/**
 * How many descriptors this process may open, or undefined when the system does not say. Bun raises the soft limit to the
 * hard one as it starts (Linux, 1.4.5), so this is the hard one there.
 */
export function descriptorLimit(): number | undefined {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    if (soft !== undefined) return Number(soft);
  } catch {
    // No Linux: a shell that this process starts has its limits.
  }
  try {
    const { stdout } = Bun.spawnSync(["/bin/sh", "-c", "ulimit -n"]);
    const text = stdout.toString().trim();
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}
