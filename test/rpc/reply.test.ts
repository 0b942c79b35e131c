import { expect, test } from "bun:test";
import { toHex } from "../../src/lib/bytes.ts";
import { ByteReader, ByteWriter } from "../../src/lib/codec.ts";
import { decodeAnswerHead, decodeRefusal, encodeAnswerHead, encodeRefusal } from "../../src/rpc/reply.ts";
import { decodeRequestHead, encodeRequestHead } from "../../src/rpc/request.ts";

test("an answer's head is what the grammar says", () => {
  const body = new ByteWriter();
  encodeAnswerHead(body, 0, { term: 2, revision: 5 });
  expect(toHex(body.view())).toBe("00020500");
});

test("fields of a later version are skipped in answers, refusals and requests", () => {
  const answer = new ByteWriter();
  for (const byte of [2, 5, 3, 9, 9, 9, 7]) answer.u8(byte);
  const reader = new ByteReader(answer.view());
  expect(decodeAnswerHead(reader)).toEqual({ term: 2, revision: 5 });
  expect(reader.u8()).toBe(7);

  const refusal = new ByteWriter();
  refusal.u8(0x81);
  refusal.text("h:1");
  refusal.text("why");
  refusal.varint(0);
  refusal.text("more");
  expect(decodeRefusal(new ByteReader(refusal.view()))).toEqual({
    retryable: true,
    wasProposed: false,
    leader: "h:1",
    text: "why",
  });

  const request = new ByteWriter();
  for (const byte of [4, 100, 1, 8, 8, 7]) request.u8(byte);
  const arguments_ = new ByteReader(request.view());
  expect(decodeRequestHead(arguments_)).toEqual({ remainingMs: 100 });
  expect(arguments_.u8()).toBe(7);
});

test("refusals and request heads come back as they were sent", () => {
  for (const retryable of [false, true])
    for (const wasProposed of [false, true]) {
      const refusal = { retryable, wasProposed, leader: "127.0.0.1:5001", text: "nö" };
      const body = new ByteWriter();
      encodeRefusal(body, 4, refusal);
      const reader = new ByteReader(body.view());
      expect(reader.u8()).toBe(4);
      expect(decodeRefusal(reader)).toEqual(refusal);
    }
  const golden = new ByteWriter();
  encodeRequestHead(golden, 5000);
  expect(toHex(golden.view())).toBe("03882701");
});

test("the text of a refusal, which is shown to people, cannot control a terminal", () => {
  const body = new ByteWriter();
  encodeRefusal(body, 4, { retryable: true, wasProposed: false, leader: "", text: "\u001b[2Jnö\n" });
  expect(decodeRefusal(new ByteReader(body.view().subarray(1))).text).toBe("?[2Jnö?");
});
