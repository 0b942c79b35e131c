import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { plugin } from "bun";
import type { IncidentKind } from "./plan.ts";

/** One place of the production code, and what stands there instead. The text occurs in the file exactly once. */
export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/**
 * A deliberate fault, to test the tests: the simulator has to find it. The production code has no hook for it: its
 * source is changed while it is loaded, in a process of its own.
 */
export interface Canary {
  /** What is broken, in a sentence. */
  readonly fault: string;
  readonly edits: readonly Edit[];
  /** The kinds of incident that it takes to see the fault, when it is a rare one; without them any. */
  readonly kinds?: readonly IncidentKind[];
  /** Looked for in worlds whose members stay, and whose logs are kept whole. */
  readonly isStatic?: boolean;
  /** Where the tests begin to look, so that a rare fault does not cost them minutes; how rare it is says CANARIES.md. [1] */
  readonly firstSeed?: number;
  /** It is found within so many seeds, counted from the first. */
  readonly runsMax: number;
}

/** Makes every later import of the edited files yield the broken code. */
export function breakCode(canary: Canary): void {
  const texts = editedTexts(canary);
  plugin({
    name: "canary",
    setup(build) {
      for (const [path, text] of texts) {
        const filter = new RegExp(`^${path.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);
        build.onLoad({ filter }, () => ({ contents: text, loader: "ts" }));
      }
    },
  });
}

/** The whole text of each file that a canary edits, by path. Throws when the code is not what the canary expects. */
export function editedTexts(canary: Canary): Map<string, string> {
  const texts = new Map<string, string>();
  for (const { file, from, to } of canary.edits) {
    const path = resolve(file);
    const text = texts.get(path) ?? readFileSync(path, "utf8");
    const parts = text.split(from);
    if (parts.length !== 2)
      throw new Error(
        `Cannot break ${file}: ${JSON.stringify(from)} stands there ${parts.length - 1} times, not once`,
      );
    texts.set(path, parts.join(to));
  }
  return texts;
}
