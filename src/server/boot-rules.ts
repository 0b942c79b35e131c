import type { Boot, ProcessStart } from "../rpc/hello.ts";

/** What a member remembers of another one. */
export interface Remembered {
  /** The last boot that it admitted itself. Its list holds all that it admitted before. */
  readonly admitted: Boot | undefined;
  /** The last boot that a leader admitted, as the replicated state says. */
  readonly replicated: Boot | undefined;
  /** The highest term in which the node voted, campaigned, led or accepted entries, as far as this member was told. */
  readonly term: number;
  /** The node has acknowledged the log up to here, and it is committed up to here. */
  readonly index: number;
}

export type BootProblem =
  /** The folder's list lacks a boot that is remembered. */
  | { readonly kind: "boot"; readonly boot: Boot }
  /** The folder was at this term, or had the log up to this index, before this start found less. */
  | { readonly kind: "term"; readonly remembered: number; readonly found: number }
  | { readonly kind: "index"; readonly remembered: number; readonly found: number };

/**
 * Why a process that starts like this is not admitted by whoever remembers that, as far as the numbers tell; undefined when
 * it may be. A process promises more than it found at its start: so nothing is compared with what it promised itself.
 */
export function problemOfStart(start: ProcessStart, remembered: Remembered): BootProblem | undefined {
  const { admitted, replicated, term, index } = remembered;
  for (const boot of [admitted, replicated])
    if (boot !== undefined && !mayHold(start.boot, boot)) return { kind: "boot", boot };
  if (admitted?.id === start.boot.id) return undefined;
  if (start.term < term) return { kind: "term", remembered: term, found: start.term };
  if (start.index < index) return { kind: "index", remembered: index, found: start.index };
  return undefined;
}

/** The boots that the folder's own list has to be asked about. */
export function bootsToProve(start: ProcessStart, { admitted, replicated }: Remembered): readonly Boot[] {
  const boots: Boot[] = [];
  for (const boot of [admitted, replicated])
    if (boot !== undefined && boot.id !== start.boot.id && !boots.some(({ id }) => id === boot.id))
      boots.push(boot);
  return boots;
}

/** A list holds its own last boot, and earlier ones at earlier places; each place is one boot's. */
function mayHold(own: Boot, other: Boot): boolean {
  return other.number < own.number || (other.number === own.number && other.id === own.id);
}
