import type { Bytes } from "../lib/bytes.ts";

/** SHA-256 (FIPS 180-4) of bytes that come part by part; the parts' bounds make no difference. */
export class Sha256 {
  readonly #hasher = new Bun.CryptoHasher("sha256");

  update(bytes: Bytes): void {
    this.#hasher.update(bytes);
  }

  /** 64 hexadecimal digits. Ends it. */
  digestHex(): string {
    return this.#hasher.digest("hex");
  }
}
