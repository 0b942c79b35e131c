import { expect, test } from "bun:test";
import {
  type Command,
  decodeCommand,
  encodeCommand,
  type KeyCommand,
  stampTime,
} from "../../src/kv/command.ts";
import { commandTimeMsMax } from "../../src/kv/limits.ts";
import { type Bytes, emptyBytes, equalBytes, fromHex, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteWriter, DecodeError } from "../../src/lib/codec.ts";
import { eachSeed } from "../leveldb/seed.ts";

const put: Command = {
  type: "put",
  timeMs: 0,
  session: undefined,
  principal: emptyBytes,
  key: toUtf8("a"),
  value: toUtf8("bc"),
};
const inSession: Command = {
  ...put,
  type: "delete",
  value: emptyBytes,
  timeMs: 0x12_3456_789a,
  session: { name: "s", sequence: 300, acknowledged: 299, bornMs: 5 },
};

function encode(command: Command): Bytes {
  const writer = new ByteWriter();
  encodeCommand(writer, command);
  return writer.take();
}

/** Anything but a whole command is a DecodeError, and what is one says again what it is. */
function checkDecodes(bytes: Bytes): boolean {
  try {
    const command = decodeCommand(bytes);
    const again = decodeCommand(encode(command));
    expect(again).toEqual(command);
    return true;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return false;
  }
}

test("a command looks as its grammar says", () => {
  const head = { timeMs: 1, session: undefined, principal: emptyBytes };
  const clock: Command = { type: "clock", ...head, wallMs: 300 };
  expect(toHex(encode(clock))).toBe("020301000000000000000000ac02");
  expect(decodeCommand(encode(clock))).toEqual(clock);
  expect(toHex(encode(put))).toBe("0201000000000000000000000161026263");
  // version, type, time, session name, sequence, acknowledged, born, principal, key
  expect(toHex(encode(inSession))).toBe(
    `${"0202"}${"9a78563412000000"}${"0173"}${"ac02"}${"ab02"}${"05"}${"00"}${"0161"}`,
  );
});

test("what is encoded is decoded, with the largest numbers and the empty key", () => {
  const most = Number.MAX_SAFE_INTEGER;
  const large: Command = {
    ...put,
    timeMs: commandTimeMsMax,
    session: { name: "x".repeat(64), sequence: most, acknowledged: most - 1, bornMs: most },
    principal: new Uint8Array(255),
    key: emptyBytes,
    value: new Uint8Array(100_000),
  };
  for (const command of [put, inSession, large]) expect(decodeCommand(encode(command))).toEqual(command);
});

test("the leader's time replaces the client's, and nothing else", () => {
  const source = new Uint8Array([9, ...encode(inSession), 9]);
  const bytes = source.subarray(1, source.length - 1);
  stampTime(bytes, commandTimeMsMax);
  expect(decodeCommand(bytes)).toEqual({ ...inSession, timeMs: commandTimeMsMax });
  expect([source[0], source.at(-1)]).toEqual([9, 9]);
});

test("a time that no clock shows is refused: the log's time would never come back from it", () => {
  expect(() => decodeCommand(encode({ ...put, timeMs: commandTimeMsMax + 1 }))).toThrow(
    "which no clock shows",
  );
});

test("every part of a command that is cut off is refused, and so is whatever follows one", () => {
  for (const command of [put, inSession]) {
    const bytes = encode(command);
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeCommand(bytes.subarray(0, length))).toThrow(DecodeError);
    expect(() => decodeCommand(new Uint8Array([...bytes, 0]))).toThrow(DecodeError);
  }
});

test("a command with any bit flipped is refused or is another whole command", () => {
  for (const command of [put, inSession]) {
    const bytes = encode(command);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const isWhole = checkDecodes(flipped);
      if (isWhole) expect(decodeCommand(flipped)).not.toEqual(command);
    }
  }
});

test("random bytes never throw anything but a DecodeError", () => {
  eachSeed(3, (prng) => {
    for (let run = 0; run < 3000; run++) {
      const bytes = new Uint8Array(prng.int(0, 40));
      for (let at = 0; at < bytes.length; at++) bytes[at] = prng.int(0, 255);
      // Half of them get past the first fields.
      if (prng.chance(1, 2)) bytes.set([1, prng.int(1, 2), 0, 0, 0, 0, 0, 0, 0, 0].slice(0, bytes.length));
      checkDecodes(bytes);
    }
  });
});

test("a place in a session that cannot be is refused", () => {
  const stamp = inSession.session!;
  for (const [session, why] of [
    [{ ...stamp, sequence: 0, acknowledged: 0 }, "sequence number 1"],
    [{ ...stamp, sequence: 3, acknowledged: 3 }, "before its command was sent"],
    [{ ...stamp, name: "n".repeat(65) }, "at most 64"],
  ] as const)
    expect(() => decodeCommand(encode({ ...put, session }))).toThrow(why);
  expect(() => decodeCommand(encode({ ...put, principal: new Uint8Array(256) }))).toThrow("at most 255");
});

test("a version or type of the future is refused by its number", () => {
  const bytes = encode(put);
  bytes[0] = 3;
  expect(() => decodeCommand(bytes)).toThrow("version 3, 2 is known");
  bytes.set([2, 5]);
  expect(() => decodeCommand(bytes)).toThrow("unknown type 5");
});

test("key and value are views: a put copies no bytes before it is applied", () => {
  const bytes = encode(put);
  const { key, value } = decodeCommand(bytes) as KeyCommand;
  expect(key.buffer).toBe(bytes.buffer);
  expect(value.buffer).toBe(bytes.buffer);
  expect(equalBytes(value, fromHex("6263")!)).toBe(true);
});
