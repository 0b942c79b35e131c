import type { Bytes } from "../lib/bytes.ts";
import type {
  Chance,
  Configuration,
  EntryId,
  HardState,
  Index,
  LogView,
  NodeId,
  Role,
  Term,
} from "./types.ts";

/** Relations: heartbeatTicks < electionTicksMin <= electionTicksMax. */
export interface RaftOptions {
  readonly id: NodeId;
  /** The one in force after the entry `applied`; what comes after it in the log replaces it. */
  readonly configuration: Configuration;
  /** Reads the data of a config entry. Throws a KvraftError for what it does not know. */
  readonly decodeConfiguration: (data: Bytes) => Configuration;
  /** As the disk has it. */
  readonly hardState: HardState;
  readonly log: LogView;
  /** What the state machine already contains. */
  readonly applied: Index;
  readonly chance: Chance;
  readonly heartbeatTicks: number;
  readonly electionTicksMin: number;
  readonly electionTicksMax: number;
  /** A leader whose write takes longer gives up its office. */
  readonly diskStallTicks: number;
  readonly appendBytesMax: number;
  readonly windowBytesMax: number;
  /** Proposals are refused as busy while more bytes than this wait to be committed. */
  readonly uncommittedBytesMax: number;
  /** Told one line at each change of role. */
  readonly trace?: (line: string) => void;
}

export type StartResult =
  | { readonly ok: true; readonly index: Index; readonly term: Term }
  | { readonly ok: false; readonly reason: "not-leader" | "busy"; readonly leader: NodeId | undefined };

export type ChangeResult =
  | { readonly ok: true; readonly index: Index; readonly term: Term }
  | { readonly ok: false; readonly reason: "not-leader" | "busy" | "illegal"; readonly text: string };

/** A picture of the node for people, tests and invariants. */
export interface RaftState {
  readonly id: NodeId;
  readonly role: Role;
  readonly term: Term;
  readonly vote: NodeId | undefined;
  readonly leader: NodeId | undefined;
  readonly commit: Index;
  readonly applied: Index;
  readonly durable: Index;
  readonly firstIndex: Index;
  readonly last: EntryId;
}
