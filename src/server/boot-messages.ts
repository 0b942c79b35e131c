/**
 * What members tell each other of boots, one message each (frames with method.boots):
 *
 *     message      = askFolder | folderAnswer | askMember | memberAnswer | waiting | refused
 *     askFolder    = kind u8 (1), count u8, boot*             does your folder's list hold these? Without any: do you live?
 *     folderAnswer = kind u8 (2), count u8, (boot, held u8)*
 *     askMember    = kind u8 (3), node id                     what do you remember of that node?
 *     memberAnswer = kind u8 (4), node id, admitted, replicated, term varint, index varint
 *     waiting      = kind u8 (5)                              an earlier process of your node still answers
 *     refused      = kind u8 (6), text                        you count nothing here, and this is why; for people
 *     boot         = number varint, boot id
 *     admitted, replicated = boot                             with number 0 and an id of zeros: none
 *
 * Example, whether a list holds boot 3: 01 01 03 0123456789ABCDEF.
 */
import { unreachable } from "../lib/assert.ts";
import { type ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";
import type { NodeId } from "../raft/types.ts";
import { type Boot, noId } from "../rpc/hello.ts";
import { helloTextBytesMax } from "../rpc/limits.ts";
import { printable } from "../rpc/printable.ts";
import type { Remembered } from "./boot-rules.ts";

export type BootMessage =
  | { readonly kind: "ask-folder"; readonly boots: readonly Boot[] }
  | { readonly kind: "folder-answer"; readonly answers: readonly FolderAnswer[] }
  | { readonly kind: "ask-member"; readonly nodeId: NodeId }
  | { readonly kind: "member-answer"; readonly nodeId: NodeId; readonly remembered: Remembered }
  | { readonly kind: "waiting" }
  | { readonly kind: "refused"; readonly text: string };

export interface FolderAnswer {
  readonly boot: Boot;
  readonly isHeld: boolean;
}

const kinds = ["ask-folder", "folder-answer", "ask-member", "member-answer", "waiting", "refused"] as const;

export function encodeBootMessage(body: ByteWriter, message: BootMessage): void {
  body.u8(kinds.indexOf(message.kind) + 1);
  switch (message.kind) {
    case "ask-folder":
      body.u8(message.boots.length);
      for (const boot of message.boots) writeBoot(body, boot);
      return;
    case "folder-answer":
      body.u8(message.answers.length);
      for (const { boot, isHeld } of message.answers) {
        writeBoot(body, boot);
        body.u8(Number(isHeld));
      }
      return;
    case "ask-member":
      body.id(message.nodeId);
      return;
    case "member-answer":
      body.id(message.nodeId);
      writeBoot(body, message.remembered.admitted ?? noBoot);
      writeBoot(body, message.remembered.replicated ?? noBoot);
      body.varint(message.remembered.term);
      body.varint(message.remembered.index);
      return;
    case "waiting":
      return;
    case "refused":
      body.text(message.text.slice(0, helloTextBytesMax / 4));
      return;
    default:
      unreachable(message);
  }
}

/** Throws DecodeError. */
export function decodeBootMessage(reader: ByteReader): BootMessage {
  const message = decodeBody(reader);
  reader.end();
  return message;
}

function decodeBody(reader: ByteReader): BootMessage {
  const kind = kinds[reader.u8() - 1];
  switch (kind) {
    case "ask-folder":
      return { kind, boots: readList(reader, () => readBoot(reader)) };
    case "folder-answer":
      return {
        kind,
        answers: readList(reader, () => ({ boot: readBoot(reader), isHeld: reader.u8() === 1 })),
      };
    case "ask-member":
      return { kind, nodeId: reader.id() as NodeId };
    case "member-answer":
      return { kind, nodeId: reader.id() as NodeId, remembered: readRemembered(reader) };
    case "waiting":
      return { kind };
    case "refused":
      return { kind, text: printable(reader.text(helloTextBytesMax)) };
    default:
      throw new DecodeError("a message about boots has an unknown kind");
  }
}

export function writeBoot(body: ByteWriter, { number, id }: Boot): void {
  body.varint(number);
  body.id(id);
}

export function readBoot(reader: ByteReader): Boot {
  return { number: reader.varint(), id: reader.id() };
}

function readRemembered(reader: ByteReader): Remembered {
  const [admitted, replicated] = [readBoot(reader), readBoot(reader)];
  return {
    admitted: admitted.number === 0 ? undefined : admitted,
    replicated: replicated.number === 0 ? undefined : replicated,
    term: reader.varint(),
    index: reader.varint(),
  };
}

function readList<Item>(reader: ByteReader, read: () => Item): Item[] {
  const items: Item[] = [];
  for (let count = reader.u8(); count > 0; count--) items.push(read());
  return items;
}

const noBoot: Boot = { number: 0, id: noId };
