import type { Bytes } from "../lib/bytes.ts";
import type { Applied, TableFile } from "./manifest.ts";

/** What a state that is installed is the state of. */
export interface InstallState {
  /** The sequence number of its last write. */
  readonly sequence: number;
  /** The entry of the owner's log up to which it goes. */
  readonly applied: Applied;
}

/** What the store tells its worker of an install. Its number tells it from one that was given up before. */
export type InstallOrder =
  | { readonly step: "begin"; readonly install: number }
  | { readonly step: "add"; readonly install: number; readonly rows: Bytes }
  | ({ readonly step: "finish"; readonly install: number } & InstallState)
  | { readonly step: "abandon"; readonly install: number };

/** What the worker tells of it. That it is done is told as of every new MANIFEST (upkeep-messages.ts). */
export type InstallReport = { readonly install: number } & (
  | { readonly step: "taken"; readonly bytes: number }
  /** A file is complete that MANIFEST will name if all goes well. */
  | { readonly step: "built"; readonly file: TableFile }
  /** It is over, and nothing has changed. */
  | { readonly step: "refused"; readonly why: string }
);
