import type { Prng } from "../../src/env/prng.ts";
import type { Timeline } from "./timeline.ts";

/** What the network does to what it carries. May be changed while things are on their way. */
export interface NetWeather {
  /** One way, per delivery. */
  latencyMsMin: number;
  latencyMsMax: number;
  /** Frames that vanish. */
  lossPerMille: number;
  /** Frames, no requests, that arrive twice, the second one later. */
  duplicatePerMille: number;
  /** Frames that are held back and overtaken by those behind them. */
  delayPerMille: number;
  delayMsMax: number;
  /** Deliveries come in pieces of random size, and writes take only a part at times. */
  isChopped: boolean;
}

/**
 * What has happened so far: frames, except for `held` (writes that waited for a heal), `resets` (sides that were told), `silenced` and
 * `retransmitted` (directions of connections whose bytes a silence took, and that brought them late), and `unansweredDials` (knocks).
 */
export interface NetCounts {
  delivered: number;
  lost: number;
  duplicated: number;
  delayed: number;
  held: number;
  resets: number;
  silenced: number;
  retransmitted: number;
  unansweredDials: number;
  hangingLookups: number;
}

/** What all connections of a network share. One stream of chance per kind of fault, so that one does not reshuffle the rest. */
export class Sky {
  readonly timeline: Timeline;
  readonly weather: NetWeather;
  readonly counts: NetCounts = {
    delivered: 0,
    lost: 0,
    duplicated: 0,
    delayed: 0,
    held: 0,
    resets: 0,
    silenced: 0,
    retransmitted: 0,
    unansweredDials: 0,
    hangingLookups: 0,
  };
  readonly loss: Prng;
  readonly duplicate: Prng;
  readonly delay: Prng;
  readonly chop: Prng;
  readonly #latency: Prng;

  constructor(timeline: Timeline, prng: Prng, weather: NetWeather) {
    this.timeline = timeline;
    this.weather = weather;
    this.#latency = prng.fork();
    this.loss = prng.fork();
    this.duplicate = prng.fork();
    this.delay = prng.fork();
    this.chop = prng.fork();
  }

  latencyMs(): number {
    return between(this.#latency, this.weather.latencyMsMin, this.weather.latencyMsMax);
  }
}

/** A moment between two others; draws nothing when there is no choice. */
export function between(prng: Prng, min: number, max: number): number {
  return max > min ? min + ((max - min) * prng.u32()) / 0x1_0000_0000 : min;
}
