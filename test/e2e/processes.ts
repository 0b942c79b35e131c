import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the tests started and have not seen end: nothing of it may outlive them. */
interface Child {
  readonly pid: number;
  readonly exited: Promise<number>;
  kill(signal: "SIGKILL"): void;
}

const children = new Set<Child>();
const folders = new Set<string>();
const closers = new Set<() => unknown>();

/** Registers a child so that it ends with the tests, whatever becomes of the test that started it. */
export function track<Kind extends Child>(child: Kind): Kind {
  children.add(child);
  child.exited.finally(() => children.delete(child)).catch(() => {});
  return child;
}

/** A new folder that is removed after the tests of this file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kvraft-e2e-"));
  folders.add(folder);
  return folder;
}

/** Leaves a folder where it is, for somebody who wants to know what went wrong. */
export function keepFolder(folder: string): void {
  folders.delete(folder);
}

/** Runs after the tests of this file, before folders are removed: clients, proxies, mounts. */
export function atEnd(close: () => unknown): void {
  closers.add(close);
}

/** For `afterAll` of each test file: kills what is left, and removes its folders. */
export async function cleanUp(): Promise<void> {
  for (const child of children) child.kill("SIGKILL");
  await Promise.allSettled([...children].map((child) => child.exited));
  await Promise.allSettled([...closers].map(async (close) => close()));
  closers.clear();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders.clear();
}

// An interrupted test run ends here and not in afterAll.
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});
